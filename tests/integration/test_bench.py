"""Benchmarks measure what they say, on trees small enough to be quick."""

import json

import pytest

from core_ops_verify import cli
from core_ops_verify.bench.check import check as measured
from core_ops_verify.bench.figures import PROFILE_LINES, summed_up
from core_ops_verify.bench.workload import many_hosts
from core_ops_verify.errors import VerifyError


def test_a_check_is_measured_beside_its_floor(capsys: pytest.CaptureFixture[str]) -> None:
    """Both commands succeed, and the floor is one."""
    assert cli.main(["bench", "check", "--services", "4", "--hosts", "2", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert list(figures) == ["read every file", "core-ops check"]
    assert figures["read every file"]["ratio"] == 1.0
    assert all(f["failed"] == 0 and f["wall_s"] > 0 and f["peak_mib"] > 1 for f in figures.values())


def test_a_budget_and_a_profile_are_shown_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    """What a check may cost stands beside what it costs, and below the figures where the time goes."""
    assert cli.main(["bench", "check", "--services", "4", "--hosts", "2"]) == 0
    _, floor, check, *profile = capsys.readouterr().out.splitlines()
    assert (floor.split("  ")[0], check.split("  ")[0]) == ("read every file", "core-ops check")
    assert "budget" not in floor
    assert check.endswith(" x floor  (budget 4 s, 128 MiB for 1000 services on 20 hosts)")
    assert len(profile) == PROFILE_LINES
    assert all(line.endswith((")", "}")) for line in profile)


def test_ratios_are_taken_round_by_round() -> None:
    """A slow moment of the machine hits floor and command alike, and the ratio does not show it."""
    found = summed_up(
        {"floor": [[1, 0, 0, 0], [10, 0, 0, 0], [1, 0, 0, 0]], "it": [[2, 0, 0, 0], [20, 0, 0, 0], [2, 0, 0, 0]]}
    )
    assert found["it"].ratio == 2.0


def test_a_measured_tree_has_what_the_figure_says() -> None:
    """A thousand services are three thousand files, and each host changes one service in twenty."""
    files = many_hosts(1000, 20)
    assert sum(1 for path in files if path.startswith("services/s")) == 3000
    assert sum(1 for path in files if path.startswith("hosts/h00/overrides/")) == 50


def test_a_tree_that_is_refused_is_no_measurement() -> None:
    """A figure of a failed command would look like a fast one."""
    with pytest.raises(VerifyError, match="check 1 services on 0 hosts"):
        measured(1, 0)
