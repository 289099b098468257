"""How one file changes, for people: a unified diff where there is text to compare, and one line that sums it up.

A diff is shown, never applied, so it is kept readable: what is no text or longer than a person reads is summed up. Lines end
at a line feed and nowhere else, and a missing one at the end is a difference that is named.
"""

import difflib

from core_ops.reconcile import ownership
from core_ops.reconcile.changes import FileChange
from core_ops.reconcile.model import Value
from core_ops.reconcile.planned import DiffKind

DIFF_LIMIT_BYTES = 64 * 1024  # a longer file is summed up: nobody reads such a diff, and it may be data
_UNENDED = "\n\\ No newline at end of file"


class FileDiff(Value, frozen=True):
    """How a file changes. `unified` is empty where contents are equal or not shown; `details` tells of mode and owner."""

    kind: DiffKind
    summary: str
    unified: str = ""
    details: str = ""


def file_diff(change: FileChange) -> FileDiff:
    """Return how a file that is written changes."""
    new, old = change.item.content, change.seen.content
    exists = change.seen.kind != "absent"
    begin = f"{'replaces' if exists else 'creates'} {change.item.path}"
    changed = ownership.changes(change.item, change.seen, change.accounts) if exists else ()
    details = ", ".join(changed)
    if exists and new == old:
        return FileDiff("semantic_only", f"{begin} ({details})", details=details)
    texts = _text(old), _text(new)
    if texts[0] is None or texts[1] is None:
        kind: DiffKind = "replacement" if exists else "creation"
        return FileDiff(kind, f"{begin} ({', '.join((f'{len(new)} bytes, not shown', *changed))})", details=details)
    lines = list(difflib.unified_diff(_lines(texts[0]), _lines(texts[1]), "on the host", "desired", lineterm=""))
    added = sum(1 for line in lines[2:] if line.startswith("+"))
    removed = sum(1 for line in lines[2:] if line.startswith("-"))
    kind = "line_based" if exists else "creation"
    return FileDiff(kind, f"{begin} ({', '.join((f'+{added} -{removed}', *changed))})", "\n".join(lines), details)


def _text(content: bytes) -> str | None:
    if len(content) > DIFF_LIMIT_BYTES or b"\0" in content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _lines(text: str) -> list[str]:
    """Return the lines of a text; the last one says so if it has no line feed."""
    lines = text.split("\n")
    last = lines.pop()
    return [*lines, f"{last}{_UNENDED}"] if last else lines
