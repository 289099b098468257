"""Reads YAML into nodes.

YAML is read as events only and composed here: anchors, aliases, tags, merge keys, repeated keys and deep nesting are
refused while they stream by, and a scalar is always the text that stands in the file. So nothing can expand, no type is
guessed (`no`, `010` and `1:30` stay what they look like), and no object is ever built from a tag.
"""

import re
from typing import TYPE_CHECKING

from core_ops.reconcile.nodes import DEPTH_LIMIT, List, Map, Node, Refused, Scalar, decoded, empty, too_deep
from core_ops.reconcile.yamlplain import plain_node

if TYPE_CHECKING:
    import yaml

_SURROGATE = re.compile("[\ud800-\udfff]")


def yaml_node(content: bytes) -> Node:
    """Return what a YAML document says.

    Raises:
        Refused: it is no YAML, or YAML that a manifest may not hold.
    """
    text = decoded(content)
    return plain_node(text) or any_node(text)


def any_node(text: str) -> Node:
    """Return what a YAML document says, plain or not.

    Raises:
        Refused: as `yaml_node`.
    """
    import yaml  # noqa: PLC0415 - 13 ms that only a run which reads odd manifests may pay

    try:
        return _composed(yaml.SafeLoader(text))
    except yaml.MarkedYAMLError as error:
        raise Refused(_line_of(error, text), f"is not YAML: {_problem(error)}", "mend the syntax here") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Refused(line, f"holds the control character U+{error.character:04X}", "save it as plain text") from error


def _line_of(error: "yaml.MarkedYAMLError", text: str) -> int:
    """Return the line that is at fault: where something was opened, when the text ended before it was closed."""
    end = text.rstrip().count("\n") + 1
    return next((m.line + 1 for m in (error.problem_mark, error.context_mark) if m and m.line < end), end)


def _problem(error: "yaml.MarkedYAMLError") -> str:
    problem = (error.problem or "unknown syntax").replace("'<stream end>'", "the end of the file")
    return f"{error.context}, {problem}" if error.context else problem


def _composed(loader: "yaml.SafeLoader") -> Node:
    composer = _Composer()
    try:
        while loader.check_event():
            composer.take(loader.get_event())  # type: ignore[no-untyped-call]  # its stub says nothing
    except (ValueError, OverflowError) as error:  # of int() and chr(), which PyYAML gives whatever it meets
        line = loader.get_mark().line + 1
        raise Refused(line, "is not YAML: a number or an escape is out of range", "write it out") from error
    return composer.finish()


class _Composer:
    """Builds nodes from YAML events with a stack of its own, so that no input can exhaust Python's."""

    def __init__(self) -> None:
        self._open: list[tuple[int, list[Node]]] = []
        self._root: Node | None = None

    def take(self, event: "yaml.Event") -> None:
        import yaml  # noqa: PLC0415 - see yaml_node

        line = event.start_mark.line + 1 if event.start_mark else 0
        self._check(event, line)
        match event:
            case yaml.ScalarEvent():
                self._done(Scalar(event.value, line))
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._open.append((line, []))
            case yaml.MappingEndEvent():
                start, nodes = self._open.pop()
                self._done(_pairs(nodes, start))
            case yaml.SequenceEndEvent():
                start, nodes = self._open.pop()
                self._done(List(tuple(nodes), start))
            case _:
                pass  # where the stream and its documents begin and end says nothing

    def _done(self, node: Node) -> None:
        if self._open:
            self._open[-1][1].append(node)
        else:
            self._root = node

    def finish(self) -> Node:
        if self._root is None:
            raise empty()
        return self._root

    def _check(self, event: "yaml.Event", line: int) -> None:
        import yaml  # noqa: PLC0415 - see yaml_node

        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Refused(line, "uses an anchor or alias", "write the value out")
        tag: object = getattr(event, "tag", None)
        if tag:
            shown = str(tag).replace("tag:yaml.org,2002:", "!!")
            raise Refused(line, f"uses the tag {shown}", "write a plain value")
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            raise Refused(line, "holds half a character, which no file can", "write the whole character")
        if len(self._open) > DEPTH_LIMIT:
            raise too_deep(line)
        if isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            raise Refused(line, "holds a second document", "remove the --- line")


def _pairs(nodes: list[Node], line: int) -> Map:
    pairs: list[tuple[Scalar, Node]] = []
    seen: set[str] = set()
    for key, value in zip(nodes[::2], nodes[1::2], strict=True):
        if not isinstance(key, Scalar):
            raise Refused(key.line, "uses a list or mapping as a key", "use a plain name")
        if key.text == "<<":
            raise Refused(key.line, "uses a merge key", "write the keys out")
        if key.text in seen:
            raise Refused(key.line, f"says “{key.text}” twice", "remove one of them")
        seen.add(key.text)
        pairs.append((key, value))
    return Map(tuple(pairs), line)
