"""What a plan shows of requirements, however long a chain of them is."""

import pytest

from core_ops.reconcile.compare import subjects
from core_ops.reconcile.contract import (
    CauseView,
    DependencyView,
    ObjectView,
    PlanEntryView,
    PlanSummary,
    PlanView,
    RevisionView,
    plan_view,
)
from core_ops.reconcile.explain import Explained, explain
from core_ops.reconcile.explainview import explain_lines, explain_view
from core_ops.reconcile.graph import build
from core_ops.reconcile.model import LastApplied
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Failure, Result
from core_ops.reconcile.resultview import result_view
from core_ops.reconcile.resultwords import result_lines
from core_ops.reconcile.words import REQUIRED_SHOWN, REQUIRED_SHOWN_FULL, plan_lines
from fakes import FakeHost
from trees import rendered

LONG = 3000
DEEP = 1100  # more than calls may be deep
INSTALL = "[Install]\nWantedBy=multi-user.target\n"


def _chain(length: int) -> PlanView:
    """Each unit requires the one before it."""
    names = [ObjectView("service", f"u{n}", f"service/u{n}") for n in range(length)]
    entries = tuple(
        PlanEntryView(
            name,
            "create",
            (CauseView("desired_change", "new"),),
            tuple(DependencyView("prerequisite", before) for before in names[max(0, place - 1) : place]),
            place,
        )
        for place, name in enumerate(names)
    )
    return PlanView(RevisionView("1" * 40), PlanSummary(length, 0, 0, 0, length), entries, "h1")


@pytest.mark.parametrize(("full", "most"), [(False, REQUIRED_SHOWN), (True, REQUIRED_SHOWN_FULL)])
def test_a_long_chain_has_a_few_lines_for_each_object(*, full: bool, most: int) -> None:
    """Its length neither ends the words nor makes them grow with its square; what is left out is counted."""
    lines = list(plan_lines(_chain(LONG), full=full))
    assert len(lines) < LONG * (most + 5)
    where = "--json" if full else "-v"
    assert [li for li in lines if "more" in li][-1] == f"             … {LONG - 1 - most} more ({where} shows them)"


def test_a_chain_longer_than_calls_may_be_deep_is_planned_told_and_explained() -> None:
    """Graph, plan, views, the end of a run and an explanation: none of them goes down a chain by calls."""
    service = f"[Service]\nExecStart=/bin/sleep 1\n{INSTALL}"
    files = {
        f"services/x/u{n}.service": f"[Unit]\nRequires=u{n - 1}.service\nAfter=u{n - 1}.service\n{service}"
        for n in range(1, DEEP)
    }
    desired = rendered({"services/x/u0.service": service, **files})
    planned = plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))
    lines = list(plan_lines(plan_view(planned)))
    assert f"             … {DEEP - 1 - REQUIRED_SHOWN} more (-v shows them)" in lines
    graph = build(desired)
    assert len(graph.strong_dependents({"u0.service"})) == DEEP
    first, *others = planned.entries
    failures = (
        Failure(first.object, "u0.service", "applying", "failed"),
        *(Failure(e.object, f"{e.object.name}.service", "applying", "dependency", dependency=True) for e in others),
    )
    done = result_view(Result(planned, "failed", failures))
    assert [e.final_state for e in done.entries] == ["failed", *["blocked"] * (DEEP - 1)]
    assert list(result_lines(done))
    found = explain(desired, graph, f"u{DEEP - 1}.service")
    assert isinstance(found, Explained)
    assert list(explain_lines(explain_view(found, "h1", desired.source)))
