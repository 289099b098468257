"""How much is said of one file: one that is something else would bury whatever is wrong in the rest of the tree.

What reads a file line by line stops listing by itself, with the same number and in the same words; `capped` and `listed` hold
for everything else that is found in it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from core_ops.reconcile.model import Finding

MOST_FINDINGS = 20
MORE_HINT = "mend what is listed and check again"
_T = TypeVar("_T")


def listed(things: Iterable[_T], group: Callable[[_T], object]) -> Iterator[tuple[_T, Sequence[_T]]]:
    """Yield what is said of each group, in order, and then the first thing that is too many, with all that are.

    What goes over the limit by one is said in full: a line that says so would be no shorter.
    """
    groups: dict[object, list[_T]] = {}
    for thing in things:
        groups.setdefault(group(thing), []).append(thing)
    for found in groups.values():
        whole = len(found) <= MOST_FINDINGS + 1
        yield from ((thing, ()) for thing in (found if whole else found[:MOST_FINDINGS]))
        if not whole:
            yield found[MOST_FINDINGS], found[MOST_FINDINGS:]


def more(unlisted: int) -> str:
    """Return what is said in the place of the first thing that is not listed.

    Args:
        unlisted: how many things are not, that one among them.
    """
    return f"has {unlisted} more findings than are listed, from this one on"


def capped(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return refusals sorted by place, each once, of each file as many as somebody would read."""
    shown = (
        msgspec.structs.replace(finding, message=more(len(rest)), hint=MORE_HINT) if rest else finding
        for finding, rest in listed(sorted(set(findings)), lambda f: f.path)
    )
    return tuple(sorted(shown))
