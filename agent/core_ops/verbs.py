"""What each verb does once its arguments are parsed: build the world, conduct one flow, show what came of it."""

import argparse
from pathlib import Path

import msgspec

from core_ops import outlook, run, settings, wiring
from core_ops.enrol import Enrolment, pin_of, recorded
from core_ops.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PENDING,
    CoreOpsError,
    Disposition,
    GivenTreeError,
    LockedError,
    RefusedRevisionError,
    SourceTreeError,
    StateError,
    UsageError,
)
from core_ops.host.lock import held
from core_ops.host.terminal import Doubts, Terminal, is_terminal, reads_journal, standard
from core_ops.ports import Reporter, Store
from core_ops.reconcile import words
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.model import Desired, Plan, Result
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.record import Record, Status, lifecycle
from core_ops.telling import Shown, progress_of, resolving, show_result, told

LOOK_WAIT_S = 5.0  # an ordinary run is over by then; a plan made in the midst of one shows half-done work as drift
_FLAGS = ("host", "state_file", "lock_path", "quadlet_dir", "systemd_unit_dir", "config_dir")


def _settings(arguments: argparse.Namespace) -> settings.Settings:
    return settings.read({name: getattr(arguments, name, None) for name in _FLAGS})


def _terminals() -> tuple[Terminal, Terminal]:
    out, err = standard()
    colour = settings.colour_wanted()
    return Terminal(out, colour=colour and is_terminal(out)), Terminal(err, colour=colour and is_terminal(err))


# --- init and status --------------------------------------------------------------------------------------------------


def init(arguments: argparse.Namespace) -> int:
    """Store what to track and whom to trust."""
    chosen = _settings(arguments)
    target = chosen.get("signers_file")
    unsigned: bool = arguments.insecure_no_signatures
    pin = pin_of(Enrolment(arguments.repository, arguments.ref, target, arguments.anchor, unsigned=unsigned))
    store = wiring.store(chosen)
    with held(chosen.path("lock_path")):
        record = recorded(store, pin, force=arguments.force)
        signers: Path | None = arguments.signers.absolute() if arguments.signers else None
        wiring.save_enrolment(chosen, pin, signers)
        store.save(record)
    lines = [f"This host tracks {pin.repository} ({pin.ref})."]
    if unsigned:
        lines.append("NOTHING IS AUTHENTICATED: whoever can push to that repository is root on this host.")
    else:
        start = f"descending from {pin.introduction}" if arguments.anchor else "taking the first signed one as it comes"
        lines.append(f"It accepts revisions signed by a key in {target}, {start}.")
    _terminals()[0].show([*lines, "Next: `core-ops plan` shows what would change."])
    return EXIT_OK


class _StatusView(msgspec.Struct, frozen=True):
    lifecycle: str
    status: Status | None
    trust: str
    message: str = ""


def status(arguments: argparse.Namespace) -> int:
    """Show the record; every state is an answer."""
    chosen = _settings(arguments)
    out = _terminals()[0]
    if arguments.settings:
        out.show(f"{name:<18} {s.value or '-':<36} {s.origin}" for name, s in chosen.by_name.items())
        return EXIT_OK
    trust = wiring.trust_words(chosen)
    try:
        record = wiring.store(chosen).load()
        word, message = lifecycle(record.status), ""
    except StateError as error:
        record, word, message = Record(), "Corrupt", "; ".join((error.message, *error.details))
        if error.code == "state-unreadable":  # not for everybody's eyes: what is, is shown
            record = Record(wiring.store(chosen).status())
            word, message = lifecycle(record.status), ""
    if arguments.json:
        view = _StatusView(word, record.status, trust, message)
        out.show([msgspec.json.format(msgspec.json.encode(view), indent=2).decode()])
    elif message:
        out.show([f"{'Lifecycle':<12} {word}", message])
    else:
        out.show(words.status_lines(record, word, trust))
    return EXIT_OK


# --- plan -------------------------------------------------------------------------------------------------------------


def plan(arguments: argparse.Namespace) -> int:
    """Show what would change."""
    chosen = _settings(arguments)
    out, err = _terminals()
    problem: CoreOpsError | None = None
    if arguments.source_repo is not None:
        ports, goal, desired, record = _stateless(chosen, arguments, Doubts(err))
    else:
        ports, goal, record = _tracked(chosen, Doubts(err))
        try:
            with held(chosen.path("lock_path"), LOOK_WAIT_S):
                found = outlook.look(ports, goal)
        except LockedError as locked:  # a long run must not keep anybody from looking
            found = outlook.recall(ports, goal, locked)
        desired_or_none, problem, record = found.desired, found.problem, found.record
        if desired_or_none is None:
            raise problem or StateError("find a desired state", code="no-desired-state")
        desired = desired_or_none
    planned = run.plan(ports, desired, record.last)
    _show_plan(out, planned, Shown(arguments.json, arguments.verbose), record)
    if problem is not None:
        err.show(_problem_lines(problem))
        if problem.disposition is not Disposition.RETRY:
            return EXIT_FAILED
    if planned.blocked:
        return EXIT_FAILED
    return EXIT_PENDING if arguments.exit_code and not planned.in_sync else EXIT_OK


