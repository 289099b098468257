"""The quickstart's own program: started by `examples/quickstart`, which makes the machine ready first."""

import argparse
import os
import shutil
import signal
import sys
import time
from typing import NoReturn

from core_ops_verify.errors import VerifyError
from core_ops_verify.guest.assets import Assets, prepare
from quickstart_story.screen import Screen
from quickstart_story.stage import StoryError, furnished
from quickstart_story.story import STEPS

_WIDEST = 110
"""Longer lines are hard to read, however wide the terminal."""

_FAILED, _INTERRUPTED = 1, 130


def main() -> int:
    """Tell the story and return 0 only if every step showed what it claims."""
    arguments = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    screen = _screen(plain=arguments.plain)
    screen.title(
        f"CoreOps in {len(STEPS)} steps",
        "A host that follows a signed git repository: real systemd, real podman, in a guest that is made for this "
        "and removed afterwards." + (" (--keep: it stays.)" if arguments.keep else ""),
    )
    try:
        assets = _build(screen)
        with furnished(screen, assets, keep=arguments.keep) as stage:
            for step in STEPS:
                step(stage)
            _celebrate(screen, arguments)
    except KeyboardInterrupt:
        screen.clear()
        print("\ninterrupted" + ("" if arguments.keep else "; nothing is left behind"), file=sys.stderr)
        return _INTERRUPTED
    except (StoryError, VerifyError, OSError) as error:
        _complain(error, kept=arguments.keep)
        return _FAILED
    return 0


def _build(screen: Screen) -> Assets:
    started = time.monotonic()
    screen.say("What guests are made from is built once, which takes about a minute, and kept for the next time.")
    try:
        assets = prepare(progress=screen.progress)
    finally:
        screen.clear()
    screen.checked(f"ready after {time.monotonic() - started:.0f} s")
    return assets


def _celebrate(screen: Screen, arguments: argparse.Namespace) -> None:
    seconds = time.time() - arguments.started
    play = [("play with the guest yourself:", "./examples/quickstart --keep")]
    screen.closing(
        f"Every step showed what it claims. {seconds:.0f} s in all.",
        [
            *([] if arguments.keep else play),
            ("start a repository of your own:", "cp -r examples/01-caddy-whoami ~/hosts"),
            ("see what the agent can do:", ".venv/bin/core-ops --help"),
        ],
    )


def _complain(error: Exception, *, kept: bool) -> None:
    print(f"\n✗ {error}", file=sys.stderr)
    if not kept:
        print("  look into the guest: run the same with --keep, which leaves it as it is then", file=sys.stderr)


def _screen(*, plain: bool) -> Screen:
    terminal = sys.stdout.isatty()
    lively = terminal and not plain and os.environ.get("TERM", "dumb") != "dumb" and not os.environ.get("NO_COLOR")
    width = min(shutil.get_terminal_size().columns, _WIDEST) if terminal else 0
    return Screen(sys.stdout, lively=lively, width=width)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="quickstart", description=main.__doc__)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
