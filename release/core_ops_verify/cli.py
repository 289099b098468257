"""The command line of the harness: reads arguments, calls one function, turns errors into one line."""

import argparse
import sys
from collections.abc import Sequence

from core_ops_verify import __version__
from core_ops_verify.errors import VerifyError
from core_ops_verify.guest.commands import add_guest_parser

_PROGRAM = "core-ops-verify"
_FAILED = 1
_INTERRUPTED = 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Prove CoreOps on hosts with real systemd and podman that boot in a second.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    add_guest_parser(verbs)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run one verb and return the exit status: 0, 1 for a failure, 130 when interrupted.

    Wrong usage ends the program with 2 before anything happens, as argparse does.
    """
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.act(parsed))
    except VerifyError as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print(f"{_PROGRAM}: interrupted", file=sys.stderr)
        return _INTERRUPTED


def console() -> int:
    """Run with this process's arguments; the entry point of the installed command."""
    return main(sys.argv[1:])