def _show_plan(out: Terminal, planned: Plan, shown: Shown, record: Record) -> None:
    attempted = record.status is not None and record.status.reconciliation.generation > 0
    view = plan_view(planned, attempted=attempted)
    if shown.json:
        out.show([msgspec.json.encode(view).decode()])
    else:
        out.show(words.plan_lines(view, full=shown.full))


def _problem_lines(problem: CoreOpsError) -> list[str]:
    newer = "the revision that the repository serves is refused"
    if problem.disposition is Disposition.RETRY:
        busy = isinstance(problem, LockedError)
        newer = "the repository was not asked" if busy else "the repository was not reached"
    lines = [f"✗ {newer}: {problem.message} ({problem.code})", *(f"    {d}" for d in problem.details)]
    held_to = "The host is held to the last good revision."
    if isinstance(problem, LockedError):
        held_to = "The plan is against the revision authenticated last, and shows what that run has not done yet."
    return [*lines, f"    next: {problem.hint}", f"  {held_to}"]


def _tracked(chosen: settings.Settings, *reporters: Reporter) -> tuple[outlook.Ports, outlook.Goal, Record]:
    ports = wiring.ports(chosen, *reporters)
    trust, record = wiring.tracked_trust(chosen, ports.store.load())
    if record.status is not None:
        ports = ports._replace(store=_Begun(ports.store, record))
    return ports, wiring.goal(chosen, trust), record


class _Begun:
    """A store whose first answer is a record that begins with the host's pin; it is saved when the run saves."""

    def __init__(self, store: Store, record: Record) -> None:
        self._store, self._record = store, record

    def load(self) -> Record:
        """Return the record."""
        return self._record

    def salvage(self) -> Record:
        """Return the record: it is not damaged."""
        return self._record

    def save(self, record: Record) -> None:
        """Save it for good."""
        self._store.save(record)
        self._record = record


def _stateless(
    chosen: settings.Settings, arguments: argparse.Namespace, *reporters: Reporter
) -> tuple[outlook.Ports, outlook.Goal, Desired, Record]:
    if chosen.by_name["host"].origin == "host name":
        raise UsageError(
            "use --source-repo without --host", code="host-needed", hint="add --host <name of a directory in hosts/>"
        )
    ports = wiring.ports(chosen, *reporters)._replace(store=wiring.stateless_store(chosen))
    goal = wiring.goal(chosen, Trust("unsigned", (), ""))
    try:
        origin, tree = wiring.stateless_source(arguments.source_repo.absolute())
        desired = outlook.rendered(tree, goal, origin)
        record = ports.store.load()
        record = msgspec.structs.replace(record, last=outlook.examined(ports, desired, record.last))
    except (SourceTreeError, RefusedRevisionError) as refused:
        raise GivenTreeError(
            refused.message, code=refused.code, hint="mend the source tree", details=refused.details
        ) from refused
    return ports, goal, desired, msgspec.structs.replace(record, status=record.status or Status())


# --- apply and agent --------------------------------------------------------------------------------------------------


def apply(arguments: argparse.Namespace) -> int:
    """Make the host what it should be, showing plan, progress and result."""
    chosen = _settings(arguments)
    out, err = _terminals()
    shown = Shown(arguments.json, arguments.verbose)
    progress = progress_of(out, shown)
    reporters: tuple[Reporter, ...] = (progress, Doubts(err)) if shown.json else (progress,)
    problem: CoreOpsError | None = None
    with told(progress, shown, out, err), held(chosen.path("lock_path")):
        if arguments.source_repo is not None:
            with resolving(progress):
                ports, goal, desired, record = _stateless(chosen, arguments, *reporters)
            result: Result | None = run.converge(ports, goal, desired, record)
        else:
            ports, goal, record = _tracked(chosen, *reporters)
            result, problem = run.tracked(ports, goal, "apply")
    return _concluded(result, problem, shown, out, err)


def agent(arguments: argparse.Namespace) -> int:
    """Make one unattended run; the journal is told, and standard output too where the journal does not read it."""
    chosen = _settings(arguments)
    out, err = _terminals()
    shown = Shown(json=False, full=False)
    quiet = reads_journal(standard()[0], settings.journal_stream())
    progress = progress_of(out, shown)
    with told(None if quiet else progress, shown, out, err), held(chosen.path("lock_path")):
        ports, goal, _ = _tracked(chosen, *(() if quiet else (progress,)))
        result, problem = run.tracked(ports, goal, "agent")
    if quiet:
        return _exit_status(result, problem)
    return _concluded(result, problem, shown, out, err)


def _concluded(result: Result | None, problem: CoreOpsError | None, shown: Shown, out: Terminal, err: Terminal) -> int:
    if result is None:
        still = "controller is detached: it stands still until `core-ops init <repository> <ref> --force`"
        (err if shown.json else out).show([still])
        return EXIT_OK
    show_result(result, shown, out)
    if problem is not None:
        err.show(_problem_lines(problem))
    return _exit_status(result, problem)


def _exit_status(result: Result | None, problem: CoreOpsError | None) -> int:
    if result is None:
        return EXIT_OK
    refused = problem is not None and problem.disposition is not Disposition.RETRY
    return EXIT_FAILED if refused or result.failures else EXIT_OK
