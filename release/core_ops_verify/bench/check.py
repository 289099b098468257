"""What `core-ops check` of a large repository costs, beside reading the same files, and where its time goes."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core_ops_verify.bench.figures import Figures, busiest, summed_up
from core_ops_verify.bench.timing import timed
from core_ops_verify.bench.workload import many_hosts
from core_ops_verify.errors import VerifyError

ROUNDS = 5
BUDGETS: Mapping[str, str] = {"core-ops check": "4 s, 128 MiB for 1000 services on 20 hosts"}
_READ = "import pathlib, sys; [p.read_bytes() for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()]"


def check(services: int, hosts: int) -> tuple[Mapping[str, Figures], tuple[str, ...]]:
    """Return what a check of that many services for that many hosts costs, and its profile's first lines.

    Raises:
        VerifyError: the check refuses what it should accept.
    """
    with tempfile.TemporaryDirectory(prefix="core-ops-bench-") as directory:
        for path, text in many_hosts(services, hosts).items():
            file = Path(directory, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        python = (sys.executable, "-I")
        checking = (*python, "-m", "core_ops", "check", directory, "--json")
        answer = subprocess.run(checking, capture_output=True, text=True, check=False)
        if answer.returncode != 0 or json.loads(answer.stdout)["summary"]["host_count"] != hosts:
            raise VerifyError(f"check {services} services on {hosts} hosts: {answer.stderr or answer.stdout[:500]}")
        commands = {"read every file": (*python, "-c", _READ, directory), "core-ops check": checking}
        return summed_up(timed(commands, ROUNDS)), _profile((*python, "-m", "cProfile", "-s", "tottime"), checking)


def _profile(profiler: tuple[str, ...], checking: tuple[str, ...]) -> tuple[str, ...]:
    """Return the functions that take most time of their own, as cProfile says."""
    return busiest(subprocess.run((*profiler, *checking[2:]), capture_output=True, text=True, check=False).stdout)
