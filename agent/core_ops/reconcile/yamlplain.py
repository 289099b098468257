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
    pairs: dict[str, tuple[Scalar, Node | list[Scalar]]] = {}
    entries: list[Scalar] | None = None  # of the key above, while they may go on
    indent = ""
    for number, line in enumerate(text.split("\n"), 1):
        if _BLANK.fullmatch(line):
            continue
        if found := _KEY.fullmatch(line):
            value = _value(found[2] or "", number)
            if found[1] in pairs or entries == [] or value is None:
                return None
            entries = value if isinstance(value, list) else None
            indent = ""
            pairs[found[1]] = (Scalar(found[1], number), value)
        elif entries is not None and (item := _ENTRY.fullmatch(line)) and (not entries or item[1] == indent):
            indent = item[1]
            entries.append(Scalar(item[2], number))
        else:
            return None
    return _whole(tuple(pairs.values())) if pairs and entries != [] else None


def _whole(pairs: tuple[tuple[Scalar, Node | list[Scalar]], ...]) -> Map:
    """Return the mapping; only now are the lists complete, none of which is empty."""
    nodes = (List(tuple(value), value[0].line) if isinstance(value, list) else value for _, value in pairs)
    return Map(tuple(zip((key for key, _ in pairs), nodes, strict=True)), pairs[0][0].line)


def _value(value: str, line: int) -> Node | list[Scalar] | None:
    """Return what stands behind a key: nothing yet is a list whose entries may follow."""
    if not value:
        return []
    if not value.startswith("["):
        return Scalar(value, line)
    if not _FLOW.fullmatch(value):
        return None
    return List(tuple(Scalar(word, line) for word in re.findall(_WORD, value)), line)
