"""The verbs of `core-ops-verify guest`: each builds or finds a guest and does one thing to it."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core_ops_verify.errors import GuestError
from core_ops_verify.guest.api import Guest, Options, list_guests
from core_ops_verify.guest.assets import Assets, prepare, prepare_without_agent
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.places import require_root

_EXAMPLES = """\
examples:
  core-ops-verify guest up web                     build what is missing, create and boot a guest
  core-ops-verify guest exec web -- systemctl list-units
  core-ops-verify guest copy ./site web:/var/srv/site
  core-ops-verify guest kill web                   pull the plug; its files stay
  core-ops-verify guest boot web                   boot the same files again
  core-ops-verify guest down web                   end it and remove everything of it

files:
  /var/cache/core-ops-verify   what guests are made from   (CORE_OPS_VERIFY_CACHE)
  /var/lib/core-ops-verify     the guests                  (CORE_OPS_VERIFY_RUN)
"""
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
_BAR_WIDTH = 30


class Verbs(Protocol):
    """What argparse returns for sub-commands; its own class is private."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,  # noqa: A002  (argparse's word)
        description: str,
        epilog: str = ...,
        formatter_class: type[argparse.HelpFormatter] = ...,
    ) -> argparse.ArgumentParser:
        """Add the parser of one verb."""
        ...


@dataclass(frozen=True)
class Place:
    """One end of a copy: a path in a guest, or on this machine when `guest` is empty."""

    guest: str
    path: str


