"""The quickstart: what a newcomer runs first must tell its whole story, quickly, and leave nothing behind."""

import os
import re
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from core_ops_verify.guest.api import list_guests
from core_ops_verify.guest.assets import Assets

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples/quickstart"
MOST_S = 90.0
STORY = (
    "the guest runs, and has the agent but no Python",
    "a repository with one good signature",
    "nothing was written yet",
    "Outcome: converged",
    "the container answers over HTTP",
    "the plan says what was changed by hand",
    "repaired by itself",
    "the new image answers",
    "only whoami was restarted",
    "with the code “unsigned”",
    "no file was changed and no unit restarted",
    "whoami is stopped, and its files are gone",
    "converged to the author's last commit",
    "Every step showed what it claims.",
)


def left_behind() -> set[str]:
    """Return what quickstarts leave while they run: guests, directories and servers."""
    return {
        *(guest.name for guest in list_guests() if guest.name.startswith("quickstart")),
        *(str(path) for path in Path(tempfile.gettempdir()).glob("core-ops-quickstart-*")),
        *(entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_server(entry)),
    }


def _is_server(process: Path) -> bool:
    try:
        return b"quickstart_story/https_server" in (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_quickstart_tells_its_story_and_leaves_nothing(assets: Assets) -> None:
    """Each step shows what it claims, in order, in plain lines, and everything is gone afterwards."""
    assert assets.payload
    before, started = left_behind(), time.monotonic()
    done = subprocess.run(
        [QUICKSTART, "--plain"], check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
    )
    taken = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    at = [done.stdout.find(mark) for mark in STORY]
    assert at == sorted(at), list(zip(STORY, at, strict=True))
    assert at[0] > 0, done.stdout
    assert not re.search("[\x1b\r]", done.stdout)
    assert taken < MOST_S
    assert left_behind() == before


def test_interrupted_quickstart_leaves_nothing(assets: Assets) -> None:
    """Ctrl-C in the middle of the story removes the guest, the repository and the server."""
    assert assets.payload
    before = left_behind()
    # A test run that was started in the background ignores SIGINT, and so would its children: SIGTERM stands in.
    with subprocess.Popen(
        [QUICKSTART], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        seen = next(line for line in process.stdout if "core-ops apply" in line)
        assert seen
        assert left_behind() != before
        os.kill(process.pid, signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 130
    assert "interrupted; nothing is left behind" in rest
    assert left_behind() == before


def test_unknown_argument_is_refused_before_anything_happens() -> None:
    """A typing error costs nobody a minute."""
    done = subprocess.run([QUICKSTART, "--kept"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: examples/quickstart" in done.stderr
