"""Forks agents that have their modules loaded already, so that strace sees nothing but the run, each time the same.

`python -m faults.server ARGUMENT...` makes one run with these arguments to load what a run needs. Then it reads a request per
line and answers each: what to run, and with which options strace shall watch or disturb it.
"""

import ctypes
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from core_ops import cli

PR_SET_PTRACER, ANYBODY = 0x59616D61, -1


class Request(msgspec.Struct, frozen=True):
    """One run: its arguments, the directory for its output, and options for strace, if it shall be watched."""

    arguments: list[str]
    output: str
    strace: list[str] = []


def main() -> None:
    """Serve until standard input ends."""
    assert cli.main(sys.argv[1:]) == 0
    for line in sys.stdin:
        status = _run(msgspec.json.decode(line, type=Request))
        sys.stderr.write(f"{json.dumps(status)}\n")
        sys.stderr.flush()


def _run(request: Request) -> int:
    """Return how the run ended: its exit status, or the negative number of the signal."""
    (wait, go), (prepared, ready) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go)
        _be_the_agent(request, ready, wait)
    os.close(wait)
    os.read(prepared, 1)
    os.close(prepared)
    os.close(ready)
    tracer = _watched(child, request.strace) if request.strace else None
    os.close(go)
    _, status = os.waitpid(child, 0)
    if tracer is not None:
        tracer.wait()
    return os.waitstatus_to_exitcode(status)


def _be_the_agent(request: Request, ready: int, wait: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)  # a sibling may attach, wherever Yama is strict
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(f"{request.output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.write(ready, b".")
    select.select([wait], [], [])  # from here on strace counts, and this is no call that it counts
    status = cli.main(request.arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _watched(child: int, options: list[str]) -> subprocess.Popen[bytes]:
    tracer = subprocess.Popen(["strace", "-qq", "-p", str(child), *options], stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{child}/status")
    while "TracerPid:\t0" in status.read_text():
        assert tracer.poll() is None, "strace did not attach"
        time.sleep(0.001)
    return tracer


if __name__ == "__main__":
    main()
