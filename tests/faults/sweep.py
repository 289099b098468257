"""A host with config files only, a run of the real agent that changes it, and every system call at which that may go wrong."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from faults.server import Request

CALLS = "openat,write,fsync,rename,renameat,unlink,unlinkat,mkdir,mkdirat,rmdir,fchmod,chmod,fchown,fchownat,ftruncate,close"
LOOKS = "read,getdents64,flock,newfstatat,fstat,stat,lstat"
"""Calls that change nothing: they may fail, and a kill there is a kill at the next of the others."""

ERRORS = ("ENOSPC", "EIO", "EROFS", "EMFILE", "EPERM", "EXDEV")
"""What each call that changes something is made to fail with, whether this kernel would ever say so or not."""

LOOK_ERRORS = {
    "read": ("EIO",),
    "getdents": ("EIO",),
    "flock": ("ENOLCK",),
    "newfstat": ("EIO", "EACCES"),
    "fstat": ("EIO",),
    "stat": ("EIO", "EACCES"),
    "lstat": ("EIO", "EACCES"),
}
"""What the others may fail with; `getdents64` as `getdents` and so on."""

BEFORE = {"a/config/changed.conf": "old\n", "a/config/same.conf": "same\n", "gone/config/sub/gone.conf": "gone\n"}
AFTER = {"a/config/changed.conf": "new\n" * 9, "a/config/same.conf": "same\n", "b/config/sub/new.conf": "new\n"}

_CALL = re.compile(r"(?P<call>\w+)\((?P<arguments>.*)\) += .*")
_NAMED = re.compile(r"(?<=core-ops-preflight-)\w+")  # a name that nobody can guess
_CONTENT, _FACTS = re.compile(r", \".*"), re.compile(r"\{.*\}|0x\w+|[0-9a-f]{32}")
"""What a call passes or finds, which may differ from run to run: content, sizes, times."""


class Point(NamedTuple):
    """One system call of a run: the n-th of its name, and what it was about."""

    call: str
    number: int
    about: str

    def kill(self) -> list[str]:
        """Options for strace: end the agent at this call."""
        return self._inject("signal=KILL")

    def fail(self, error: str) -> list[str]:
        """Options for strace: let the call fail."""
        return self._inject(f"error={error}")

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.call in CALLS.split(",")

    @property
    def errors(self) -> tuple[str, ...]:
        """What it may fail with."""
        if self.changes:
            return ERRORS
        return next(e for name, e in LOOK_ERRORS.items() if self.call.startswith(name))

    def _inject(self, what: str) -> list[str]:
        return ["-o", "/dev/null", "-e", f"trace={self.call}", "-e", f"inject={self.call}:{what}:when={self.number}"]


class Ended(NamedTuple):
    """How a run ended and what it said."""

    status: int
    said: str


class Host:
    """One host below a directory, put back as it was before each run; a server runs agents on it."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._saved = top.with_name(f"{top.name}.before")
        self._arguments = [
            "apply",
            f"--source-repo={top}/source",
            "--host=h",
            *(f"--{name}-dir={top}/{name}" for name in ("quadlet", "systemd-unit", "config")),
            f"--state-file={top}/state/status.json",
            f"--lock-path={top}/lock",
        ]
        (top / "config/other").mkdir(parents=True)
        (top / "config/other/theirs.conf").write_text("theirs\n")
        self._source(BEFORE)
        program = [sys.executable, "-B", "-W", "error", "-m", "faults.server", *self._arguments]
        search = ":".join(str(Path(p)) for p in sys.path if p)
        self._server = subprocess.Popen(
            program,
            env={"PYTHONPATH": search},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server.stdin
        assert self._server.stderr
        self._server.stdin.close()
        self._server.wait()
        self._server.stderr.close()

    def run(self, *strace: str) -> Ended:
        """Make a run, perhaps under strace."""
        assert self._server.stdin
        assert self._server.stderr
        output = str(self._top.with_name(f"said-{self._top.name}"))
        request = msgspec.json.encode(Request(self._arguments, output, list(strace))).decode()
        self._server.stdin.write(f"{request}\n")
        self._server.stdin.flush()
        answer = self._server.stderr.readline()
        said = "".join(Path(f"{output}.{name}").read_text() for name in ("out", "err"))
        assert answer, f"the server is gone: {said}"
        return Ended(int(answer), said)

    def begin(self) -> None:
        """Converge to the first state, once; what follows is a change to the second."""
        assert self.run().status == 0
        self._source(AFTER)
        shutil.copytree(self._top, self._saved)

    def again(self) -> None:
        """Put the host back to before the change."""
        shutil.rmtree(self._top)
        shutil.copytree(self._saved, self._top)

    def points(self) -> list[Point]:
        """Make the change under strace and return every call that touches the host."""
        log = self._top.with_name(f"{self._top.name}.strace")
        names = ",".join(f"?{c}" for c in f"{CALLS},{LOOKS}".split(","))
        assert self.run("-o", str(log), "-y", "-e", f"trace={names}").status == 0
        return list(self._points(log.read_text()))

    def held(self) -> dict[str, bytes | None]:
        """Return every file and directory below the host's config directory, and what is in it."""
        top = self._top / "config"
        return {str(p.relative_to(top)): p.read_bytes() if p.is_file() else None for p in top.rglob("*")}

    def leftovers(self) -> list[str]:
        """Return what was written under a name it should not keep."""
        return [str(p) for p in self._top.rglob(".*")]

    def names(self, said: str) -> bool:
        """Tell whether something on this host is named."""
        return str(self._top) in said

    def _points(self, log: str) -> Iterator[Point]:
        counts: dict[str, int] = {}
        for line in log.splitlines():
            if match := _CALL.match(line):
                call = match["call"]
                counts[call] = counts.get(call, 0) + 1
                if str(self._top) in line:
                    about = _CONTENT.sub("", match["arguments"]) if call in {"read", "write"} else match["arguments"]
                    yield Point(
                        call,
                        counts[call],
                        _NAMED.sub("…", _FACTS.sub("", about))
                        .replace(str(self._top), "")
                        .replace(str(self._top.parent), ""),
                    )

    def _source(self, files: dict[str, str]) -> None:
        shutil.rmtree(self._top / "source", ignore_errors=True)
        services = sorted({p.partition("/")[0] for p in files})
        manifest = f"host: h\nservices: [{', '.join(services)}]\n"
        for path, text in {"hosts/h/host.yaml": manifest, **{f"services/{p}": t for p, t in files.items()}}.items():
            target = self._top / "source" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
