"""Built once, found by what went in: directories named by a digest, published with one rename.

A builder that dies leaves only a dot-directory that the next builder removes; two builders take turns on a
lock. Nothing here knows what is built.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

DIGEST_LENGTH = 16
"""Hexadecimal digits in a directory name: 64 bits, short enough to read."""

BUILDING = ".building-"
"""Before the names of unfinished directories, which the next builder removes."""


def digest(*parts: object) -> str:
    """Return a short name for the inputs of a build; equal inputs give equal names."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def digest_of_tree(root: Path, *parts: object) -> str:
    """Return a short name for the files below a directory, compiled leftovers aside."""
    seen = hashlib.sha256(json.dumps(parts, default=str).encode())
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        content = path.read_bytes()
        seen.update(f"{path.relative_to(root)}\0{len(content)}\0".encode())
        seen.update(content)
    return seen.hexdigest()[:DIGEST_LENGTH]


@contextmanager
def locked(cache: Path, *, waiting: Callable[[], None]) -> Generator[None]:
    """Hold the cache for one builder; others wait, because they would only build the same again.

    Args:
        cache: The directory to hold.
        waiting: Called once when another builder holds it, before waiting.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(f"{BUILDING}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def built(target: Path, build: Callable[[Path], None]) -> Path:
    """Return `target`, building it first when it is not there.

    The build writes into a directory beside the target and is renamed when complete, so a directory that
    exists is always whole. The caller holds the lock.

    Args:
        target: The directory to return; its name carries the digest of its inputs.
        build: Fills the directory it is given.
    """
    if not target.is_dir():
        work = Path(tempfile.mkdtemp(prefix=BUILDING, dir=target.parent))
        try:
            work.chmod(0o755)
            build(work)
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    os.utime(target)
    return target


def prune(cache: Path, kind: str, *, keep: frozenset[Path], idle_s: float) -> None:
    """Remove built directories of one kind that nobody used lately and no guest stands on.

    Args:
        cache: The cache directory.
        kind: The prefix of the names, such as `payload`.
        keep: Directories in use.
        idle_s: How long a directory may lie unused; a use touches it.
    """
    oldest = time.time() - idle_s
    for path in cache.glob(f"{kind}-*"):
        if path not in keep and path.stat().st_mtime < oldest:
            shutil.rmtree(path, ignore_errors=True)
