"""Container images a guest has from the start, made here from a static busybox: no registry is asked.

Each stops promptly on SIGTERM. A program that is PID 1 of a container does not die of a signal it has no
handler for, and podman would wait ten seconds before it kills it; so each starts as a shell with a trap.
"""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

WEB_PORT = 8080

_SERVE = f"""#!/bin/sh
trap 'kill $!; exit 0' TERM INT
httpd -f -p {WEB_PORT} -h /www &
wait
"""
_SLEEP = """#!/bin/sh
trap 'kill $!; exit 0' TERM INT
sleep 2147483647 &
wait
"""
_APPLETS = (
    *("cat", "date", "echo", "env", "grep", "hostname", "httpd", "id", "kill", "ls", "mkdir", "nc", "ps", "rm"),
    *("sh", "sleep", "stat", "sync", "test", "touch", "true", "wget"),
)
"""Busybox has hundreds; each is a link that every new guest copies, which was most of creating one."""


@dataclass(frozen=True)
class Image:
    """A container image: busybox, one program to start, and perhaps a page to serve."""

    reference: str
    program: str
    page: str = ""

    def changes(self) -> tuple[str, ...]:
        """Return the settings of the image in Containerfile words."""
        web = (f"EXPOSE {WEB_PORT}",) if self.page else ()
        return ('CMD ["/bin/start"]', "ENV PATH=/bin", *web)


IMAGES = (
    Image("localhost/whoami:1", _SERVE, "whoami 1\n"),
    Image("localhost/whoami:2", _SERVE, "whoami 2\n"),
    Image("localhost/sleeper:1", _SLEEP),
)


def archive(image: Image, busybox: Path) -> bytes:
    """Return the root file system of an image as a tar that podman can import.

    Args:
        image: What to pack.
        busybox: A statically linked busybox for this machine.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for directory in ("bin", "etc", "tmp", "www"):
            tar.addfile(_entry(directory, kind=tarfile.DIRTYPE))
        _add(tar, "bin/busybox", busybox.read_bytes(), mode=0o755)
        for applet in _APPLETS:
            link = _entry(f"bin/{applet}", kind=tarfile.SYMTYPE)
            link.linkname = "busybox"
            tar.addfile(link)
        _add(tar, "bin/start", image.program.encode(), mode=0o755)
        _add(tar, "etc/passwd", b"root:x:0:0:root:/:/bin/sh\n")
        if image.page:
            _add(tar, "www/index.html", image.page.encode())
    return packed.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = _entry(name, mode=mode)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _entry(name: str, *, kind: bytes = tarfile.REGTYPE, mode: int = 0o755) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry
