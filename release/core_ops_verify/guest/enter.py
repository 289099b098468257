"""Runs one program inside a box and hands back what came of it; the ways to wait and to time out."""

import subprocess
import time
from collections.abc import Mapping
from types import MappingProxyType

from core_ops_verify.errors import CommandTimeoutError
from core_ops_verify.guest.box import Box

TIMEOUT_S = 120.0
"""Long enough for anything a guest does, short enough that a hang does not eat a CI run."""

_GRACE_S = 3
_TIMED_OUT = {124, 137}
"""How timeout(1) ends when it ended the program by SIGTERM or had to use SIGKILL."""

_NOTHING: Mapping[str, str] = MappingProxyType({})


def run_inside(
    box: Box,
    argv: tuple[str, ...],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] = _NOTHING,
    timeout_s: float = TIMEOUT_S,
) -> "subprocess.CompletedProcess[bytes]":
    """Run a program in a box to its end.

    The time limit is kept inside the box: ending the process that entered it would leave the program running.

    Raises:
        GuestError: The guest is not running.
        CommandTimeoutError: The program did not end in time.
    """
    limited = ("timeout", f"--kill-after={_GRACE_S}", f"{timeout_s:g}", *argv)
    line, started = box.enter(limited, environment), time.monotonic()
    try:
        done = subprocess.run(line, check=False, input=stdin, capture_output=True, timeout=timeout_s + 2 * _GRACE_S)
    except subprocess.TimeoutExpired as error:
        raise CommandTimeoutError(_late(box, argv, timeout_s)) from error
    if done.returncode in _TIMED_OUT and time.monotonic() - started >= timeout_s:
        raise CommandTimeoutError(_late(box, argv, timeout_s))
    return done


def _late(box: Box, argv: tuple[str, ...], timeout_s: float) -> str:
    return f"run {' '.join(argv)} in guest {box.name}: not done after {timeout_s:g} s"
