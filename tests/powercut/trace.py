"""What strace saw of a run, as changes to files: the only source of the power-cut model, so that nothing can be forgotten.

Every call that can change a file is traced, and one that the model does not know is an error: the day the agent begins to
use another, this says so.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

UMASK = 0o077
"""Stricter than a service's: what must be readable for others is made so explicitly, or it is not."""

MARK = "/core-ops-mark/"

_LINE = re.compile(r"\d+ +(?P<call>\w+)\((?P<arguments>.*)\) += (?P<result>-?\w+)(?P<rest>.*)", re.DOTALL)
_ARGUMENT = re.compile(r'"(?:[^"\\]|\\.)*"|\{[^}]*\}|\[[^\]]*\]|[^,\s][^,]*')
_PLACE = re.compile(r"(?:\w+)<(?P<path>[^>]*)>")
_CALLS = (
    "access,umask,open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,link,linkat,symlink,symlinkat,rename,renameat,renameat2,"
    "unlink,unlinkat,rmdir,write,writev,pwrite64,pwritev,pwritev2,truncate,ftruncate,fallocate,sendfile,splice,"
    "copy_file_range,chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,setxattr,lsetxattr,fsetxattr,removexattr,"
    "lremovexattr,fremovexattr,fsync,fdatasync,sync,syncfs,sync_file_range"
)
"""Everything that can change a file or keep it, and `access`, which only leaves marks."""


class Change(NamedTuple):
    """One change, or `mark`. `place` is the path it happens at; `other` a new name, `content` data, `mode` rights."""

    kind: str
    place: str
    other: str = ""
    content: bytes = b""
    mode: int = 0


def is_temporary(path: str) -> bool:
    """Return whether a file is written under this name only to be renamed; nobody reads such a file, and that is checked."""
    return path.rpartition("/")[2].startswith(".") and path.endswith((".new", ".core-ops-new"))


def record(script: str, tree: Path, *arguments: str) -> list[Change]:
    """Run a module of the tests under strace and return what it did below a directory, in order."""
    log = tree.with_name(f"{tree.name}.strace")
    argv = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "1000000", "-e", f"trace={_CALLS}", "-e", "signal=none"]
    search = ":".join(str(Path(p)) for p in sys.path if p)
    program = [sys.executable, "-B", "-W", "error", "-m", script, str(tree), *arguments]
    done = subprocess.run(
        [*argv, "-o", str(log), *program], env={"PYTHONPATH": search}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(_changes(log.read_text(errors="surrogateescape"), str(tree)))


def _changes(log: str, tree: str) -> Iterator[Change]:
    allowed = 0o777
    for line in log.splitlines():
        if tree not in line and MARK not in line and " umask(" not in line:
            continue
        match = _LINE.fullmatch(line)
        assert match, f"not understood: {line[:200]}"
        if MARK in line:
            yield Change("mark", line.partition(MARK)[2].partition('"')[0])
        elif match["call"] == "umask":
            allowed = 0o777 & ~int(match["arguments"], 8)
        elif match["result"] != "-1":
            found = _change(match["call"], _ARGUMENT.findall(match["arguments"]), match["rest"], line)
            yield from (c._replace(mode=c.mode & allowed) if c.kind in {"open", "mkdir"} else c for c in found)


def _change(call: str, arguments: list[str], rest: str, line: str) -> Iterator[Change]:
    match call, arguments:
        case "openat", [_, _, flags, *more] if "O_CREAT" in flags or "O_TRUNC" in flags:
            mode = int(more[0], 8) if more else 0
            yield Change("open", rest.partition("<")[2].rpartition(">")[0], flags, mode=mode)
        case "write", [descriptor, content, _]:
            yield Change("write", _path(descriptor), content=_bytes(content))
        case (("fsync" | "fdatasync"), [descriptor]):
            yield Change("sync", _path(descriptor))
        case (("fchmod" | "chmod"), [place, mode]):
            yield Change("chmod", _path(place), mode=int(mode, 8))
        case _:
            yield from _name_change(call, arguments, line)


def _name_change(call: str, arguments: list[str], line: str) -> Iterator[Change]:
    match call, arguments:
        case "mkdir", [path, mode]:
            yield Change("mkdir", _path(path), mode=int(mode, 8))
        case "mkdirat", [directory, path, mode]:
            yield Change("mkdir", _path(path, directory), mode=int(mode, 8))
        case (("rmdir" | "unlink"), [path]):
            yield Change("unlink", _path(path))
        case "unlinkat", [directory, path, _]:
            yield Change("unlink", _path(path, directory))
        case "rename", [old, new]:
            yield Change("rename", _path(old), _path(new))
        case (("renameat" | "renameat2"), [here, old, there, new, *_]):
            yield Change("rename", _path(old, here), _path(new, there))
        case _:
            assert call in {"access", "open", "openat"}, f"a change the model does not know: {line[:200]}"
            hidden = [a for a in arguments if is_temporary(a.strip('"'))]
            assert not hidden, f"what was left half written is read: {line[:200]}"


def _path(argument: str, directory: str = "") -> str:
    if place := _PLACE.fullmatch(argument):
        return place["path"]
    named = ast.literal_eval(argument)
    assert isinstance(named, str)
    return named if named.startswith("/") else f"{_path(directory)}/{named}"


def _bytes(argument: str) -> bytes:
    content = ast.literal_eval(f"b{argument}")
    assert isinstance(content, bytes), argument
    return content
