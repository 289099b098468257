"""The plainest YAML, read line by line: what nearly every manifest is, in a twentieth of the time that YAML takes.

A line holds `key: word`, `key: [word, word]`, `key:` with `- word` lines below it, a comment, or nothing. Anything else makes
the whole file a case for the real reader, which also words every refusal; for what is read here it would answer the same.
"""

import re

from core_ops.reconcile.nodes import List, Map, Node, Scalar

_WORD = r"[A-Za-z][A-Za-z0-9._-]*"  # begins with a letter: no number, no sign that means something
_REST = r"[ ]*(?:[ ]#[^\x00-\x08\x0b-\x1f\x7f-\uffff]*)?"
_BLANK = re.compile(r"[ ]*(?:#[\x20-\x7e]*)?")
_KEY = re.compile(rf"({_WORD}):(?:[ ]+({_WORD}|\[[A-Za-z0-9._, -]*\]))?{_REST}")
_ENTRY = re.compile(rf"([ ]*)-[ ]+({_WORD}){_REST}")
_FLOW = re.compile(rf"\[[ ]*(?:{_WORD}(?:[ ]*,[ ]*{_WORD})*)?[ ]*\]")


def plain_node(text: str) -> Map | None:
    """Return what a plain manifest says, or None when it is not plain enough to be sure."""
    pairs: dict[str, tuple[Scalar, Node]] = {}
    entries: list[Scalar] | None = None  # of the key above, while they may go on
    indent = ""
    for number, line in enumerate(text.split("\n"), 1):
        if _BLANK.fullmatch(line):
            continue
        if found := _KEY.fullmatch(line):
            key, value = Scalar(found[1], number), found[2]
            if found[1] in pairs or entries == []:
                return None
            node = _value(value, number) if value else None
            if value and node is None:
                return None
            entries = None if value else []
            indent = ""
            pairs[found[1]] = (key, node or List((), number))
        elif entries is not None and (item := _ENTRY.fullmatch(line)) and (not entries or item[1] == indent):
            indent = item[1]
            entries.append(Scalar(item[2], number))
            key, _ = pairs.popitem()[1]
            pairs[key.text] = (key, List(tuple(entries), entries[0].line))
        else:
            return None
    first = next(iter(pairs.values()), None)
    return Map(tuple(pairs.values()), first[0].line) if first and entries != [] else None


def _value(value: str, line: int) -> Node | None:
    if not value.startswith("["):
        return Scalar(value, line)
    if not _FLOW.fullmatch(value):
        return None
    return List(tuple(Scalar(word, line) for word in re.findall(_WORD, value)), line)
