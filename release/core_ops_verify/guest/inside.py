"""What one does in a guest: run commands, wait, look at units, read and write files.

Files are reached from this machine, in a running guest and in one whose plug was pulled; links are followed
as the guest would, so no path leads out of its tree.
"""

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core_ops_verify.errors import CommandError, CommandTimeoutError, GuestError
from core_ops_verify.guest.box import Box
from core_ops_verify.guest.enter import TIMEOUT_S, run_inside
from core_ops_verify.guest.tree import resolve, usual_umask

_NOTHING: Mapping[str, str] = MappingProxyType({})
_LIVE = frozenset({"run", "tmp", "dev", "proc", "sys"})
"""Directories that exist only in a running guest."""


@dataclass(frozen=True)
class Finished:
    """What came of a command: its exit status and what it wrote."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        """Tell whether it ended with 0."""
        return self.status == 0

    def json(self) -> Any:
        """Return its standard output decoded from JSON."""
        return json.loads(self.stdout)


class Inside:
    """Commands and files of one box."""

    def __init__(self, box: Box) -> None:
        self._box = box

    def exec(
        self,
        *argv: str,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] = _NOTHING,
        timeout_s: float = TIMEOUT_S,
    ) -> Finished:
        """Run a command as the guest's root, whatever comes of it; 10 ms for a short one.

        It has more rights than a service in the guest: nspawn's system call filter and bounds on capabilities
        do not reach it. Use `run` where that matters.

        Raises:
            GuestError: The guest is not running.
            CommandTimeoutError: The command did not end in time; it was killed.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = run_inside(self._box, argv, stdin=data, environment=environment, timeout_s=timeout_s)
        return Finished(
            argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        )

    def check(
        self,
        *argv: str,
        stdin: str | bytes = b"",
        environment: Mapping[str, str] = _NOTHING,
        timeout_s: float = TIMEOUT_S,
    ) -> str:
        """Run a command that has to succeed and return its standard output.

        Raises:
            CommandError: It ended with another status than 0.
            GuestError: The guest is not running.
            CommandTimeoutError: The command did not end in time; it was killed.
        """
        done = self.exec(*argv, stdin=stdin, environment=environment, timeout_s=timeout_s)
        if not done.ok:
            raise CommandError(
                f"run {' '.join(argv)} in guest {self._box.name}: ended with {done.status}",
                status=done.status,
                output=done.stdout + done.stderr,
            )
        return done.stdout

    def run(self, *argv: str, properties: tuple[str, ...] = (), timeout_s: float = TIMEOUT_S) -> Finished:
        """Run a command as a transient service of the guest's systemd, with a service's rights and limits.

        Args:
            argv: The command.
            properties: Settings of the service, such as `ProtectSystem=strict`.
            timeout_s: Seconds until it is killed.
        """
        settings = (f"--property={setting}" for setting in properties)
        start = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", *settings, "--")
        return self.exec(*start, *argv, timeout_s=timeout_s)

    def spawn(self, *argv: str, environment: Mapping[str, str] = _NOTHING, **how: Any) -> "subprocess.Popen[Any]":
        """Start a command in the guest and return without waiting; it ends with the guest at the latest.

        Args:
            argv: The command.
            environment: Variables to add.
            how: Passed to `subprocess.Popen`.
        """
        return subprocess.Popen(self._box.enter(argv, environment), **how)

    def command_line(self, *argv: str) -> list[str]:
        """Return this machine's command line that runs a command in the guest, to be executed in place."""
        return self._box.enter(argv, {})

    def beside(self, *argv: str) -> list[str]:
        """Return the command line that runs a program of this machine on the guest's network.

        Only with a named namespace does that program keep its network when the guest's plug is pulled.
        """
        space = self._box.netns or Path(f"/proc/{self._box.leader()}/ns/net")
        return ["nsenter", f"--net={space}", "--", *argv]

    def wait_until(self, *argv: str, timeout_s: float = 20.0, pause_s: float = 0.05) -> str:
        """Repeat a command until it succeeds and return its standard output.

        Raises:
            CommandTimeoutError: It kept failing; the message has its last words.
        """
        deadline = time.monotonic() + timeout_s
        while not (done := self.exec(*argv)).ok:
            if time.monotonic() > deadline:
                raise CommandTimeoutError(
                    f"wait for {' '.join(argv)} in guest {self._box.name}: still failing after {timeout_s:g} s: "
                    f"{(done.stdout + done.stderr).strip()}"
                )
            time.sleep(pause_s)
        return done.stdout

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit as its manager reports them."""
        asked = (f"--property={name}" for name in properties)
        lines = self.check("systemctl", "show", *asked, "--", unit).splitlines()
        pairs = (line.partition("=") for line in lines)
        return {key: value for key, _, value in pairs}

    def path(self, inside: str) -> Path:
        """Return where on this machine a file of the guest lies, links followed as the guest would.

        Raises:
            GuestError: The path is in a file system that only a running guest has, and it is not running.
        """
        live = _LIVE | {"var"} if self._box.var_image.exists() else _LIVE
        mounted = {"usr": self._box.usr}
        if self._box.running():
            root = Path(f"/proc/{self._box.leader()}/root")
            mounted |= {name: root / name for name in live}
        found = resolve(self._box.tree, inside, mounted=mounted)
        top = found.relative_to(self._box.tree).parts[:1] if found.is_relative_to(self._box.tree) else ()
        if not self._box.running() and top and top[0] in live:
            raise GuestError(f"find {inside} of guest {self._box.name}: only a running guest has it")
        return found

    def read_text(self, inside: str) -> str:
        """Return a file of the guest, running or not."""
        return self.path(inside).read_text(encoding="utf-8")

    def write_text(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the guest, running or not, with its directories; it belongs to root."""
        with usual_umask():
            target = self._writable(inside)
        target.write_text(text, encoding="utf-8")
        target.chmod(mode)

    def copy_in(self, source: Path, inside: str) -> None:
        """Copy a file or directory of this machine to a path in the guest; it belongs to root there."""
        with usual_umask():
            target = self._writable(inside)
        self._cp("--no-target-directory", str(source), str(target))
        subprocess.run(["chown", "--recursive", "--no-dereference", "0:0", str(target)], check=True)

    def copy_out(self, inside: str, target: Path) -> None:
        """Copy a file or directory of the guest to a path on this machine."""
        self._cp("--no-target-directory", str(self.path(inside)), str(target))

    def _cp(self, *argv: str) -> None:
        done = subprocess.run(["cp", "--archive", *argv], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise GuestError(f"copy {' to '.join(argv[1:])}: {done.stderr.strip()}")

    def _writable(self, inside: str) -> Path:
        target = self.path(inside)
        if target.is_relative_to(self._box.usr):
            raise GuestError(f"write {inside} of guest {self._box.name}: /usr is read-only and shared by all guests")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target
