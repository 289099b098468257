"""What a run costs, as ratios measured in one go inside a guest.

Absolute times say little on a shared machine. So each figure is taken in turn with its floors (a bare start of the same
interpreter, `git ls-remote` of the same repository), and the medians of the ratios are what counts.
"""

from collections.abc import Mapping

from core_ops_verify.bench.figures import Figures, summed_up
from core_ops_verify.bench.host import PYTHON, REPOSITORY, bench_host
from core_ops_verify.bench.workload import one_host
from core_ops_verify.guest.progress import Progress, silent

ROUNDS = 15


def no_op(services: int, progress: Progress = silent) -> Mapping[str, Figures]:
    """Return what a run with nothing to do costs on a host with that many services, beside its floors.

    Raises:
        VerifyError: the guest can't be made, or a command in it fails.
    """
    with bench_host(one_host(services), progress) as host:
        host.converge()
        commands = {
            "bare start": [*PYTHON, "-c", "pass"],
            "git ls-remote": ["git", "ls-remote", REPOSITORY],
            "core-ops --version": ["core-ops", "--version"],
            "no-op agent run": ["core-ops", "agent"],
        }
        return summed_up(host.timed(commands, ROUNDS))
