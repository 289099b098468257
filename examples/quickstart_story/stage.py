"""What the story is played on: a guest, an author, a server between them, and a way to show commands.

Whatever a step shows is what was run, word for word. A command that ends otherwise than the story says stops
it, with everything the command printed.
"""

import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from core_ops_verify.guest.api import Guest, list_guests
from core_ops_verify.guest.assets import Assets
from quickstart_story import https_server
from quickstart_story.author import Author
from quickstart_story.screen import USUAL, Cut, Screen

ROOT = Path(__file__).resolve().parents[2]
PORT = 8443
URL = f"https://127.0.0.1:{PORT}/hosts.git"
PATIENCE_S = 60.0
"""The timer fires every three seconds; a busy machine may take a while to carry out what it finds."""

_PAUSE_S = 0.1
_FAILED = Cut(5, 40)
"""What went wrong stands at the end."""


class StoryError(Exception):
    """A step did not show what it claims."""


class Stage:
    """Everything a step needs."""

    def __init__(self, screen: Screen, guest: Guest, author: Author) -> None:
        self.screen = screen
        self.guest = guest
        self.author = author

    def host(self, line: str, *, expect: int = 0, meaning: str = "", cut: Cut = USUAL) -> str:
        """Show a command in the guest with its output, and return the output.

        Args:
            line: A line of shell.
            expect: The exit status it has to end with.
            meaning: What that status says, where it is not 0.
            cut: How much of the output to show.

        Raises:
            StoryError: It ended with another status.
        """
        self.screen.command("guest#", line)
        done = self.guest.exec("sh", "-c", line)
        output = done.stdout + done.stderr
        self._shown(line, (done.status, output), expect, cut)
        if expect:
            self.screen.output(f"(exit status {expect}: {meaning})")
        return output

    def write(self, line: str, cut: Cut = USUAL) -> str:
        """Show a command at the author's seat with its output, and return the output.

        Raises:
            StoryError: It failed.
        """
        self.screen.command("author$", line)
        status, output = self.author.run(line)
        self._shown(line, (status, output), 0, cut)
        return output

    def _shown(self, line: str, came: tuple[int, str], expect: int, cut: Cut) -> None:
        status, output = came
        if status != expect:
            self.screen.output(output, _FAILED)
            raise StoryError(f"`{line}` ended with {status}, expected {expect}")
        if output.strip():
            self.screen.output(output, cut)

    def check(self, truth: object, claim: str, evidence: str = "") -> None:
        """Say what was shown, if it was.

        Raises:
            StoryError: It was not.
        """
        if not truth:
            raise StoryError(f"not true: {claim}\n{evidence}".rstrip())
        self.screen.checked(claim)

    def status(self) -> dict[str, Any]:
        """Return the agent's own record, without showing the command."""
        record: dict[str, Any] = self.guest.exec("core-ops", "status", "--json").json()
        return record

    def tip(self) -> str:
        """Return the commit the author is at."""
        return self.author.run("git rev-parse HEAD")[1].strip()

    def wait(self, what: str, happened: Callable[[], bool]) -> float:
        """Wait for something the guest does by itself and return how many seconds it took.

        Raises:
            StoryError: It did not happen.
        """
        started = time.monotonic()
        try:
            while not happened():
                taken = time.monotonic() - started
                if taken > PATIENCE_S:
                    journal = self.guest.exec("journalctl", "-t", "core-ops", "-n", "12", "-o", "cat").stdout
                    raise StoryError(f"waited {taken:.0f} s: {what}\nThe agent's journal ends with:\n{journal}")
                self.screen.waiting(what, taken)
                time.sleep(_PAUSE_S)
        finally:
            self.screen.clear()
        return time.monotonic() - started


@contextmanager
def furnished(screen: Screen, assets: Assets, *, keep: bool) -> Generator[Stage]:
    """Boot a guest with the author and the server beside it; nothing of them is left unless it is to be kept."""
    with ExitStack() as cleanup:
        home = Path(tempfile.mkdtemp(prefix="core-ops-quickstart-"))
        cleanup.callback(shutil.rmtree, home, ignore_errors=True)
        guest = cleanup.enter_context(Guest.create(assets, _free_name()))
        author = Author(home)
        server = https_server.start(guest.beside(), home, PORT, guest.console.parent)
        cleanup.callback(server.wait)
        cleanup.callback(server.kill)
        try:
            yield Stage(screen, guest, author)
        finally:
            # A second Ctrl-C must not stop the first one's cleaning up.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if keep:
                cleanup.pop_all()
                _explain_keeping(screen, guest, author)


def _free_name() -> str:
    taken = {guest.name for guest in list_guests()}
    return next(name for n in range(1, 1000) if (name := f"quickstart-{n}" if n > 1 else "quickstart") not in taken)


def _explain_keeping(screen: Screen, guest: Guest, author: Author) -> None:
    if "SUDO_UID" in os.environ:
        author.give_to(int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
    verify = shlex.join([*_as_root(), str(ROOT / ".venv/bin/core-ops-verify"), "guest"])
    screen.closing(
        "The guest stays.",
        [
            ("enter it:", f"{verify} exec {guest.name} -- bash"),
            (
                "its repository, set up to sign with ../signing-key (commit, push, and the timer comes by):",
                f"cd {author.tree}",
            ),
            ("remove the guest and the repository:", f"{verify} down {guest.name} && rm -r {author.home}"),
        ],
    )


def _as_root() -> list[str]:
    places = [f"{name}={os.environ[name]}" for name in ("CORE_OPS_VERIFY_RUN",) if os.environ.get(name)]
    before = ["sudo"] if "SUDO_UID" in os.environ else []
    return [*before, *(["env", *places] if places else [])]
