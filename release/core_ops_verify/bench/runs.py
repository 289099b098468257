"""What runs that do something cost: a plan of everything, one changed file, and a first apply, each beside its floor.

The floor of a change is what git and systemd need for it alone. The floor of a first apply writes the same files, durably and
in one batch, and has systemd read and start them; `floor` is the program that writes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core_ops_verify.bench import floor
from core_ops_verify.bench.figures import Figures, summed_up
from core_ops_verify.bench.host import PYTHON, REPOSITORY, BenchHost, bench_host
from core_ops_verify.bench.workload import CHANGED_UNIT, changed_config, changed_everywhere, installed, one_host
from core_ops_verify.guest.progress import Progress, silent

PLAN_ROUNDS = 5
CHANGE_ROUNDS = 7
COLD_ROUNDS = 3
BUDGETS: Mapping[str, str] = {
    "plan of everything": "3 s for 5000 services, 128 MiB",
    "one changed file": "2 x, 64 MiB for 1000 services",
    "first apply": "2 x, 64 MiB for 1000 services",
}
_FETCH = f"git -C /root/floor.git fetch -q {REPOSITORY} main"
_ONE_CHANGE = f"{_FETCH} && systemctl daemon-reload && systemctl restart {CHANGED_UNIT}"
_FIRST_START = "{write} && systemctl daemon-reload && systemctl start $(cat /root/units)"


class Measured(NamedTuple):
    """The figures of one benchmark, its floor first, and the first lines of the profile of what is measured."""

    figures: Mapping[str, Figures]
    profile: tuple[str, ...]


def plan(services: int, progress: Progress = silent) -> Measured:
    """Return what a plan costs on a host with that many services, all of whose units and files changed.

    Raises:
        VerifyError: the guest can't be made, or a command in it fails.
    """
    with bench_host(one_host(services), progress) as host:
        host.converge()
        host.commit(changed_everywhere(services))
        commands = {"bare start": [*PYTHON, "-c", "pass"], "plan of everything": ["core-ops", "plan"]}
        return Measured(summed_up(host.timed(commands, PLAN_ROUNDS)), host.profile("plan"))


def change(services: int, progress: Progress = silent) -> Measured:
    """Return what a run costs that brings one changed config file to a host with that many services.

    Raises:
        VerifyError: the guest can't be made, or a command in it fails.
    """
    commands = {"fetch, reload, restart": ["sh", "-c", _ONE_CHANGE], "one changed file": ["core-ops", "agent"]}
    found: dict[str, list[list[float]]] = {name: [] for name in commands}
    with bench_host(one_host(services), progress) as host:
        host.converge()
        host.guest.check("git", "init", "-q", "--bare", "/root/floor.git")
        host.guest.check("sh", "-c", _FETCH)
        for number in range(CHANGE_ROUNDS):
            host.commit(changed_config(f"round {number}"))
            _add(found, host.timed(commands, 1, warm_up=0))
        host.commit(changed_config("profiled"))
        return Measured(summed_up(found), host.profile("agent"))


def cold(services: int, progress: Progress = silent) -> Measured:
    """Return what the first apply of that many services costs, on a new guest for each measurement.

    Raises:
        VerifyError: a guest can't be made, or a command in it fails.
    """
    files = one_host(services)
    found: dict[str, list[list[float]]] = {"write, reload, start": [], "first apply": []}
    for _ in range(COLD_ROUNDS):
        with bench_host(files, progress) as host:
            _add(found, host.timed({"write, reload, start": _first_start(host, services)}, 1, warm_up=0))
        with bench_host(files, progress) as host:
            _add(found, host.timed({"first apply": ["core-ops", "agent"]}, 1, warm_up=0))
    with bench_host(files, progress) as host:
        return Measured(summed_up(found), host.profile("agent"))


def _add(found: dict[str, list[list[float]]], more: Mapping[str, list[list[float]]]) -> None:
    for name, runs in more.items():
        found[name] += runs


def _first_start(host: BenchHost, services: int) -> list[str]:
    """Return the command that does to a guest what a first apply must at least do."""
    host.guest.write_text("/root/floor.py", Path(floor.__file__).read_text())
    wanted = installed(services)
    host.guest.write_text("/root/files.json", json.dumps(wanted))
    units = (path.rpartition("/")[2] for path in wanted if path.endswith(".service"))
    host.guest.write_text("/root/units", "\n".join(units))
    return ["sh", "-c", _FIRST_START.format(write=" ".join((*PYTHON, "/root/floor.py", "/root/files.json")))]
