"""Which applied states are kept, and which one a person means."""

import pytest

from core_ops.errors import CoreOpsError
from core_ops.reconcile import snapshots
from core_ops.reconcile.model import Desired, Source
from core_ops.reconcile.snapshots import History
from trees import outcome, tree

SCOPE = "host:h1:m"


def state(number: int, revision: int | None = None) -> Desired:
    """A state that differs by number, of a revision of its own unless told otherwise."""
    made = outcome(tree({"services/a/a.container": f"[Container]\nImage=x:{number}\n"}), commit(revision or number))
    assert isinstance(made, Desired)
    return made


def commit(number: int) -> str:
    """An id that begins with the number."""
    return f"{number:08x}" + "0" * 32


def history(*states: Desired) -> History:
    """What is kept after these were applied, one a minute."""
    found = History()
    for place, desired in enumerate(states):
        found = snapshots.kept(found, desired, SCOPE, f"2026-01-02T03:{place:02}:00Z")
    return found


def test_ten_states_are_kept_and_the_rest_is_known_by_name() -> None:
    """The newest comes first; what is pushed out is expired, not unknown."""
    found = history(*map(state, range(1, 13)))
    assert [s.revision for s in found.snapshots] == [commit(n) for n in range(12, 2, -1)]
    assert found.expired == (commit(2), commit(1))


def test_revisions_with_the_same_state_share_it_and_push_nothing_out() -> None:
    """Commits that concern other hosts do not cost this one its way back."""
    found = history(state(1), *(state(2, 100 + n) for n in range(50)))
    assert len({s.digest for s in found.snapshots}) == 2
    assert snapshots.find(found, commit(1), SCOPE).digest == snapshots.digest(snapshots.content(state(1)))
    assert snapshots.find(found, commit(149), SCOPE).digest == snapshots.find(found, commit(100), SCOPE).digest


def test_what_is_remembered_is_bounded() -> None:
    """A thousand commits for other hosts do not make the record grow for ever."""
    found = history(*(state(1, n) for n in range(1, 1001)))
    assert len(found.snapshots) == 100
    assert len(found.expired) == 100


def test_a_state_that_holds_again_comes_first_again() -> None:
    """After a rollback the oldest snapshot is the newest one."""
    found = history(state(1), state(2), state(1))
    assert [s.revision for s in found.snapshots] == [commit(1), commit(2)]
    assert found.snapshots[0].at == "2026-01-02T03:02:00Z"


def test_a_snapshot_says_where_it_came_from() -> None:
    """Revision, scope, source, time, signer and rules, without reading the state."""
    desired = Desired(Source(commit(1), "file:///r", "refs/heads/main", "alice"), "h1", state(1).directories, 2, ())
    kept = snapshots.kept(History(), desired, SCOPE, "t").snapshots[0]
    assert (kept.revision, kept.scope, kept.repository, kept.ref, kept.signer, kept.rules, kept.at) == (
        *(commit(1), SCOPE, "file:///r", "refs/heads/main", "alice"),
        *(2, "t"),
    )


@pytest.mark.parametrize("digits", [7, 8, 40])
def test_a_revision_may_be_given_by_its_first_seven_digits(digits: int) -> None:
    """As git prints it, in either case."""
    found = history(state(0xABCDEF12), state(2))
    assert snapshots.find(found, commit(0xABCDEF12)[:digits].upper(), SCOPE).revision == commit(0xABCDEF12)


@pytest.mark.parametrize(
    ("asked", "scope", "code"),
    [
        ("000000", SCOPE, "bad-revision"),
        ("main", SCOPE, "bad-revision"),
        ("0000000", SCOPE, "bad-revision"),
        (commit(0xDD), SCOPE, "missing_snapshot"),
        (commit(1), SCOPE, "expired"),
        (commit(5), "host:h1:other", "incompatible_scope"),
        (commit(5), "host:h2:m", "incompatible_scope"),
    ],
)
def test_what_cannot_be_gone_back_to_is_refused_by_name(asked: str, scope: str, code: str) -> None:
    """Each reason has its code and a next step; what is there is listed."""
    with pytest.raises(CoreOpsError) as caught:
        snapshots.find(history(*map(state, range(1, 13))), asked, scope)
    assert caught.value.code == code
    assert caught.value.hint
    assert asked in caught.value.message
    if code in {"missing_snapshot", "expired"}:
        assert [d.split()[0] for d in caught.value.details] == [commit(n) for n in range(12, 2, -1)]
