"""Benchmarks of runs measure real runs in real guests, here with so few services that they are quick."""

import json

import pytest

from core_ops_verify import cli
from core_ops_verify.bench.figures import PROFILE_LINES

pytestmark = pytest.mark.e2e

VERBS = {
    "no-op": "no-op agent run",
    "plan": "plan of everything",
    "change": "one changed file",
    "cold": "first apply",
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_is_measured_beside_its_floor(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command succeeds, the first one is the floor, and what is measured takes longer than that."""
    assert cli.main(["bench", verb, "--services", "5", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert next(iter(figures.values()))["ratio"] == 1.0
    assert figures[VERBS[verb]]["ratio"] > 1.0
    assert all(f["failed"] == 0 and f["wall_s"] > 0 and f["peak_mib"] > 1 for f in figures.values())


def test_a_budget_stands_beside_its_figure_and_the_profile_below(capsys: pytest.CaptureFixture[str]) -> None:
    """People see at once what it costs, what it may cost, and where that goes."""
    assert cli.main(["bench", "plan", "--services", "5"]) == 0
    _, floor, plan, *profile = capsys.readouterr().out.splitlines()
    assert "budget" not in floor
    assert plan.startswith("plan of everything ")
    assert "(budget 3 s for 5000 services, 128 MiB)" in plan
    assert len(profile) == PROFILE_LINES
    assert all(line.endswith((")", "}")) for line in profile)
