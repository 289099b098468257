"""What a manifest says before anybody asks what it means: texts, lists and mappings, each with its line.

YAML and TOML are both read into these nodes, so that one schema serves both and every finding has a line. A scalar is
always text: no type is guessed. `Refused` carries the first reason why a manifest cannot be used.
"""

from core_ops.reconcile.model import Value

SIZE_LIMIT_BYTES = 256 * 1024
DEPTH_LIMIT = 32
_MESSAGE_LIMIT = 300


class Scalar(Value, frozen=True):
    """A text, a number or a truth value, as the text that stands in the file."""

    text: str
    line: int


class List(Value, frozen=True):
    """Values in order."""

    nodes: tuple["Node", ...]
    line: int


class Map(Value, frozen=True):
    """Keys with their values, in order; no key stands there twice."""

    pairs: tuple[tuple[Scalar, "Node"], ...]
    line: int

    def value(self, key: str) -> "Node | None":
        """Return what a key says, or None when it is not there."""
        return next((value for name, value in self.pairs if name.text == key), None)


Node = Scalar | List | Map


class Refused(Exception):  # noqa: N818 - it never leaves the reading of a manifest
    """The first thing that is wrong with a manifest; without a `code` it is the one of its kind of manifest."""

    def __init__(self, line: int, message: str, hint: str, code: str = "") -> None:
        if len(message) > _MESSAGE_LIMIT:  # it may quote a key or value of any length
            message = f"{message[:_MESSAGE_LIMIT]}…"
        super().__init__(message)
        self.line, self.message, self.hint, self.code = line, message, hint, code


def decoded(content: bytes) -> str:
    """Return a manifest's text.

    Raises:
        Refused: it is too large or not UTF-8.
    """
    if len(content) > SIZE_LIMIT_BYTES:
        raise Refused(0, f"is larger than {SIZE_LIMIT_BYTES >> 10} KiB", "keep data out of it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(content.count(b"\n", 0, error.start) + 1, "is not UTF-8", "save it as UTF-8") from error


def too_deep(line: int) -> Refused:
    """Return the refusal of nesting that no manifest needs."""
    return Refused(line, f"is nested deeper than {DEPTH_LIMIT} levels", "flatten it")


def empty() -> Refused:
    """Return the refusal of a manifest that says nothing."""
    return Refused(0, "is empty", "fill it in or remove it")
