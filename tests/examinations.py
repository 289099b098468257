"""Recorded answers of Podman's generator and of systemd, as folders below `fixtures/preflight`.

Each folder holds a tree for host h1, what Podman 5.4 and systemd 257 print of it (they look below `/run/scratch`), and a line
for each place (`expected`). Guests hold the recordings to the real programs.
"""

from pathlib import Path

from core_ops.host.directory import read_tree
from core_ops.reconcile.complaints import generated, generator_answer, silent, verify_answer
from core_ops.reconcile.model import Desired
from core_ops.reconcile.preflight import Examination, Verdict, staged
from trees import outcome

CASES = sorted(p for p in (Path(__file__).parents[1] / "fixtures" / "preflight").iterdir() if p.is_dir())
QUADLET, SYSTEMD = "/run/scratch/quadlet", "/run/scratch/systemd"
PODMAN_OUT, PODMAN_ERR, SYSTEMD_ERR = "podman.stdout", "podman.stderr", "systemd.stderr"


def desired(case: Path) -> Desired:
    """The state of the case's host."""
    state = outcome(read_tree(case / "tree"))
    assert isinstance(state, Desired), state
    return state


def examination(case: Path) -> Examination:
    """What the recorded answers come to."""
    made = generated((case / PODMAN_OUT).read_text())
    podman = generator_answer((case / PODMAN_ERR).read_text(), QUADLET)
    names = tuple(name for name, _ in staged(desired(case)).quadlet if "/" not in name)
    systemd = verify_answer((case / SYSTEMD_ERR).read_text(), SYSTEMD)
    return Examination("", made, (*podman.complaints, *silent(names, made, podman), *systemd.complaints))


def places(verdict: Verdict) -> list[str]:
    """Each finding and each doubt as a line, without its words."""
    found = [(f.path, f.line, f.code) for f in verdict.refusals] + [(d.path, d.line, d.code) for d in verdict.doubts]
    return [f"{path}{f':{line}' if line else ''}: {code}" for path, line, code in sorted(found)]
