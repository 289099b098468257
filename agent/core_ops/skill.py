"""`core-ops skill install`: put the authoring guide where people and coding assistants look for it.

The only file it ever writes is the guide's own. One that was not generated here is left alone, no link is followed below the
work tree or the home directory, and the file is replaced as a whole.
"""

import argparse
import os
from pathlib import Path
from typing import Literal

import msgspec

from core_ops import settings
from core_ops.errors import EXIT_OK, HostError, UsageError
from core_ops.host import files
from core_ops.host.terminal import Terminal, standard
from core_ops.reconcile.guide import guide
from core_ops.reconcile.guidewords import MARKER, PLACE
from core_ops.reconcile.model import Obj
from core_ops.reconcile.planned import WriteFile

Outcome = Literal["created", "updated", "unchanged"]
_MODE = 0o644


class SkillView(msgspec.Struct, frozen=True, tag_field="view_kind", tag="skill_install"):
    """Where the guide is, and what became of it."""

    path: str
    outcome: Outcome


def install(arguments: argparse.Namespace) -> int:
    """Write the guide, or print it; say what became of the file."""
    out = Terminal(standard()[0], colour=False)
    if arguments.print:
        if arguments.json:
            raise UsageError("print the guide as JSON", code="bad-setting", hint="use --print or --json, not both")
        out.show(guide().splitlines())
        return EXIT_OK
    top = settings.home_directory() if arguments.everywhere else work_tree()
    view = written(top.resolve(), guide().encode())
    out.show([msgspec.json.encode(view).decode() if arguments.json else f"{view.outcome} {view.path}"])
    return EXIT_OK


def work_tree() -> Path:
    """Return the top of the git work tree that holds the current directory, or that directory when there is none.

    Raises:
        HostError: the current directory is gone.
    """
    try:
        here = Path.cwd()
    except OSError as error:
        raise HostError(
            f"find the current directory: {error.strerror}", code="read-failed", hint="change to one that exists"
        ) from error
    return next((path for path in (here, *here.parents) if (path / ".git").exists()), here)


def written(top: Path, content: bytes) -> SkillView:
    """Make the guide below a directory be this content; return what had to be done.

    Raises:
        HostError: something else stands there, or it can't be read or written.
    """
    path = top / PLACE
    _no_links(top, path)
    seen = files.observe(str(path))
    if seen.kind == "other" or (seen.kind == "file" and MARKER.encode() not in seen.content):
        raise HostError(
            f"write {path}: a file that core-ops did not generate stands there",
            code="blocked",
            hint="move it away and run this again, or show the guide with --print",
        )
    outcome: Outcome = "created" if seen.kind == "absent" else "updated"
    if (seen.content, seen.kind) == (content, "file"):
        outcome = "unchanged"
    else:
        _replace(WriteFile(Obj("config", PLACE), str(path), content, _MODE, seen))
    return SkillView(str(path), outcome)


def _no_links(top: Path, path: Path) -> None:
    for place in (path, *path.parents):
        if place == top:
            return
        if place.is_symlink():
            raise HostError(
                f"write {path}: {place} is a symbolic link",
                code="blocked",
                hint="replace it with what it leads to, or show the guide with --print",
            )


def _replace(effect: WriteFile) -> None:
    made: tuple[str, ...] = ()
    try:
        made = files.stage(effect, (os.geteuid(), os.getegid()))
        files.commit(effect)
    except HostError as error:
        files.sweep((effect.path,))
        files.unmake(made)
        hint = "see who may write there, or show the guide with --print"
        raise HostError(error.message, code=error.code, hint=hint) from error
