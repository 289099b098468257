"""A forked process that takes in what a remote sends, with a deadline and a memory limit.

It answers over a pipe with refs or with the error it met, and is thrown away. It cannot outlive the agent or hold its
lock: the kernel kills it when the agent ends, however that ends, and it keeps no descriptor of the agent's. This module
must not know what the work is.
"""

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from core_ops.errors import CoreOpsError, SourceError
from core_ops.reconcile import remote
from core_ops.reconcile.model import Value
from core_ops.reconcile.remote import Failed

if TYPE_CHECKING:
    import ctypes

MAX_CHILD_BYTES = 256 << 20  # on top of what the agent itself maps
MAX_FILE_BYTES = 512 << 20  # twice the largest download: libgit2 completes thin packs

_PR_SET_PDEATHSIG = 1


class Served(Value, frozen=True, tag=True):
    """Refs and the objects they name, as a child found them."""

    refs: dict[str, str]


def in_child(work: Callable[[], dict[str, str]], until: float) -> dict[str, str]:
    """Run `work` in a forked process with limits and return its answer, or raise what it raised.

    Args:
        work: What to run. It must not use what the agent has open: nothing of that is open in the child.
        until: When the child is killed, in the seconds of `time.monotonic`.

    Raises:
        SourceError: `fetch-failed`, it did not end in time, died, or could not be started; or what `work` raised.
        RefusedRevisionError: As `work` raised it.
    """
    pid, reader = _started(work, until)
    try:
        content = _read_all(reader, until)
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if content:
        return _understood(content)
    late = time.monotonic() >= until
    why = "it did not end in time" if late else f"its process died ({os.waitstatus_to_exitcode(status)})"
    hint = "check the network and the server; the next run tries again"
    raise SourceError(f"fetch: {why}", code="fetch-failed", hint=hint)


def _started(work: Callable[[], dict[str, str]], until: float) -> tuple[int, int]:
    """Return the child's process id and the end of the pipe that its answer comes from."""
    _libc()  # before the fork, so that the child is bound to the agent at once
    agent = os.getpid()
    try:
        reader, writer = os.pipe()
        pid = os.fork()
    except OSError as error:
        raise remote.failure("start a process to fetch with", str(error.strerror)) from error
    if pid == 0:
        _be_child(work, writer, until, agent)
    os.close(writer)
    return pid, reader


def _read_all(reader: int, until: float) -> bytes:
    """Return what the child wrote before it closed its end; nothing when the time was up first."""
    content = b""
    while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
        more = os.read(reader, 1 << 16)
        if not more:
            return content
        content += more
    return b""


def _understood(content: bytes) -> dict[str, str]:
    try:
        answer = msgspec.json.decode(content, type=Served | Failed)
    except msgspec.DecodeError as error:
        raise remote.failure("fetch", "its process answered nonsense") from error
    if isinstance(answer, Failed):
        raise remote.unpack_failure(answer)
    return answer.refs


# --- in the child -----------------------------------------------------------------------------------------------------


def _be_child(work: Callable[[], dict[str, str]], writer: int, until: float, agent: int) -> NoReturn:
    """Do the work and leave, whatever happens."""
    try:
        _end_with(agent)
        _let_go(writer)
        _limit(until)
        answer = msgspec.json.encode(_answer(work))
        while answer:
            answer = answer[os.write(writer, answer) :]
    finally:
        os._exit(0)


def _end_with(agent: int) -> None:
    """Have the kernel kill this process when the agent ends; leave at once if it has ended already.

    Where a sandbox forbids it, the alarm of `_limit` is left.

    Source: PR_SET_PDEATHSIG in prctl(2). It goes by the thread that forked; the agent has one.
    """
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != agent:
        os._exit(0)


def _let_go(writer: int) -> None:
    """Close what was open in the agent, but for standard output, standard error and the way back.

    An flock belongs to all processes that have it open, so the run's lock would last as long as this process. Nothing
    takes the place of a closed descriptor: a library that remembers its number must not read another file there.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in {1, 2, writer, nothing}:
            os.dup2(nothing, descriptor, inheritable=False)


def _limit(until: float) -> None:
    """Bound time, memory and files; the alarm ends a child that nobody else ends."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(0.001, until - time.monotonic() + 1))
    mapped = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    for limit, wanted in (
        (resource.RLIMIT_AS, mapped + MAX_CHILD_BYTES),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hardest = resource.getrlimit(limit)[1]
        size = wanted if hardest == resource.RLIM_INFINITY else min(wanted, hardest)
        resource.setrlimit(limit, (size, size))


def _answer(work: Callable[[], dict[str, str]]) -> Served | Failed:
    try:
        return Served(work())
    except CoreOpsError as error:
        return remote.pack_failure(error)
    except MemoryError:
        return remote.pack_failure(remote.failure("fetch", "Out of memory"))


@cache
def _libc() -> "ctypes.CDLL":
    import ctypes

    return ctypes.CDLL(None)
