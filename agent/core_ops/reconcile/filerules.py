"""Mode and owner of config files, as a service's manifest says them.

A rule stands by the file's path below `config/`, whichever file is put there, so that a host's own version of a file has the
mode and owner of the service's. A file without a rule belongs to root and has the mode that git gives it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from core_ops.reconcile.model import Finding, Value
from core_ops.reconcile.nodes import Map, Node, Refused, Scalar

LARGEST_ID = 2**32 - 2  # one less than the number that chown(2) takes for "leave it as it is"
_KEYS = ("mode", "owner", "group")
_MODE = re.compile(r"0(?:o0?)?([0-7]{3})")
_SPECIAL_MODE = re.compile(r"(?:0|0o)?[1-7][0-7]{3}")
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")
_OTHERS_MAY_WRITE = 0o002


class FileRule(Value, frozen=True):
    """What is said of one config file; `mode` is None and a name is empty where nothing is."""

    path: str
    line: int
    mode: int | None = None
    owner: str = ""
    group: str = ""


def file_rules(node: Node | None) -> tuple[FileRule, ...]:
    """Return the rules below `files`, in file order.

    Raises:
        Refused: something in it is no rule, or one that nobody should want.
    """
    if node is None:
        return ()
    if not isinstance(node, Map):
        raise Refused(
            node.line, "files is not a mapping of paths to rules", "write a path, and below it a mode or owner"
        )
    return tuple(_rule(path, said) for path, said in node.pairs)


def _rule(path: Scalar, said: Node) -> FileRule:
    if any(part in {"", ".", ".."} for part in path.text.split("/")):
        message = f"files names “{path.text}”, which is no path below the config root"
        raise Refused(path.line, message, "write it as below config/, such as site/index.html", code="ConfigEscape")
    if not isinstance(said, Map) or not said.pairs:
        raise Refused(said.line, f"says nothing of “{path.text}”", "give it a mode, an owner or a group")
    texts = {key.text: _text(key, value) for key, value in said.pairs}
    mode = _mode(texts["mode"]) if "mode" in texts else None
    owner, group = (_account(texts[key], key) if key in texts else "" for key in ("owner", "group"))
    return FileRule(path.text, path.line, mode, owner, group)


def _text(key: Scalar, value: Node) -> Scalar:
    if key.text not in _KEYS:
        hint = f"a file may have {', '.join(_KEYS)}"
        raise Refused(key.line, f"unknown key “{key.text}”", hint, code="UnknownServiceManifestKey")
    if not isinstance(value, Scalar):
        raise Refused(value.line, f"{key.text} is not a text", "write a single value")
    return value


def _mode(said: Scalar) -> int:
    if _SPECIAL_MODE.fullmatch(said.text):
        message = f"mode {said.text} has a set-user-id, set-group-id or sticky bit"
        raise Refused(said.line, message, "a config file needs none of them; write a mode such as 0640")
    digits = _MODE.fullmatch(said.text)
    if digits is None:
        raise Refused(said.line, f"mode “{said.text}” is not four octal digits", "write a mode such as 0640")
    mode = int(digits[1], 8)
    if mode & _OTHERS_MAY_WRITE:
        message = f"mode {said.text} lets everybody on the host write the file"
        raise Refused(said.line, message, "give it an owner or a group that may write instead")
    return mode


def _account(said: Scalar, key: str) -> str:
    if _NAME.fullmatch(said.text) or (_NUMBER.fullmatch(said.text) and int(said.text) <= LARGEST_ID):
        return said.text
    hint = f"write a name of at most 32 small letters, digits, _ and -, or a number up to {LARGEST_ID}"
    raise Refused(said.line, f"{key} “{said.text}” is neither a name nor a number", hint)


def stray_rules(rules: Iterable[FileRule], known: frozenset[str], manifest: str) -> Iterator[Finding]:
    """Yield a finding for each rule that is for no config file of the service, on any host.

    Args:
        rules: those of one service.
        known: the paths of its config files, those that only hosts have included.
        manifest: the repository path of the manifest.
    """
    for rule in rules:
        if rule.path not in known:
            message = f"files names “{rule.path}”, but the service has no such config file on any host"
            hint = "add the file below config/, or correct the path"
            yield Finding(manifest, rule.line, "UnknownConfigFile", message, hint)


def by_path(rules: Iterable[FileRule]) -> Mapping[str, FileRule]:
    """Return the rules by the file they are for."""
    return {rule.path: rule for rule in rules}
