"""When a host stops trying by itself, and what lifts that."""

from collections.abc import Sequence

import pytest

from core_ops.reconcile import ending, retry
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.events import Failed, journal_entry
from core_ops.reconcile.model import LastApplied, Obj
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Failure, Result
from core_ops.reconcile.retry import Attempt
from fakes import FakeHost
from trees import rendered

REVISION = "1" * 40
INPUTS = "kernel 6.1"
WEB = {"services/x/web.service": "[Service]\nExecStart=/bin/true\n"}


def failure(unit: str, phase: str = "applying", detail: str = "failed") -> Failure:
    """One unit that did not come up."""
    obj = Obj("container", unit.removesuffix(".service"))
    return Failure(obj, unit, "applying" if phase == "applying" else "verifying", detail)


def attempts(*ways: str | Sequence[Failure], revision: str = REVISION, inputs: str = INPUTS) -> tuple[Attempt, ...]:
    """Attempts in order; a letter is a unit that failed alone."""
    return tuple(
        retry.attempt(
            revision,
            inputs,
            (failure(f"{way}.service"),) if isinstance(way, str) else tuple(way),
            f"2026-01-02T03:0{place}:00Z",
        )
        for place, way in enumerate(ways)
    )


@pytest.mark.parametrize(
    ("ways", "kind"),
    [
        ("", None),
        ("aa", None),
        ("aba", None),
        ("aaa", "repeated_failure"),
        ("aaaa", "repeated_failure"),
        ("abab", "oscillation"),
        ("abcabca", "repeated_failure"),
        ("abac", None),
        ("abc", None),
        ("abba", None),
        ("caba", None),
        ("cabab", "oscillation"),
    ],
)
def test_the_third_equal_failure_or_two_that_take_turns_stop_progress(ways: str, kind: str | None) -> None:
    """Three of one kind, or A B A B; different failures go on being tried."""
    found = retry.diagnosis(attempts(*ways))
    assert (found.kind if found else None) == kind


def test_every_sequence_of_failures_comes_to_an_end() -> None:
    """Whatever fails, a host with n ways to fail tries at most 2n times, and then once more."""
    so_far = attempts(*"abcdabcd")
    assert retry.diagnosis(so_far) is None
    for way in "abcd":
        found = retry.diagnosis(attempts(*"abcdabcd", way))
        assert found is not None
        assert found.units == (f"{way}.service",)


def test_a_signature_is_objects_and_phases_not_words() -> None:
    """Process ids, counters and times in systemd's words do not make another failure of it; a phase does."""
    talked = attempts(*([failure("a.service", detail=f"restarts {n}, pid {n}")] for n in range(3)))
    assert retry.diagnosis(talked) is not None
    phases = attempts(*([failure("a.service", phase)] for phase in ("applying", "verifying", "applying")))
    assert retry.diagnosis(phases) is None


def test_another_revision_or_another_host_begins_a_new_count() -> None:
    """What was tried for another revision, or on another kernel, boot, systemd or podman, does not count."""
    old = attempts("a", "a", "a")
    assert retry.comparable(old, REVISION, INPUTS) == old
    assert retry.comparable(old, "2" * 40, INPUTS) == ()
    assert retry.comparable(old, REVISION, "kernel 6.2") == ()


def test_a_diagnosis_says_what_since_when_how_often_and_the_last_words() -> None:
    """A person needs no log to know what is wrong."""
    found = retry.diagnosis(attempts(*([failure("a.service", detail=f"exit status {n}")] for n in range(3))))
    assert found is not None
    assert found.objects == ("container/a",)
    assert found.units == ("a.service",)
    assert (found.attempts, found.since, found.last_at) == (3, "2026-01-02T03:00:00Z", "2026-01-02T03:02:00Z")
    assert found.said == ("a.service: exit status 2",)
    assert "apply" in found.lifted_by


def test_what_is_no_unit_stops_everything() -> None:
    """When a file or a reload failed nobody can say what would be safe to go on with."""
    found = retry.diagnosis(attempts(*([Failure(None, "", "applying", "reload systemd")] for _ in range(3))))
    assert found is not None
    assert found.units == ()
    assert found.objects == ("the run",)


def test_what_is_remembered_of_failures_is_bounded() -> None:
    """A thousand failing units with long words fit in a record."""
    many = retry.attempt(REVISION, INPUTS, tuple(failure(f"u{n}.service", detail="x" * 5000) for n in range(1000)), "t")
    assert len(many.said) == 10
    assert max(map(len, many.said)) <= 300
    assert len(retry.comparable((many,) * 100, REVISION, INPUTS)) == 32


def test_of_many_units_each_is_named_and_the_first_have_their_last_words() -> None:
    """Words of ten are kept; the others say no less than what becomes of them."""
    ways = [failure(f"u{n}.service", detail="exit code 1") for n in range(10, 22)]
    found = retry.diagnosis(attempts(ways, ways, ways))
    assert found is not None
    said = [f.detail for f in retry.held(found, rendered(WEB))]
    assert said == [f"{retry.NOT_TRIED}; the last time: exit code 1"] * 10 + [retry.NOT_TRIED] * 2


def test_what_is_no_unit_is_named_too() -> None:
    """The sentence of a run, the journal and the diagnosis say the same of a failure that has no object."""
    whole = Failure(None, "", "applying", "no space left")
    desired = rendered(WEB)
    planned = plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))
    assert ending.message(Result(planned, "failed", (whole,))).endswith("not as desired: the run")
    assert journal_entry(Failed(REVISION, whole)).message == "the run failed during applying: no space left"
    assert attempts((whole,))[0].said == ("the run: no space left",)
