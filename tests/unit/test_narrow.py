"""What is left of a plan when some of it may not be done."""

from core_ops.reconcile import narrow, retry
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired, LastApplied, Obj
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Failure, Plan, ReloadManager, RemoveFile, SetEnablement, UnitJob
from core_ops.reconcile.retry import Diagnosis
from fakes import FakeHost
from trees import rendered

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
BASE = f"[Service]\nExecStart=/bin/sleep 1\n{INSTALL}"
NEEDS = f"[Unit]\nRequires=base.service\nAfter=base.service\n{BASE}"
FILES = {"services/x/base.service": BASE, "services/x/needs.service": NEEDS, "services/x/other.service": BASE}


def stopped(*units: str) -> Diagnosis:
    """The diagnosis of units that failed three times; none stands for something that is no unit."""
    failures = tuple(Failure(Obj("service", u.removesuffix(".service")), u, "applying", "failed") for u in units)
    attempt = retry.attempt("1" * 40, "inputs", failures or (Failure(None, "", "applying", "reload failed"),), "t")
    found = retry.diagnosis((attempt,) * 3)
    assert found is not None
    return found


def first(desired: Desired) -> Plan:
    """The plan of an empty host."""
    return plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))


def acted_on(planned: Plan) -> set[str]:
    """The units that get a job or a link."""
    return {e.unit for e in planned.effects if isinstance(e, UnitJob | SetEnablement)}


def test_what_failed_and_what_would_pull_it_up_are_left_alone() -> None:
    """A start of what requires a unit starts that too; neither counts as started, and both entries say why."""
    desired = rendered(FILES)
    part = narrow.without(first(desired), stopped("base.service"), build(desired))
    assert acted_on(part) == {"other.service"}
    assert part.expect == ("other.service",)
    assert {s.unit for s in part.started_after} == {"other.service"}
    notes = {e.object.name: e.notes for e in part.entries}
    assert notes["base"] == notes["needs"] == (retry.NOT_TRIED,)
    assert notes["other"] == ()


def test_a_reload_alone_is_not_worth_a_run() -> None:
    """A unit that is not known to be started asks for a reload at every plan; with its jobs left out nothing remains."""
    desired = rendered({"services/x/base.service": BASE})
    whole = first(desired)
    host = FakeHost()
    for effect in whole.effects:
        if not isinstance(effect, UnitJob):
            host.carry_out((effect,))
    again = plan(desired, LastApplied(desired, whole.owned_after, ()), host.observe(subjects(desired, LastApplied())))
    assert any(isinstance(e, ReloadManager) for e in again.effects)
    assert narrow.without(again, stopped("base.service"), build(desired)).effects == ()


def test_what_is_no_unit_leaves_everything_alone() -> None:
    """Nobody can tell what would be safe after a reload that fails."""
    desired = rendered(FILES)
    assert narrow.without(first(desired), stopped(), build(desired)).effects == ()


def test_a_removed_unit_that_does_not_stop_keeps_its_file() -> None:
    """Without its file nobody could stop it any more."""
    old, new = rendered(FILES), rendered({"services/x/base.service": BASE})
    whole, host = first(old), FakeHost()
    for effect in whole.effects:
        host.carry_out((effect,))
    last = LastApplied(old, whole.owned_after, whole.started_after)
    planned = plan(new, last, host.observe(subjects(new, last)))
    part = narrow.without(planned, stopped("needs.service"), build(new))
    assert [e.path for e in planned.effects if isinstance(e, RemoveFile)] == [
        "/etc/systemd/system/needs.service",
        "/etc/systemd/system/other.service",
    ]
    assert [e.path for e in part.effects if isinstance(e, RemoveFile)] == ["/etc/systemd/system/other.service"]
    assert "needs.service" not in acted_on(part)


def test_files_alone_keep_what_is_owned_and_what_is_started() -> None:
    """Nothing is removed, nothing counts as started, and every entry that waits says so."""
    old, new = rendered(FILES), rendered({"services/x/base.service": BASE.replace("sleep 1", "sleep 2")})
    whole, host = first(old), FakeHost()
    for effect in whole.effects:
        host.carry_out((effect,))
    last = LastApplied(old, whole.owned_after, whole.started_after)
    part = narrow.files_only(plan(new, last, host.observe(subjects(new, last))))
    assert [type(e).__name__ for e in part.effects] == ["WriteFile"]
    assert set(part.owned_after) == set(whole.owned_after)
    assert part.started_after == part.started
    assert {e.object.name: e.action for e in part.entries} == {"base": "update", "needs": "skipped", "other": "skipped"}
    assert all(narrow.WAITING in e.notes for e in part.entries)
