"""Where each key and value of a TOML text stands: `tomllib` says what a file means, but not on which line.

The walk follows the structure of TOML (headers, keys, strings, arrays, inline tables) from left to right, once, and keeps
the first line at which each way through the tables is named. It is bounded in depth, and refuses what it does not follow.

Source:
    https://toml.io/en/v1.0.0
"""

import re
import tomllib
from typing import NamedTuple

from core_ops.reconcile.nodes import DEPTH_LIMIT, Refused, too_deep

HINT = 'mend the syntax at this line; texts stand in quotes, and an octal mode is "0640" or 0o640'

# No group is possessive: Python before 3.11.5 loses its way in one (python/cpython#106052). Each matches in linear time all
# the same, since what may follow an iteration differs from what it begins with.
_BLANK = re.compile(r"[ \t\r\n]*+(?:#[^\n]*+[ \t\r\n]*+)*")
_SPACE = re.compile(r"[ \t]*+")
_REST = re.compile(r"[ \t\r]*+(?:#[^\n]*+)?(?:\n|\Z)")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]++")
_STRING = re.compile(r'"[^"\\\n]*+(?:\\[^\n][^"\\\n]*+)*"|\'[^\'\n]*+\'')
_LONG_STRING = re.compile(
    r'"""(?:[^"\\]++|\\[\s\S]|"{1,2}(?!"))*"{3,5}+' + "|" + r"'''(?:[^']++|'{1,2}(?!'))*'{3,5}+",
)
_BARE_VALUE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9][0-9:.Zz+-]*+|[A-Za-z0-9+_.:-]++")
_BARE_LIMIT = 100  # Python converts no integer of thousands of digits

Way = tuple[str | int, ...]


class Place(NamedTuple):
    """The line of a key or value, and a value's text where it is neither a string nor a collection."""

    line: int
    text: str = ""


def places(text: str) -> dict[Way, Place]:
    """Return the place of everything a TOML text names, by the keys and positions that lead to it.

    Raises:
        Refused: it is nested too deeply, or is no TOML as far as the walk can tell.
    """
    walk = _Walk(text)
    walk.document()
    return walk.found


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._lengths: dict[Way, int] = {}  # of arrays of tables, which later headers go on with
        self.found: dict[Way, Place] = {}

    def document(self) -> None:
        table: Way = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._next("["):
                table = self._header()
            else:
                self._assignment(table)
            if self._skip(_REST) is None:
                raise self._unclear("something follows on the same line")
            self._skip(_BLANK)

    # --- steps ------------------------------------------------------------------------------------------------------

    def _next(self, mark: str) -> bool:
        """Go past a mark if it stands here."""
        here = self._text.startswith(mark, self._at)
        self._at += len(mark) if here else 0
        return here

    def _skip(self, pattern: re.Pattern[str]) -> str | None:
        """Go past what a pattern matches here and return it, or None when it does not."""
        match = pattern.match(self._text, self._at)
        if match is None:
            return None
        self._line += self._text.count("\n", self._at, match.end())
        self._at = match.end()
        return match[0]

    def _expect(self, mark: str) -> None:
        if not self._next(mark):
            raise self._unclear(f"“{mark}” is missing")

    def _unclear(self, what: str) -> Refused:
        return Refused(self._line, f"is not TOML: {what}", HINT)

    def _note(self, way: Way, text: str = "", line: int = 0) -> None:
        if len(way) > DEPTH_LIMIT:
            raise too_deep(self._line)
        self.found.setdefault(way, Place(line or self._line, text))

    # --- keys -------------------------------------------------------------------------------------------------------

    def _header(self) -> Way:
        several = self._next("[")
        self._skip(_SPACE)
        parts = self._key()
        way: Way = ()
        for place, part in enumerate(parts):
            way = (*way, part)
            self._note(way)
            last = place == len(parts) - 1
            if last and several:
                self._lengths[way] = self._lengths.get(way, 0) + 1
            if way in self._lengths:
                way = (*way, self._lengths[way] - 1)
                self._note(way)
        self._expect("]]" if several else "]")
        return way

    def _assignment(self, table: Way) -> None:
        way = table
        for part in self._key():
            way = (*way, part)
            self._note(way)
        self._expect("=")
        self._skip(_SPACE)
        self._value(way)

    def _key(self) -> list[str]:
        """Return the parts of a dotted key."""
        parts = [self._part()]
        while self._next("."):
            self._skip(_SPACE)
            parts.append(self._part())
            if len(parts) > DEPTH_LIMIT:
                raise too_deep(self._line)
        return parts

    def _part(self) -> str:
        part = self._skip(_BARE_KEY)
        quoted = None if part else self._skip(_STRING)
        self._skip(_SPACE)
        if quoted:
            return self._unquoted(quoted)
        if not part:
            raise self._unclear("a key is missing")
        return part

    def _unquoted(self, quoted: str) -> str:
        if quoted.startswith("'") or "\\" not in quoted:
            return quoted[1:-1]
        try:
            return str(tomllib.loads(f"k = {quoted}")["k"])
        except ValueError as error:
            raise self._unclear(f"the key {quoted} has an unknown escape") from error

    # --- values -----------------------------------------------------------------------------------------------------

    def _value(self, way: Way) -> None:
        line = self._line
        if self._next("["):
            self._note(way, line=line)
            self._array(way)
        elif self._next("{"):
            self._note(way, line=line)
            self._inline_table(way)
        elif self._skip(_LONG_STRING) or self._skip(_STRING):
            self._note(way, line=line)
        elif text := self._skip(_BARE_VALUE):
            if len(text) > _BARE_LIMIT:
                raise self._unclear(f"a number of {len(text)} characters")
            self.found[way] = Place(line, text)  # the key alone has no text
        else:
            raise self._unclear("a value is missing, or its quotes or brackets are not closed")

    def _array(self, way: Way) -> None:
        place = 0
        self._skip(_BLANK)
        while not self._next("]"):
            inner = (*way, place)
            self._note(inner)
            self._value(inner)
            place += 1
            self._skip(_BLANK)
            if not self._next(","):
                self._expect("]")
                return
            self._skip(_BLANK)

    def _inline_table(self, way: Way) -> None:
        self._skip(_BLANK)
        while not self._next("}"):
            self._assignment(way)
            self._skip(_BLANK)
            if not self._next(","):
                self._expect("}")
                return
            self._skip(_BLANK)
