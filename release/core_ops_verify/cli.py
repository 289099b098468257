"""The command line of the harness: reads arguments, calls one function, turns errors into one line."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from core_ops_verify import __version__
from core_ops_verify.bench import check, noop, runs
from core_ops_verify.bench.figures import Figures, table
from core_ops_verify.errors import VerifyError
from core_ops_verify.guest.commands import Verbs, add_guest_parser

_PROGRAM = "core-ops-verify"
_FAILED = 1
_INTERRUPTED = 130
_ROUNDS = {
    "no-op": noop.ROUNDS,
    "check": check.ROUNDS,
    "plan": runs.PLAN_ROUNDS,
    "change": runs.CHANGE_ROUNDS,
    "cold": runs.COLD_ROUNDS,
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs."""
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Prove CoreOps on hosts with real systemd and podman that boot in a second.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    add_guest_parser(verbs)
    _add_bench_parser(verbs)
    return parser


def _add_bench_parser(verbs: Verbs) -> None:
    about = "Measure what CoreOps costs, as ratios against floors taken in the same run."
    parser = verbs.add_parser("bench", help=about, description=about)
    parser.add_argument(
        "what",
        choices=tuple(_ROUNDS),
        help="a check of a large tree; or in a guest: a run with nothing to do, a plan of a host all of which changed, a run "
        "that brings one changed config file, a first apply",
    )
    parser.add_argument("--services", type=int, metavar="N", help="how many services (default: no-op 100, others 1000)")
    parser.add_argument("--hosts", type=int, default=20, metavar="N", help="check: how many hosts select them all (20)")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.set_defaults(act=_bench)


def _bench(arguments: argparse.Namespace) -> int:
    what: str = arguments.what
    services: int = arguments.services or (100 if what == "no-op" else 1000)
    found, profile = _measured(what, services, arguments.hosts)
    if arguments.json:
        print(json.dumps({name: asdict(figures) for name, figures in found.items()}))
    else:
        where = f"on {arguments.hosts} hosts" if what == "check" else "in a guest"
        head = f"{what}: {services} services {where}, medians of {_ROUNDS[what]} rounds"
        print("\n".join((*table(head, found, {**check.BUDGETS, **runs.BUDGETS}), *profile)))
    return _FAILED if any(figures.failed for figures in found.values()) else 0


def _measured(what: str, services: int, hosts: int) -> tuple[Mapping[str, Figures], tuple[str, ...]]:
    """Return the figures, and the first lines of the profile."""
    match what:
        case "check":
            return check.check(services, hosts)
        case "plan":
            return runs.plan(services)
        case "change":
            return runs.change(services)
        case "cold":
            return runs.cold(services)
        case _:
            return noop.no_op(services), ()


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
