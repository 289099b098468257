"""The verbs: parse, call one function, return an exit status."""

import argparse
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from core_ops import __version__
from core_ops.errors import EXIT_FAILED, EXIT_OK, CoreOpsError

_DESCRIPTION = "Converge this host to a signed git repository of systemd units, Quadlets and config files."
_EXAMPLES = """\
examples:
  core-ops init https://git.example.com/hosts.git main --signers allowed_signers
  core-ops plan                                    what would change, and why
  core-ops apply                                   change it, and look again
  core-ops plan --source-repo . --host web1        an author's look, on any machine
  core-ops check .                                 everything wrong with a source tree, for CI
  core-ops skill install                           the guide to writing one, beside it
  systemctl enable --now core-ops.timer            from now on, by itself

exit status:
  0 done, or nothing to do    1 failed or refused      2 usage
  3 changes are pending (plan --exit-code)
  64 --source-repo is no directory    65 its layout is refused
  75 another run holds the lock       130 interrupted
"""


def console() -> NoReturn:
    """Run the program and leave with its exit status."""
    sys.exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Return the exit status of one call; every error a person can meet is one short block on standard error."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] | None = getattr(arguments, "run", None)
    if run is None:
        _parser().print_help()
        return EXIT_OK
    try:
        return run(arguments)
    except CoreOpsError as error:
        _complain(error)
        return error.exit_status
    except BrokenPipeError:
        return EXIT_OK  # whoever read our output has seen enough
    except KeyboardInterrupt:
        print("core-ops: interrupted; the next run goes on from here", file=sys.stderr)
        return 130
    except Exception:  # noqa: BLE001 - the one place: a bug must say that it is one
        traceback.print_exc()
        print(f"core-ops {__version__}: this is a bug; please report the lines above", file=sys.stderr)
        return EXIT_FAILED


def _complain(error: CoreOpsError) -> None:
    print(f"core-ops: {error.word}: {error.message} ({error.code})", file=sys.stderr)
    for line in error.details:
        print(f"  {line}", file=sys.stderr)
    if error.hint:
        print(f"  next: {error.hint}", file=sys.stderr)


# --- verbs: imported where they run, so that --version and --help stay quick -------------------------------------------


def _init(arguments: argparse.Namespace) -> int:
    from core_ops import verbs

    return verbs.init(arguments)


def _plan(arguments: argparse.Namespace) -> int:
    from core_ops import verbs

    return verbs.plan(arguments)


def _apply(arguments: argparse.Namespace) -> int:
    from core_ops import verbs

    return verbs.apply(arguments)


def _agent(arguments: argparse.Namespace) -> int:
    from core_ops import verbs

    return verbs.agent(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from core_ops import standing

    return standing.status(arguments)


def _check(arguments: argparse.Namespace) -> int:
    from core_ops import author

    return author.check(arguments)


def _explain(arguments: argparse.Namespace) -> int:
    from core_ops import author

    return author.explain(arguments)


def _skill(arguments: argparse.Namespace) -> int:
    from core_ops import skill

    return skill.install(arguments)


# --- the command line ------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="core-ops",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"core-ops {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="<command>")
    _init_options(verbs.add_parser("init", help="say what this host tracks and whom it trusts"))
    _plan_options(verbs.add_parser("plan", help="show what would change, and why; change nothing"))
    _apply_options(verbs.add_parser("apply", help="make the host what it should be, then look again"))
    _agent_options(verbs.add_parser("agent", help="one unattended run, as the timer makes it"))
    _status_options(verbs.add_parser("status", help="what this host is on, and how the last run went"))
    _explain_options(verbs.add_parser("explain", help="one object: what it is, from which lines, and what starts it"))
    _check_options(verbs.add_parser("check", help="everything that is wrong with a source tree, or might be"))
    _skill_options(verbs.add_parser("skill", help="the guide to writing a source tree, for people and assistants"))
    return parser


def _init_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "Store which repository and ref this host tracks, and whose signatures it accepts."
    parser.add_argument("repository", help="https:// or file:// URL, or an absolute path")
    parser.add_argument("ref", help="branch or tag, short or as refs/...; a commit id is refused")
    parser.add_argument("--signers", type=Path, metavar="FILE", help="allowed signers, copied to /etc/core-ops/")
    parser.add_argument("--anchor", default="", metavar="REV", help="commit that the first revision must descend from")
    parser.add_argument(
        "--insecure-no-signatures", action="store_true", help="accept unsigned revisions: whoever can push is root"
    )
    parser.add_argument("--force", action="store_true", help="track something else from now on, or recover the record")
    _state_options(parser)
    parser.set_defaults(run=_init)


def _state_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state-file", metavar="PATH", help="where the record is (status.json)")
    parser.add_argument("--lock-path", metavar="PATH", help="the lock that apply and agent share")


def _target_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host",
        metavar="NAME",
        help="host in the repository (default: $CORE_OPS_HOST, /etc/core-ops/config.d, the host name)",
    )
    parser.add_argument("--quadlet-dir", metavar="DIR", help="where Quadlet files go")
    parser.add_argument("--systemd-unit-dir", metavar="DIR", help="where native units go")
    parser.add_argument("--config-dir", metavar="DIR", help="where config roots go (default /etc)")
    _state_options(parser)