def size(text: str) -> int:
    """Return a size in bytes from a number with an optional K, M or G."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64M")
    return int(match.group(1)) * _UNITS[match.group(2)]


def bind(text: str) -> Bind:
    """Return a bind from SOURCE:TARGET, with :rw behind it to make it writable."""
    source, _, rest = text.partition(":")
    target, _, how = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/") or how not in {"", "ro", "rw"}:
        raise argparse.ArgumentTypeError(f"{text!r} is not /SOURCE:/TARGET or /SOURCE:/TARGET:rw")
    return Bind(Path(source), target, writable=how == "rw")


def place(text: str) -> Place:
    """Return one end of a copy; GUEST:/PATH is in a guest, everything else on this machine."""
    match = re.fullmatch(r"([a-z][a-z0-9-]*):(/.*)", text)
    return Place(match.group(1), match.group(2)) if match else Place("", text)


def add_guest_parser(verbs: Verbs) -> None:
    """Add `guest` and its verbs."""
    shape = argparse.RawDescriptionHelpFormatter
    text = "Create, enter and remove guests: hosts with real systemd and podman."
    guest = verbs.add_parser("guest", help=text, description=text, epilog=_EXAMPLES, formatter_class=shape)
    sub = guest.add_subparsers(metavar="VERB", required=True)

    build = _verb(sub, "build", _build, "build or update what guests are made from", result=True)
    up = _verb(sub, "up", _up, "create a guest and boot it", result=True)
    up.add_argument("name", nargs="?", default="", help="its name; one is made up when left out")
    up.add_argument("--var-size", type=size, default=0, metavar="SIZE", help="/var as a file system of 64M, 1G")
    up.add_argument("--netns", default="", metavar="NAME", help="share this network namespace, made if missing")
    up.add_argument("--bind", type=bind, action="append", default=[], metavar="SOURCE:TARGET[:rw]")
    for parser in (build, up):
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--agent", type=Path, metavar="DIRECTORY", help="the agent's package directory")
        source.add_argument("--no-agent", action="store_true", help="a bare guest, without the agent")

    run = _verb(sub, "exec", _exec, "run a command in a guest and exit with its status")
    run.add_argument("name")
    run.add_argument("command", nargs="+", metavar="COMMAND", help="put -- before it")
    copying = _verb(sub, "copy", _copy, "copy a file or directory into or out of a guest")
    copying.add_argument("source", type=place, metavar="SOURCE", help="PATH or GUEST:/PATH")
    copying.add_argument("target", type=place, metavar="TARGET", help="PATH or GUEST:/PATH")
    _verb(sub, "kill", _kill, "pull a guest's plug; its files stay").add_argument("name")
    _verb(sub, "boot", _boot, "boot a stopped guest's files again", result=True).add_argument("name")
    down = _verb(sub, "down", _down, "end guests and remove everything of them")
    which = down.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", default="")
    which.add_argument("--all", action="store_true", help="every guest of this machine")
    _verb(sub, "list", _list, "list the guests of this machine", result=True)


def _verb(
    verbs: Verbs,
    name: str,
    act: Callable[[argparse.Namespace], int],
    text: str,
    *,
    result: bool = False,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.set_defaults(act=act)
    if result:
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _build(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    assets = _prepare(arguments)
    taken = time.monotonic() - started
    values: dict[str, object] = {"base": str(assets.base), "template": str(assets.template)}
    values |= {"agent": str(assets.payload.agent) if assets.payload else None, "seconds": round(taken, 3)}
    _tell(arguments, values, f"ready in {taken:.1f} s; next: core-ops-verify guest up")
    return 0


def _up(arguments: argparse.Namespace) -> int:
    assets = _prepare(arguments)
    options = Options(arguments.var_size, arguments.netns, tuple(arguments.bind))
    started = time.monotonic()
    guest = Guest.create(assets, arguments.name, options)
    taken = time.monotonic() - started
    name = guest.name
    sentence = f"guest {name} is up after {taken:.1f} s; enter it: core-ops-verify guest exec {name} -- bash"
    _tell(arguments, {"name": name, "seconds": round(taken, 3)}, sentence)
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    require_root()
    line = Guest.load(arguments.name).command_line(*arguments.command)
    sys.stdout.flush()
    os.execvp(line[0], line)  # noqa: S606  (the command takes this program's place, terminal and status)


def _copy(arguments: argparse.Namespace) -> int:
    require_root()
    source: Place = arguments.source
    target: Place = arguments.target
    if bool(source.guest) == bool(target.guest):
        raise GuestError("copy: exactly one side is in a guest", hint="write it as GUEST:/PATH")
    if target.guest:
        Guest.load(target.guest).copy_in(Path(source.path), target.path)
    else:
        Guest.load(source.guest).copy_out(source.path, Path(target.path))
    return 0


def _kill(arguments: argparse.Namespace) -> int:
    require_root()
    Guest.load(arguments.name).kill()
    return 0


def _boot(arguments: argparse.Namespace) -> int:
    require_root()
    taken = Guest.load(arguments.name).boot()
    values: dict[str, object] = {"name": arguments.name, "seconds": round(taken, 3)}
    _tell(arguments, values, f"guest {arguments.name} is up after {taken:.1f} s")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    require_root()
    for guest in list_guests() if arguments.all else (Guest.load(arguments.name),):
        guest.down()
    return 0


def _list(arguments: argparse.Namespace) -> int:
    guests = [{"name": guest.name, "running": guest.running} for guest in list_guests()]
    lines = (f"{guest['name']:<24} {'running' if guest['running'] else 'stopped'}" for guest in guests)
    _tell(arguments, {"guests": guests}, "\n".join(lines) or "no guests; next: core-ops-verify guest up")
    return 0


def _prepare(arguments: argparse.Namespace) -> Assets:
    draw = _draw_bar if sys.stderr.isatty() else _Stages().say
    try:
        if arguments.no_agent:
            return prepare_without_agent(progress=draw)
        return prepare(agent=arguments.agent, progress=draw)
    finally:
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _draw_bar(stage: str, fraction: float) -> None:
    full = round(fraction * _BAR_WIDTH)
    bar = "#" * full + "." * (_BAR_WIDTH - full)
    print(f"\r[{bar}] {fraction:4.0%} {stage}\033[K", end="", file=sys.stderr, flush=True)


class _Stages:
    """Names each stage once, for a log that is no terminal."""

    def __init__(self) -> None:
        self._last = ""

    def say(self, stage: str, _fraction: float) -> None:
        if stage not in {self._last, "ready"}:
            print(f"{stage} ...", file=sys.stderr, flush=True)
        self._last = stage


def _tell(arguments: argparse.Namespace, values: dict[str, object], sentence: str) -> None:
    print(json.dumps(values) if arguments.json else sentence)
