"""A guest's own files: writable /etc and /var as plain directories, everything else a link or a mount point.

No overlay lies under a guest, so rename, fsync and inotify behave as on a real disk. The layout is Fedora
CoreOS's: /usr is the system's, and /home, /root, /opt, /srv, /mnt live in /var.
"""

import os
import subprocess
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from core_ops_verify.errors import GuestError

LINKS = (
    *(("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")),
    *(("home", "var/home"), ("root", "var/roothome"), ("opt", "var/opt")),
    *(("srv", "var/srv"), ("mnt", "var/mnt")),
)
_MOUNT_POINTS = ("usr", "proc", "sys", "dev", "run", "tmp", "boot", "sysroot")
_MOST_LINKS = 40
"""Links followed before a path is called a loop, as the kernel does."""


@contextmanager
def usual_umask() -> Generator[None]:
    """Make files with the modes they name: a person's own umask must not decide what a guest may read."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def lay_out(tree: Path, template: Path, hostname: str, *, var_image: tuple[Path, int] | None) -> None:
    """Make a guest's tree from a template.

    Args:
        tree: The directory to make.
        template: Holds the `etc` and `var` to copy.
        hostname: The guest's name for itself.
        var_image: A file to make /var a file system of its own in, and its size in bytes.
    """
    tree.mkdir()
    for name in _MOUNT_POINTS:
        (tree / name).mkdir()
    for name, target in LINKS:
        (tree / name).symlink_to(target)
    copy(template / "etc", tree / "etc")
    if var_image is None:
        copy(template / "var", tree / "var")
    else:
        (tree / "var").mkdir()
        _make_file_system(*var_image, content=template / "var")
    (tree / "etc/hostname").write_text(f"{hostname}\n")
    # A set machine id also says that this is not a first boot.
    (tree / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")


def copy(source: Path, target: Path) -> None:
    """Copy a directory with owners, modes, links and extended attributes, sharing blocks where possible."""
    subprocess.run(["cp", "--archive", "--reflink=auto", str(source), str(target)], check=True)


def resolve(tree: Path, inside: str | PurePosixPath, *, mounted: dict[str, Path]) -> Path:
    """Return where on this machine a guest's path lies, following links as the guest would.

    Never leaves the tree: an absolute link inside means the guest's root, not this machine's.

    Args:
        tree: The guest's tree.
        inside: An absolute path as the guest sees it; its last parts need not exist.
        mounted: Top-level directories that live elsewhere on this machine.

    Raises:
        GuestError: The path is not absolute, or its links loop.
    """
    if not str(inside).startswith("/"):
        raise GuestError(f"resolve {inside}: a path in a guest is absolute")
    todo, done, links = list(PurePosixPath(inside).parts[1:]), list[str](), 0
    while todo:
        name = todo.pop(0)
        if name == "..":
            done = done[:-1]
            continue
        here = _locate(tree, [*done, name], mounted)
        if not here.is_symlink():
            done.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise GuestError(f"resolve {inside}: too many symbolic links")
        target = PurePosixPath(here.readlink())
        done = [] if target.is_absolute() else done
        todo = [part for part in target.parts if part != "/"] + todo
    return _locate(tree, done, mounted)


def _locate(tree: Path, parts: list[str], mounted: dict[str, Path]) -> Path:
    root = mounted.get(parts[0]) if parts else None
    return tree.joinpath(*parts) if root is None else root.joinpath(*parts[1:])


def _make_file_system(image: Path, size_bytes: int, *, content: Path) -> None:
    """Fill a new ext4 image from a directory, without mounting it."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    # -m0: no blocks held back for root, so that the file system is full when a test says so.
    argv = ["mkfs.ext4", "-q", "-F", "-m0", "-d", str(content), str(image)]
    made = subprocess.run(argv, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        said = made.stderr.strip().splitlines()[-1:] or [""]
        raise GuestError(f"make a /var of {size_bytes} bytes: {said[0]}", hint="give it a larger size")
