"""Which options of one call go together, and what a run is when they do.

Options that contradict each other are refused before anything is read, the same way as every other error.
"""

import argparse
from typing import NamedTuple

from core_ops.errors import UsageError

_EXCLUDED = (
    ("force_no_state", "state_file"),
    ("force_no_state", "rollback_to"),
    ("rollback_to", "source_repo"),
    ("rollback_to", "no_reload"),
)


class Chosen(NamedTuple):
    """How one `apply` is meant: where back to, if anywhere, and whether that is only to be shown."""

    rollback_to: str | None
    plan_only: bool
    unrecorded: bool


def chosen(arguments: argparse.Namespace) -> Chosen:
    """Return how an apply is meant.

    Raises:
        UsageError: `bad-flags`: two of its options exclude each other, or one needs another.
    """
    for one, other in _EXCLUDED:
        if _given(arguments, one) and _given(arguments, other):
            raise UsageError(
                f"use {_flag(one)} with {_flag(other)}: they exclude each other",
                code="bad-flags",
                hint=f"leave out {_flag(other)}, or {_flag(one)}",
            )
    if arguments.rollback_plan_only and not _given(arguments, "rollback_to"):
        raise UsageError(
            "use --rollback-plan-only without --rollback-to",
            code="bad-flags",
            hint="add --rollback-to REV; `core-ops plan` shows the way forward",
        )
    return Chosen(arguments.rollback_to, arguments.rollback_plan_only, arguments.force_no_state)


def _given(arguments: argparse.Namespace, name: str) -> bool:
    value: object = getattr(arguments, name)
    return value is not None and value is not False


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
