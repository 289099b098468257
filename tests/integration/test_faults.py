"""A real apply on a real file system, ended or disturbed at every system call that touches the host.

A kill or an error at any of them leaves each file old or new, and the next run finishes. systemd is not asked: this host has
config files only; units are in `e2e/test_kills.py`.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from faults.sweep import Ended, Host, Point

WORKERS = 2
Tell = Callable[[str, object], None]


class Swept(NamedTuple):
    """Hosts that are alike, the calls of their run, and what is there before and after it."""

    hosts: list[Host]
    points: list[Point]
    before: dict[str, bytes | None]
    after: dict[str, bytes | None]

    def broken(self, tries: list[tuple[Point, str]]) -> list[str]:
        """Try all, shared out to the hosts, and return what is wrong afterwards."""
        shares = [tries[n :: len(self.hosts)] for n in range(len(self.hosts))]
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            found = pool.map(self._share, self.hosts, shares)
            return [wrong for wrongs in found for wrong in wrongs]

    def _share(self, host: Host, tries: list[tuple[Point, str]]) -> list[str]:
        found = [(p, error, self._wrong(host, p, error)) for p, error in tries]
        return [f"{p.call} {p.number} ({p.about}) {error or 'killed'}: {wrong}" for p, error, wrong in found if wrong]

    def _wrong(self, host: Host, point: Point, error: str) -> str:
        host.again()
        ended = host.run(*(point.fail(error) if error else point.kill()))
        between = host.held()
        wrong = self._badly_told(host, ended, error) if error else "" if ended.status == -9 else "was not killed"
        if torn := [p for p in between.keys() | self.before.keys() if not self._is_whole(p, between)]:
            wrong = f"torn: {torn}"
        if not wrong and (healed := host.run()).status:
            wrong = f"the next run failed: {healed.said}"
        if not wrong and host.held() != self.after:
            wrong = f"the next run left {host.held()}"
        return wrong or "".join(f"left over: {p}" for p in host.leftovers())

    def _is_whole(self, path: str, held: dict[str, bytes | None]) -> bool:
        """Whether a file is as before or as after; a directory, or a file under a temporary name, may come and go."""
        if path.rpartition("/")[2].startswith(".") or held.get(path, b"") is None:
            return True
        return any(held.get(path, b"absent") == state.get(path, b"absent") for state in (self.before, self.after))

    def _badly_told(self, host: Host, ended: Ended, error: str) -> str:
        """Success must be true; failure has an exit status, names a place and the kernel's reason, and is no traceback."""
        if ended.status == 0:
            return "" if host.held() == self.after else f"says that it succeeded: {ended.said}"
        told = ended.status in {1, 64} and "Traceback" not in ended.said and host.names(ended.said)
        reason = os.strerror(getattr(__import__("errno"), error))
        return "" if told and reason in ended.said else f"exit {ended.status}: {ended.said}"


@pytest.fixture(scope="module")
def swept() -> Iterator[Swept]:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as memory,
        ExitStack() as stack,
    ):  # a real file system, and a fast one
        hosts = [stack.enter_context(Host(Path(memory) / str(n) / "host")) for n in range(WORKERS)]
        for host in hosts:
            host.begin()
        before = hosts[0].held()
        points = hosts[0].points()
        yield Swept(hosts, points, before, hosts[0].held())


def test_a_run_makes_the_same_calls_each_time(swept: Swept) -> None:
    """On every host alike, so that the n-th call of one run is the n-th of the next."""
    for host in swept.hosts:
        host.again()
        assert host.points() == swept.points
    assert {p.call for p in swept.points} >= {"openat", "write", "fsync", "fchmod", "close"}


def test_a_kill_at_any_call_is_finished_by_the_next_run(swept: Swept, record_testsuite_property: Tell) -> None:
    """SIGKILL at each call: every file is old or new, the next run reaches the end and leaves nothing behind."""
    tries = [(p, "") for p in swept.points if p.changes]
    record_testsuite_property("calls at which an apply was killed", len(tries))
    assert not (broken := swept.broken(tries)), broken[:5]
    assert len(tries) > 100


def test_an_error_at_any_call_is_named_and_the_next_run_goes_on(swept: Swept, record_testsuite_property: Tell) -> None:
    """Each call fails with each error it may give: what could not be done is said, no more, and the next run does it."""
    tries = [(p, error) for p in swept.points for error in p.errors]
    record_testsuite_property("errors that an apply was given", len(tries))
    assert not (broken := swept.broken(tries)), broken[:5]
    assert len(tries) > 800
