"""A unit's text written down again, in one form: no comments, one line for each assignment.

The law is `parse(print_text(text))` says the same as `text`, where saying the same leaves line numbers and paths out. It holds
for everything that `parse` and `layered` return, as far as the result stays within the size that is read.
"""

from collections.abc import Iterator

from core_ops.reconcile.unitfile import UnitText


def print_text(text: UnitText) -> bytes:
    """Return a unit file that says the same, in UTF-8 with a line feed after each line."""
    return "".join(f"{line}\n" for line in _lines(text)).encode("utf-8")


def _lines(text: UnitText) -> Iterator[str]:
    """Yield the lines; a header comes again when the section changes back, so that the order of lines is kept."""
    unopened = iter(text.sections)
    opened: set[str] = set()
    section = last = ""  # what the lines belong to now, and the header printed last
    for a in text.assignments:
        if a.section != section:
            section = a.section
            while section not in opened:
                last = next(unopened, section)
                opened.add(last)
                yield f"[{last}]"
            if last != section:
                last = section
                yield f"[{last}]"
        yield f"{a.key}={a.value}"
    yield from (f"[{name}]" for name in unopened)


def says_the_same(one: UnitText, other: UnitText) -> bool:
    """Whether two texts have the same sections and assignments in the same order, wherever they stand."""
    return one.sections == other.sections and [(a.section, a.key, a.value) for a in one.assignments] == [
        (a.section, a.key, a.value) for a in other.assignments
    ]
