"""What each verb does once its arguments are parsed: build the world, conduct one flow, show what came of it."""

import argparse
from pathlib import Path

import msgspec

from core_ops import options, outlook, rollback, run, settings, wiring, worlds
from core_ops.enrol import Enrolment, pin_of, recorded
from core_ops.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PENDING,
    CoreOpsError,
    Disposition,
    LockedError,
    StateError,
    printable,
)
from core_ops.host.lock import held
from core_ops.host.terminal import Doubts, Progress, Terminal, is_terminal, reads_journal, standard
from core_ops.ports import Reporter
from core_ops.reconcile import words
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.planned import Plan, Result
from core_ops.reconcile.record import Record, notices
from core_ops.telling import Shown, progress_of, resolving, show_result, told
from core_ops.trail import Trail

LOOK_WAIT_S = 5.0  # an ordinary run is over by then; a plan made in the midst of one shows half-done work as drift
_FLAGS = ("host", "state_file", "lock_path", "quadlet_dir", "systemd_unit_dir", "config_dir", "audit_dir")


def _settings(arguments: argparse.Namespace) -> settings.Settings:
    return settings.read({name: getattr(arguments, name, None) for name in _FLAGS})


def _terminals() -> tuple[Terminal, Terminal]:
    out, err = standard()
    colour = settings.colour_wanted()
    return Terminal(out, colour=colour and is_terminal(out)), Terminal(err, colour=colour and is_terminal(err))


# --- init -------------------------------------------------------------------------------------------------------------


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


# --- plan -------------------------------------------------------------------------------------------------------------


def plan(arguments: argparse.Namespace) -> int:
    """Show what would change."""
    chosen = _settings(arguments)
    shown = Shown(arguments.json, arguments.verbose)
    with _trail(chosen, "plan") as trail:
        planned, found = _looked(chosen, arguments, trail)
        trail.ended(planned, found.problem)
    status = _planned(planned, found.record, found.problem, shown)
    return EXIT_PENDING if status == EXIT_OK and arguments.exit_code and not planned.in_sync else status


def _looked(chosen: settings.Settings, arguments: argparse.Namespace, trail: Trail) -> tuple[Plan, outlook.Outlook]:
    """Return a plan and what it is made from: a directory, or what the host was given.

    Record and host are read while no run changes them, or else a plan would compare the one from before with the other after.
    """
    if arguments.source_repo is not None:
        ports, _, desired, record = worlds.stateless(chosen, arguments, Doubts(_terminals()[1]))
        trail.began(ports)
        return run.plan(ports, desired, record.last), outlook.Outlook(desired, record, None)
    try:
        with held(chosen.path("lock_path"), LOOK_WAIT_S):
            ports, goal, _ = worlds.tracked(chosen, Doubts(_terminals()[1]))
            trail.began(ports)
            return _towards(ports, outlook.look(ports, goal))
    except LockedError as locked:  # a long run must not keep anybody from looking
        ports, goal, _ = worlds.tracked(chosen, Doubts(_terminals()[1]))
        trail.began(ports)
        return _towards(ports, outlook.recall(ports, goal, locked))


def _towards(ports: outlook.Ports, found: outlook.Outlook) -> tuple[Plan, outlook.Outlook]:
    if found.desired is None:
        raise found.problem or StateError("find a desired state", code="no-desired-state")
    return run.plan(ports, found.desired, found.record.last), found


def _planned(planned: Plan, record: Record, problem: CoreOpsError | None, shown: Shown) -> int:
    """Show a plan and what a person has to know beside it; return the exit status without regard to pending changes."""
    out, err = _terminals()
    _show_plan(out, planned, shown, record)
    err.show(printable(line) for line in notices(record, busy=True))
    if problem is not None:
        err.show(_problem_lines(problem))
        if problem.disposition is not Disposition.RETRY:
            return EXIT_FAILED
    return EXIT_FAILED if planned.blocked else EXIT_OK


def _trail(chosen: settings.Settings, verb: str) -> Trail:
    return Trail(chosen.get("audit_dir"), verb, chosen.get("host"), wiring.controller())


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


# --- apply and agent --------------------------------------------------------------------------------------------------