def _shown_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--source-repo", type=Path, metavar="PATH", help="use this directory, not the tracked repository"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON view")
    shown.add_argument("-v", "--verbose", action="store_true", help="show whole diffs")


def _audit_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audit-dir", metavar="DIR", help="write one JSON record of this run there")


def _reload_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-reload", action="store_true", help="write files only; a later run tells systemd and removes what is gone"
    )


def _plan_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "Compare desired, last applied and observed state and show the exact plan. Changes nothing."
    _target_options(parser)
    _shown_options(parser)
    _audit_option(parser)
    parser.add_argument("--exit-code", action="store_true", help="exit 3 when changes are pending")
    parser.set_defaults(run=_plan)


_APPLY_EXAMPLES = """\
examples:
  core-ops apply                                   the newest revision that may be applied
  core-ops apply --rollback-to 3f2a91c0            back to a state that held, and stay there
  core-ops apply --rollback-to 3f2a91c0 --rollback-plan-only
"""


def _apply_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "Carry out the plan: files, one daemon-reload, jobs in dependency order; then look again."
    parser.epilog = _APPLY_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    _target_options(parser)
    _shown_options(parser)
    _audit_option(parser)
    _reload_option(parser)
    parser.add_argument("--force-no-state", action="store_true", help="read and write no record; nothing is removed")
    parser.add_argument("--rollback-to", metavar="REV", help="go back to a snapshot of `core-ops status`, and detach")
    parser.add_argument("--rollback-plan-only", action="store_true", help="show what --rollback-to would do")
    parser.set_defaults(run=_apply)


def _agent_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "Fetch, authenticate, plan and apply once, telling the journal. The timer starts this."
    _target_options(parser)
    _audit_option(parser)
    _reload_option(parser)
    parser.set_defaults(run=_agent)


def _status_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show the persisted provenance and the lifecycle state. Exits 0 in any state."
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.add_argument("--settings", action="store_true", help="show every setting and where it comes from")
    _state_options(parser)
    parser.set_defaults(run=_status)


_CHECK_EXAMPLES = """\
examples:
  core-ops check .                                   every host of the tree
  core-ops check . --host web1                       what concerns one host
  core-ops check . --preflight                       with what this machine's podman and systemd say
  core-ops check . --format sarif > core-ops.sarif   for a code host that shows findings

exit status:
  0 no error, perhaps warnings    1 an error    2 usage    64 PATH is no directory
"""


def _check_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "Read a source tree and say every refusal and every doubt, each place once. Writes nothing."
    parser.epilog = _CHECK_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("path", type=Path, metavar="PATH", help="directory that holds services/ and hosts/")
    hosts = parser.add_mutually_exclusive_group()
    hosts.add_argument("--host", metavar="NAME", help="only what concerns this host")
    hosts.add_argument("--all-hosts", action="store_true", help="every host and whatever no host selects (default)")
    parser.add_argument(
        "--preflight", action="store_true", help="also ask this machine's Quadlet generator and systemd-analyze"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON view")
    shown.add_argument(
        "--format", choices=("text", "json", "sarif"), default="text", help="how to print (default text)"
    )
    parser.set_defaults(run=_check)


_EXPLAIN_EXAMPLES = """\
examples:
  core-ops explain container/caddy                   an object of this host
  core-ops explain caddy.service                     by the unit that systemd knows
  core-ops explain /etc/caddy/Caddyfile              by its path on the host
  core-ops explain container/caddy --source-repo . --host web1
                                                   an author's look, on any machine
"""


def _explain_options(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show one object of the desired state: files, lines, dependencies, what starts it. Changes nothing."
    )
    parser.epilog = _EXPLAIN_EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "object", metavar="OBJECT", help="display id, unit name, or path on the host or in the repository"
    )
    _target_options(parser)
    parser.add_argument(
        "--source-repo", type=Path, metavar="PATH", help="use this directory, not what the host was given"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON view")
    parser.set_defaults(run=_explain)


_SKILL_EXAMPLES = """\
examples:
  core-ops skill install                           into this work tree, to be committed
  core-ops skill install --global                  below the home directory, for every work tree
  core-ops skill install --print                   to read it here
"""


def _skill_options(parser: argparse.ArgumentParser) -> None:
    parser.description = "The guide to writing a source tree: layout, names, kinds, findings and an example."
    actions = parser.add_subparsers(title="commands", metavar="<command>", required=True)
    install = actions.add_parser("install", help="write the guide, or print it")
    install.description = (
        "Write the authoring guide to .agents/skills/core-ops-source-repo/SKILL.md of this git work tree or directory."
    )
    install.epilog = _SKILL_EXAMPLES
    install.formatter_class = argparse.RawDescriptionHelpFormatter
    where = install.add_mutually_exclusive_group()
    where.add_argument("--global", dest="everywhere", action="store_true", help="write it below the home directory")
    where.add_argument("--print", action="store_true", help="print it and write nothing")
    install.add_argument("--json", action="store_true", help="print the outcome as one JSON view")
    install.set_defaults(run=_skill)
