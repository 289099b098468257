"""What commands cost: medians over rounds in which each of them ran once, beside the first one, which is the floor.

Where their time goes is what cProfile prints of one more round.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PROFILE_LINES = 12
_PROFILED = re.compile(r"^ +[0-9/]+ +[0-9.]+ ")


@dataclass(frozen=True)
class Figures:
    """One command: median times in seconds, the largest memory in MiB, the median ratio of wall time to the floor's."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    ratio: float
    failed: int


def summed_up(found: Mapping[str, Sequence[Sequence[float]]]) -> Mapping[str, Figures]:
    """Return the figures of each command.

    Args:
        found: for each command, the floor first, its rounds as (wall seconds, cpu seconds, peak KiB, wait status).
    """
    floor = next(iter(found.values()))
    return {
        name: Figures(
            wall_s=_median([run[0] for run in runs]),
            cpu_s=_median([run[1] for run in runs]),
            peak_mib=max(run[2] for run in runs) / 1024,
            ratio=_median([run[0] / bare[0] for run, bare in zip(runs, floor, strict=True)]),
            failed=sum(1 for run in runs if run[3]),
        )
        for name, runs in found.items()
    }


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def table(head: str, found: Mapping[str, Figures], budgets: Mapping[str, str]) -> tuple[str, ...]:
    """Return the figures for people, a line for each command, with its budget if it has one."""
    return (
        head,
        *(
            f"{name:<22} {f.wall_s * 1000:8.1f} ms wall {f.cpu_s * 1000:8.1f} ms cpu {f.peak_mib:6.1f} MiB"
            f" {f.ratio:7.2f} x floor{_budget(name, budgets)}{'  FAILED' if f.failed else ''}"
            for name, f in found.items()
        ),
    )


def _budget(name: str, budgets: Mapping[str, str]) -> str:
    return f"  (budget {budgets[name]})" if name in budgets else ""


def busiest(printed: str) -> tuple[str, ...]:
    """Return the functions that take most time of their own.

    Args:
        printed: what a program prints under cProfile, sorted by `tottime`.
    """
    return tuple(line for line in printed.splitlines() if _PROFILED.match(line))[:PROFILE_LINES]