def apply(arguments: argparse.Namespace) -> int:
    """Make the host what it should be, showing plan, progress and result."""
    asked = options.chosen(arguments)
    chosen = _settings(arguments)
    out, err = _terminals()
    shown = Shown(arguments.json, arguments.verbose)
    if asked.rollback_to is not None and asked.plan_only:
        return _rollback_plan(chosen, asked.rollback_to, shown)
    progress = progress_of(out, shown)
    reporters: tuple[Reporter, ...] = (progress, Doubts(err)) if shown.json else (progress,)
    with (
        told(progress, shown, out, err),
        held(chosen.path("lock_path")),
        _trail(chosen, "apply" if asked.rollback_to is None else "rollback") as trail,
    ):
        result, problem, record = _applied(chosen, arguments, trail, progress, reporters)
        trail.ended(result, problem)
    if asked.unrecorded:
        err.show(["note: nothing was read from or written to the record (--force-no-state)"])
    return _concluded((result, problem), record, shown, out, err)


def _applied(
    chosen: settings.Settings,
    arguments: argparse.Namespace,
    trail: Trail,
    progress: Progress,
    reporters: tuple[Reporter, ...],
) -> tuple[Result | None, CoreOpsError | None, Record]:
    """Carry out one apply of whatever kind it is; the record is that of afterwards."""
    asked = options.chosen(arguments)
    extent: outlook.Extent = "files" if arguments.no_reload else "whole"
    if asked.rollback_to is not None:
        ports, goal = wiring.rollback(chosen, *reporters)
        trail.began(ports)
        return rollback.roll_back(ports, goal, asked.rollback_to), None, ports.store.load()
    if arguments.source_repo is not None:
        with resolving(progress):
            ports, goal, desired, record = worlds.stateless(chosen, arguments, *reporters)
        trail.began(ports)
        by_hand = msgspec.structs.replace(record, attempts=())
        return run.converge(ports, goal._replace(extent=extent), desired, by_hand), None, ports.store.load()
    ports, goal, _ = worlds.tracked(chosen, *reporters, unrecorded=asked.unrecorded)
    trail.began(ports)
    return *run.tracked(ports, goal._replace(extent=extent), "apply"), ports.store.load()


def _rollback_plan(chosen: settings.Settings, asked: str, shown: Shown) -> int:
    """Show what going back would do, changing nothing."""
    with _trail(chosen, "plan") as trail, held(chosen.path("lock_path"), LOOK_WAIT_S):
        ports, goal = wiring.rollback(chosen)
        trail.began(ports)
        planned, record = rollback.plan(ports, goal, asked)
        trail.ended(planned, None)
    return _planned(planned, msgspec.structs.replace(record, rollback=None), None, shown)


def agent(arguments: argparse.Namespace) -> int:
    """Make one unattended run; the journal is told, and standard output too where the journal does not read it."""
    chosen = _settings(arguments)
    out, err = _terminals()
    shown = Shown(json=False, full=False)
    quiet = reads_journal(standard()[0], settings.journal_stream())
    progress = progress_of(out, shown)
    with (
        told(None if quiet else progress, shown, out, err),
        held(chosen.path("lock_path")),
        _trail(chosen, "agent") as trail,
    ):
        ports, goal, _ = worlds.tracked(chosen, *(() if quiet else (progress,)))
        trail.began(ports)
        extent: outlook.Extent = "files" if arguments.no_reload else "whole"
        result, problem = run.tracked(ports, goal._replace(extent=extent), "agent")
        trail.ended(result, problem)
        if quiet:
            return _exit_status(result, problem)
        record = ports.store.load()
    return _concluded((result, problem), record, shown, out, err)


def _concluded(
    done: tuple[Result | None, CoreOpsError | None], record: Record, shown: Shown, out: Terminal, err: Terminal
) -> int:
    result, problem = done
    known = [printable(line) for line in notices(record, busy=True) if record.status is not None]
    if result is None:
        (err if shown.json else out).show(known)
        return EXIT_OK
    show_result(result, shown, out)
    err.show(known)
    if problem is not None:
        err.show(_problem_lines(problem))
    return _exit_status(result, problem)


def _exit_status(result: Result | None, problem: CoreOpsError | None) -> int:
    if result is None:
        return EXIT_OK
    refused = problem is not None and problem.disposition is not Disposition.RETRY
    return EXIT_FAILED if refused or result.failures else EXIT_OK
