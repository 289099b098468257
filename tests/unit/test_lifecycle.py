"""The one word for a host, and the sentences that go with it."""

import msgspec
import pytest

from core_ops.reconcile import record, retry
from core_ops.reconcile.model import Obj
from core_ops.reconcile.planned import Failure
from core_ops.reconcile.record import Controller, DesiredState, Ending, Record, RunStatus, Status, lifecycle, notices
from core_ops.reconcile.snapshots import History, Snapshot
from core_ops.reconcile.words import status_lines

NEW = Status(desired_state=DesiredState("file:///r", "main"))
BEGUN = record.begun(NEW, Controller(), "1" * 40, 0.0)


def ended(status: Status, how: RunStatus, *, detaches: bool = False) -> Status:
    """The status after a run that ended so."""
    applied = "1" * 40 if how == "success" else ""
    return record.finished(status, Ending(how, applied, "", how == "failed", None, detaches), 60.0)


@pytest.mark.parametrize(
    ("status", "busy", "word"),
    [
        (None, False, "Uninitialized"),
        (NEW, False, "Initialized"),
        (NEW, True, "Initialized"),
        (BEGUN, True, "Reconciling"),
        (BEGUN, False, "Diverged"),
        (ended(BEGUN, "success"), False, "Converged"),
        (ended(BEGUN, "success"), True, "Converged"),
        (ended(BEGUN, "failed"), False, "Diverged"),
        (ended(BEGUN, "in_progress"), False, "Diverged"),
        (ended(BEGUN, "success", detaches=True), False, "Detached"),
    ],
)
def test_every_state_has_its_word(status: Status | None, word: str, *, busy: bool) -> None:
    """A run is going on only while somebody holds the lock; what a killed one left is diverged."""
    assert lifecycle(status, busy=busy) == word


def test_the_sentences_are_those_of_the_contract() -> None:
    """People and scripts know them by heart."""
    assert notices(Record(), busy=False) == (
        "controller is not initialized; run 'core-ops init <repository> <ref>' to initialize",
    )
    detached = Record(status=ended(BEGUN, "success", detaches=True))
    (said,) = notices(detached, busy=False)
    next_step = "run 'core-ops init <repository> <ref> --force' to follow the repository again"
    assert said == f"controller is detached at revision {'1' * 40}; {next_step}"


def test_a_killed_run_is_called_interrupted() -> None:
    """With the lock free, `running` only says that nobody could say how it ended."""
    killed = Record(status=BEGUN)
    assert notices(killed, busy=True) == ()
    (said,) = notices(killed, busy=False)
    assert said == "the run that began at 1970-01-01T00:00:00Z was interrupted; the next one goes on from there"


def test_fields_say_how_the_last_run_went() -> None:
    """Attempts count up, the applied revision moves with success only, and a failure keeps it."""
    good = ended(BEGUN, "success")
    again = ended(record.begun(good, Controller(), "2" * 40, 120.0), "failed")
    run = again.reconciliation
    assert (run.generation, run.running, run.status) == (2, False, "failed")
    assert (run.last_attempted_revision, run.last_applied_revision) == ("2" * 40, "1" * 40)
    assert (run.last_started_at, run.last_finished_at) == ("1970-01-01T00:02:00Z", "1970-01-01T00:01:00Z")
    assert run.attempted_observed_divergence
    assert not good.reconciliation.attempted_observed_divergence
    assert msgspec.to_builtins(good)["desired_state"]["layout-version"] == 1


def test_status_shows_the_ways_back_and_what_is_not_tried_again() -> None:
    """The newest ten by a line each, and the last words of systemd below the sentence that says what fails."""
    failures = (Failure(Obj("container", "a"), "a.service", "applying", "exit status 125"),)
    found = retry.diagnosis((retry.attempt("2" * 40, "inputs", failures, "2026-01-02T03:04:05Z"),) * 3)
    ending = Ending("failed", "", "what `said` repeats", divergence=True, diagnosis=found, detaches=False)
    kept = tuple(Snapshot(f"d{n}", f"{n:040x}", signer="alice", at="2026-01-02T03:04:05Z") for n in range(12, 0, -1))
    known = Record(record.finished(BEGUN, ending, 0.0), history=History(kept))
    lines = list(status_lines(known, "Diverged", "keys", notices(known, busy=False)))
    assert lines[1] == (
        "container/a: fails in the same way, 3 attempts since 2026-01-02T03:04:05Z; not tried again by itself; "
        f"what lifts it: {retry.LIFTED_BY}"
    )
    assert "Last words   a.service: exit status 125" in lines
    assert not any("repeats" in line for line in lines)
    assert f"Snapshots    {'0' * 12}  2026-01-02T03:04:05Z  alice" in lines
    assert lines[-1].strip() == "… 2 more (--json shows them)"
