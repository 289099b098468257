"""How each object came out of a run on a host that does not do as it is told."""

from collections.abc import Mapping

import pytest

from core_ops.reconcile.model import Outcome, ReloadManager, SetEnablement, UnitJob
from core_ops.reconcile.resultview import ResultView, result_view
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
    for entry in view.entries:
        blockers = [d.object.display_id for d in entry.dependencies or () if d.relation == "blocker"]
        assert bool(blockers) == (entry.final_state == "blocked")
