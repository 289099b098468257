"""Builds the base tree: an unpacked Debian with systemd and podman, and an interpreter beside it.

The tree is only ever bound read-only into guests. No Python is installed in it, because Fedora CoreOS has
none and an agent that leans on the host's would pass here and fail there.
"""

import shutil
import subprocess
import tempfile
from collections import deque
from pathlib import Path

from core_ops_verify.errors import BuildError, MachineError
from core_ops_verify.guest.cache import built
from core_ops_verify.guest.mirrors import find_keyring, find_mirrors
from core_ops_verify.guest.progress import InstallerProgress, Progress
from core_ops_verify.guest.recipe import Recipe, arguments

_LINES_KEPT = 40
"""Lines of the installer's output kept in a log when it fails."""


def build_base(cache: Path, recipe: Recipe, progress: Progress) -> Path:
    """Return the directory with `tree/` and `interpreter/` of a recipe, built when it is not cached.

    Raises:
        MachineError: A needed program, mirror or keyring is missing.
        BuildError: The installer failed.
    """
    return built(cache / f"base-{recipe.digest}", lambda work: _install(recipe, work, progress))


def _install(recipe: Recipe, work: Path, progress: Progress) -> None:
    if shutil.which("mmdebstrap") is None:
        raise MachineError("build the base tree: mmdebstrap is missing", hint="install the package mmdebstrap")
    tree, interpreter = work / "tree", work / "interpreter"
    interpreter.mkdir()
    sources = find_mirrors().sources(recipe.suite, find_keyring())
    hook = f"--customize-hook={_unpack_beside(recipe, interpreter)}"
    # A mount namespace of its own: whatever the installer mounts goes away with it, also when it is killed,
    # so removing an unfinished tree can never reach into the machine's /dev or /proc.
    apart = ("unshare", "--mount", "--propagation", "private")
    _run_installer([*apart, "mmdebstrap", *arguments(recipe), hook, recipe.suite, str(tree), *sources], progress)
    _shape(tree)


def _unpack_beside(recipe: Recipe, target: Path) -> str:
    """Return the installer's hook that unpacks packages outside the tree, from the same package lists."""
    # The download directory is apt's own user's: apt drops root before it reads the network.
    return (
        f'set -e; d=$(mktemp -d); chmod 755 "$d"; chown _apt "$d" 2>/dev/null || true; cd "$d"; '
        f"APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download --quiet {' '.join(recipe.beside)}; "
        f'for f in *.deb; do dpkg-deb --extract "$f" {target}; done; cd /; rm -r "$d"'
    )


def _run_installer(argv: list[str], progress: Progress) -> None:
    reading, last = InstallerProgress(progress), deque[str](maxlen=_LINES_KEPT)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            for line in process.stdout or ():
                last.append(line)
                reading.feed(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        with tempfile.NamedTemporaryFile(
            "w", prefix="core-ops-verify-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            log.writelines(last)
        said = next((line.strip() for line in last if line.startswith("E: ")), "")
        raise BuildError(
            f"build the base tree: mmdebstrap ended with {process.returncode}: {said}",
            hint=f"its last words are in {log.name}",
        )


def _shape(tree: Path) -> None:
    """Give the read-only part Fedora CoreOS's shape and check that it stayed free of Python."""
    pythons = sorted(str(path) for path in tree.glob("usr/bin/python*"))
    if pythons:
        raise BuildError(f"build the base tree: it has {pythons[0]}", hint="a package of the recipe brings it")
    shutil.rmtree(tree / "usr/local")
    (tree / "usr/local").symlink_to("../var/usrlocal")
