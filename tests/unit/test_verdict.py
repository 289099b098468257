"""How each object came out of a run on a host that does not do as it is told."""

from collections.abc import Mapping

import pytest

from core_ops.reconcile.planned import Effect, Failure, Outcome, ReloadManager, SetEnablement, UnitJob
from core_ops.reconcile.resultview import ResultView, result_view
from fakes import FakeHost
from scenes import Scene, Unwilling
from trees import rendered

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
FILES = {
    "services/a/a.service": f"[Service]\nExecStart=/bin/a\nEnvironmentFile=/etc/a/a.conf\n{INSTALL}",
    "services/a/a.service.d/x.conf": "[Unit]\nDescription=x\n",
    "services/a/config/a.conf": "x\n",
    "services/a/b.container": f"[Container]\nImage=x\n{INSTALL}",
}
CONFIG, DROPIN, A, B = "config/etc/a/a.conf", "dropin/a.service.d/10-base-x.conf", "service/a", "container/b"
S = "/etc/systemd/system"


def after(host: Unwilling) -> tuple[ResultView, Mapping[str, str]]:
    """The view of a run on a host, and the end of each object."""
    view = result_view(Scene(host).converge(rendered(FILES)))
    return view, {e.object.display_id: e.final_state for e in view.entries}


@pytest.mark.parametrize(
    ("host", "outcome", "ends"),
    [
        (Unwilling(), "converged", {CONFIG: "succeeded", DROPIN: "succeeded", A: "succeeded", B: "succeeded"}),
        (
            Unwilling(path="/etc/a/a.conf"),
            "partially_applied",
            {CONFIG: "failed", DROPIN: "skipped", A: "blocked", B: "skipped"},
        ),
        (
            Unwilling(path=f"{S}/a.service.d/10-base-x.conf"),
            "partially_applied",
            {CONFIG: "succeeded", DROPIN: "failed", A: "blocked", B: "succeeded"},
        ),
        (
            Unwilling(effect=SetEnablement),
            "partially_applied",
            {CONFIG: "succeeded", DROPIN: "succeeded", A: "failed", B: "succeeded"},
        ),
        (
            Unwilling(effect=ReloadManager),
            "partially_applied",
            {CONFIG: "succeeded", DROPIN: "succeeded", A: "skipped", B: "skipped"},
        ),
        (
            Unwilling(effect=UnitJob),
            "partially_applied",
            {CONFIG: "succeeded", DROPIN: "succeeded", A: "failed", B: "skipped"},
        ),
        (
            Unwilling(blind=True),
            "partially_applied",
            {CONFIG: "failed", DROPIN: "failed", A: "failed", B: "failed"},
        ),
    ],
    ids=["willing", "config", "drop-in", "enablement", "reload", "jobs", "look"],
)
def test_what_was_not_done_or_not_seen_is_no_success(
    host: Unwilling, outcome: Outcome, ends: Mapping[str, str]
) -> None:
    """Whatever a host refuses, each object ends as it really did, and what it needs is named where it is held back."""
    view, found = after(host)
    assert found == ends
    assert view.outcome == outcome
    failed = {f.object.display_id for f in view.failures or () if f.object}
    assert failed == {name for name, end in ends.items() if end == "failed" and not host.blind}
    for entry in view.entries:
        blockers = [d.object.display_id for d in entry.dependencies or () if d.relation == "blocker"]
        assert bool(blockers) == (entry.final_state == "blocked")


def test_a_unit_started_from_older_inputs_is_blocked_by_them() -> None:
    """After a file could not be written the ones behind it are not; who was started without them names them."""
    host = Unwilling(path="/etc/a/a.conf")
    web = f"[Container]\nImage=x\nVolume=%E/b/b.conf:/b\n{INSTALL}"
    files = {"services/b/b.container": web, "services/b/config/b.conf": "1\n"}
    scene = Scene(host)
    scene.converge(rendered(files))
    view = result_view(
        scene.converge(rendered({**files, "services/b/config/b.conf": "2\n", "services/a/config/a.conf": "x\n"}))
    )
    ends = {e.object.display_id: e for e in view.entries}
    assert [(name, e.final_state) for name, e in ends.items()] == [
        ("config/etc/a/a.conf", "failed"),
        ("config/etc/b/b.conf", "skipped"),
        ("container/b", "blocked"),
    ]
    (why,) = [c.summary for c in ends["container/b"].causes or () if c.kind == "dependency_failure"]
    assert why == "config/etc/b/b.conf was not reached"


class Edited(FakeHost):
    """A host on which somebody writes a file while its unit stops, once."""

    path = ""

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        failures = super().carry_out(effects)
        if self.path and isinstance(effects[0], UnitJob) and effects[0].verb == "stop":
            self.edit(self.path, b"theirs\n")
            self.path = ""
        return failures


@pytest.mark.parametrize("removed", [True, False], ids=["removed", "written"])
def test_an_edit_during_a_run_outlives_it(*, removed: bool) -> None:
    """Whether it was to be removed or replaced: the run says so, owns the file still, and the next one plans from the edit."""
    scene = Scene(host := Edited())
    scene.converge(rendered(FILES))
    new = {p: t for p, t in FILES.items() if "config" not in p and ".d/" not in p}
    new["services/a/a.service"] = f"[Service]\nExecStart=/bin/other\n{INSTALL}"
    if not removed:
        new["services/a/config/a.conf"] = "y\n"
    host.path = "/etc/a/a.conf"

    view = result_view(scene.converge(rendered(new)))

    (failed,) = (f for f in view.failures or () if f.object)
    assert (failed.object and failed.object.display_id, "changed" in failed.detail) == (CONFIG, True)
    assert view.outcome == "partially_applied"
    assert host.files["/etc/a/a.conf"][0] == b"theirs\n"
    last = scene.store.load().last
    assert "/etc/a/a.conf" in {o.path for o in last.owned}
    assert "a.service" not in {s.unit for s in last.started}
    assert "a.service" in host.running

    assert scene.converge(rendered(new)).outcome == "converged"
    assert host.files.get("/etc/a/a.conf") == (None if removed else (b"y\n", 0o644))
