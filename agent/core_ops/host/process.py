"""The one place that starts programs: fixed arguments, a clean environment, a time limit, bounded output."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from types import MappingProxyType

from core_ops.errors import HostError

OUTPUT_LIMIT_BYTES = 32 * 1024 * 1024  # the state of thousands of units; a program that goes on beyond is ended
_NOTHING: Mapping[str, str] = MappingProxyType({})

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


def run(
    argv: tuple[str, ...],
    timeout_s: float,
    *,
    environment: Mapping[str, str] = _NOTHING,
    directory: str | None = None,
    output_limit_bytes: int = OUTPUT_LIMIT_BYTES,
) -> Completed:
    """Run a program to its end and return what it said, whatever its exit status.

    Args:
        argv: the program and its arguments.
        timeout_s: how long it may take.
        environment: variables to add to the clean ones.
        directory: where it works; where this program does by default.
        output_limit_bytes: how much it may say in all.

    Raises:
        HostError: the program is not installed, did not end in time or said too much (it is killed then).
    """
    with _started(argv, environment, directory) as child:
        try:
            stdout, stderr = _heard(child, argv, timeout_s, output_limit_bytes)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    return Completed(child.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def _started(argv: tuple[str, ...], environment: Mapping[str, str], directory: str | None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            env={**_ENVIRONMENT, **environment},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # what it starts ends with it
        )
    except FileNotFoundError as error:
        raise HostError(
            f"run {argv[0]}: not installed", code="program-missing", hint=f"install the package that has {argv[0]}"
        ) from error
    except OSError as error:
        raise HostError(f"run {argv[0]}: {error.strerror}", code="exec-failed", hint="see the kernel log") from error


def _heard(child: subprocess.Popen[bytes], argv: tuple[str, ...], timeout_s: float, limit: int) -> tuple[bytes, bytes]:
    """Return both outputs of a program that has ended."""
    deadline = time.monotonic() + timeout_s
    said = {child.stdout: bytearray(), child.stderr: bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in said:
            selector.register(stream, selectors.EVENT_READ)  # type: ignore[arg-type]  # both are pipes
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if not ready and time.monotonic() >= deadline:
                raise _late(argv, timeout_s)
            for key, _ in ready:
                chunk = os.read(key.fd, 65536)
                said[key.fileobj] += chunk  # type: ignore[index]  # one of the two
                if not chunk:
                    selector.unregister(key.fileobj)
            if sum(map(len, said.values())) > limit:
                raise HostError(
                    f"run {' '.join(argv[:2])}: it said more than {limit} bytes",
                    code="output-too-large",
                    hint="run it by hand and see what it says",
                )
    try:
        child.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise _late(argv, timeout_s) from error
    return bytes(said[child.stdout]), bytes(said[child.stderr])


def _late(argv: tuple[str, ...], timeout_s: float) -> HostError:
    return HostError(
        f"run {' '.join(argv[:2])}: no answer within {timeout_s:.0f} s",
        code="timeout",
        hint="see `systemctl list-jobs` for what it waits for",
    )
