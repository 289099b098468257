"""`systemd-analyze verify` over a directory of units: systemd's own reader, without starting anything.

Only the directory and what the distribution ships are looked at. A drop-in in `/etc/systemd/system` may be one that this state
is about to remove, or somebody else's: neither is the tree's fault.
"""

import os
import shutil

from core_ops.errors import HostError
from core_ops.host import process
from core_ops.reconcile.complaints import Answer, verify_answer

_PATH = "/usr/local/bin:/usr/bin:/bin"
_SHIPPED = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
_TIMEOUT_S = 10.0


def program() -> str:
    """Return the path of the program, or nothing when it is not here."""
    return shutil.which("systemd-analyze", path=_PATH) or ""


def verify(analyze: str, directory: str, units: tuple[str, ...]) -> Answer:
    """Return what systemd says of units in a directory, all of them in one run.

    Units they refer to are not loaded (`--recursive-errors=no`, systemd 250 and later), nor are manual pages looked up.

    Raises:
        HostError: it gives no answer that can be understood.
    """
    argv = (analyze, "verify", "--man=no", "--generators=no", "--recursive-errors=no", *units)
    path = ":".join((directory, *filter(os.path.isdir, _SHIPPED)))
    done = process.run(argv, _TIMEOUT_S, environment={"SYSTEMD_UNIT_PATH": path}, directory=directory)
    answer = verify_answer(done.stderr, directory)
    if done.status < 0 or (done.status and not answer.understood):
        said = done.stderr.strip().splitlines()
        raise HostError(
            f"run {analyze}: exit status {done.status}{f', {said[0][:200]}' if said else ''}",
            code="exec-failed",
            hint=f"try `{analyze} verify` on a unit",
        )
    return answer
