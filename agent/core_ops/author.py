"""The author's verbs: they look at a source tree or at what a host was given, and write nothing."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core_ops import __version__, outlook, run, settings
from core_ops.errors import (
    EXIT_FAILED,
    EXIT_OK,
    GivenTreeError,
    HostError,
    RefusedRevisionError,
    SourceError,
    SourceTreeError,
    StateError,
    UsageError,
    printable,
)
from core_ops.examiner import examine
from core_ops.host.directory import read_tree
from core_ops.host.terminal import Terminal, is_terminal, standard
from core_ops.reconcile import check as checking
from core_ops.reconcile.checkview import check_lines, check_view
from core_ops.reconcile.explain import Unknown
from core_ops.reconcile.explain import explain as explained
from core_ops.reconcile.explainview import explain_lines, explain_view
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired, LastApplied, Obj
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.planned import Entry
from core_ops.reconcile.sarif import sarif

_FLAGS = ("host", "state_file", "quadlet_dir", "systemd_unit_dir", "config_dir")


def _out() -> Terminal:
    out, _ = standard()
    return Terminal(out, colour=settings.colour_wanted() and is_terminal(out))


def check(arguments: argparse.Namespace) -> int:
    """Say everything that is wrong with a source tree, or might be."""
    only = (printable(arguments.host),) if arguments.host else ()  # bytes that are no text would be in every form
    try:
        tree = read_tree(arguments.path)
        asked = checking.states(tree, only) if arguments.preflight else ()
        checked = checking.check(tree, only, {d.host: examine(d, "", "") for d in asked})
    except RefusedRevisionError as refused:
        checked = checking.unreadable(refused)
    view = check_view(checked)
    if arguments.format == "sarif":
        _out().show([sarif(checked, __version__).decode()])
    elif arguments.json or arguments.format == "json":
        _out().show([msgspec.json.encode(view).decode()])
    else:
        _out().show(check_lines(view))
    return EXIT_FAILED if checked.refused else EXIT_OK


# --- explain ----------------------------------------------------------------------------------------------------------


def explain(arguments: argparse.Namespace) -> int:
    """Say what one object is, where it comes from and what starts it."""
    chosen = settings.read({name: getattr(arguments, name, None) for name in _FLAGS})
    given: Path | None = arguments.source_repo
    planned: Mapping[Obj, Entry] = {}
    if given is None:
        ports, desired, last = tracked(chosen)
        planned = _planned(ports, desired, last)
    else:
        desired = _given(chosen, given)
    found = explained(desired, build(desired), arguments.object)
    if isinstance(found, Unknown):
        names = ", ".join(found.nearest)
        raise UsageError(
            f"explain {arguments.object}: host {desired.host} has no such object",
            code="unknown-object",
            hint=f"did you mean {names}?" if names else "`core-ops plan` names every object",
        )
    view = explain_view(found, desired.host, desired.source, planned.get(found.item.object))
    _out().show([msgspec.json.encode(view).decode()] if arguments.json else explain_lines(view))
    return EXIT_OK


def _planned(ports: outlook.Ports, desired: Desired, last: LastApplied) -> Mapping[Obj, Entry]:
    """Return what the next run would do with each object; nothing where the host cannot be looked at."""
    try:
        return {e.object: e for e in run.plan(ports, desired, last).entries}
    except HostError:
        return {}


def _given(chosen: settings.Settings, path: Path) -> Desired:
    """Return what a directory gives the host.

    Raises:
        UsageError: `host-needed`.
        GivenTreeError: the tree is refused.
    """
    from core_ops import wiring  # noqa: PLC0415 - `check` needs no libgit2

    if chosen.by_name["host"].origin == "host name":
        raise UsageError(
            "use --source-repo without --host", code="host-needed", hint="add --host <name of a directory in hosts/>"
        )
    try:
        origin, tree = wiring.stateless_source(path.absolute())
        return outlook.rendered(tree, wiring.goal(chosen, Trust("unsigned", (), "")), origin)
    except (SourceTreeError, RefusedRevisionError) as refused:
        raise GivenTreeError(
            refused.message, code=refused.code, hint="`core-ops check` shows the whole tree", details=refused.details
        ) from refused


def tracked(chosen: settings.Settings) -> tuple[outlook.Ports, Desired, LastApplied]:
    """Return what this host was last told to be, from the local store alone, with the host and what is on record of it.

    Raises:
        StateError: the host is not initialised, or nothing was ever authenticated here.
    """
    from core_ops import wiring  # noqa: PLC0415 - `check` needs no libgit2

    ports = wiring.ports(chosen)._replace(reporter=wiring.Everybody())  # who only asks tells the journal nothing
    trust, _ = wiring.tracked_trust(chosen, ports.store.load())
    unasked = SourceError("explain without asking the repository", code="fetch-failed")
    found = outlook.recall(ports, wiring.goal(chosen, trust), unasked)
    if found.desired is None:
        if found.problem is not None and found.problem is not unasked:
            raise found.problem
        raise StateError(
            "explain an object", code="no-desired-state", hint="`core-ops apply` fetches the first revision"
        )
    return ports, found.desired, found.record.last
