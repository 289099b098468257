"""The one place that starts programs: fixed arguments, a clean environment, a time limit, bounded output."""

import subprocess

from core_ops.errors import HostError

# What a person's shell or a unit file sets must not change what a child does or how it words its answer.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "SYSTEMD_COLORS": "0",
    "SYSTEMD_PAGER": "",
    "HOME": "/nonexistent",
}


class Completed:
    """How a program ended: its exit status and what it said."""

    def __init__(self, status: int, stdout: str, stderr: str) -> None:
        self.status, self.stdout, self.stderr = status, stdout, stderr


def run(argv: tuple[str, ...], timeout_s: float) -> Completed:
    """Run a program to its end and return what it said, whatever its exit status.

    Raises:
        HostError: the program is not installed, or did not end in time (it is killed then).
    """
    try:
        done = subprocess.run(
            argv,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise HostError(
            f"run {argv[0]}: not installed", code="program-missing", hint=f"install the package that has {argv[0]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise HostError(
            f"run {' '.join(argv[:2])}: no answer within {timeout_s:.0f} s",
            code="timeout",
            hint="see `systemctl list-jobs` for what it waits for",
        ) from error
    except OSError as error:
        raise HostError(f"run {argv[0]}: {error.strerror}", code="exec-failed", hint="see the kernel log") from error
    return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
