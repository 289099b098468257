"""The agent in a guest: its source and an interpreter beside it, bound read-only below /opt/core-ops.

The agent will come as a single file with its interpreter inside; until then this module is the one place
that knows what replaces it. Nothing is installed into the base tree: the interpreter is Debian's, unpacked
beside it, and uses the guest's C libraries.
"""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from core_ops_verify.errors import BuildError
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.cache import BUILDING, built, digest, digest_of_tree
from core_ops_verify.guest.recipe import Recipe

HOME = "/opt/core-ops"
_PYTHON = f"{HOME}/runtime/usr/bin/python3.13"
_LAUNCHER = f"""#!/bin/sh
exec {_PYTHON} -I -S -B {HOME}/agent/main.py "$@"
"""
_MAIN = f"""\
import sys

sys.path[:0] = ["{HOME}/agent", "{HOME}/runtime/site"]

from core_ops.cli import console

sys.exit(console())
"""
_DISTRIBUTIONS = ("msgspec", "pygit2", "cryptography", "PyYAML")
_IMPORTS = "import ssl, msgspec, pygit2, yaml, systemd._journal, cryptography.hazmat.primitives.asymmetric.ed25519"
_MANYLINUX = ("2_34", "2_28", "2_17", "2014")
_NEVER_IMPORTED = ("pydoc_data", "idlelib", "turtledemo", "ensurepip", "_pyrepl", "curses", "unittest")
"""Parts of the standard library the agent has no use for; leaving them out saves their compilation."""


@dataclass(frozen=True)
class Payload:
    """What a guest with the agent gets to see."""

    runtime: Path
    agent: Path

    def binds(self) -> tuple[Bind, ...]:
        """Return what to show read-only; /opt and /usr/local are links into /var, as on Fedora CoreOS."""
        return (
            Bind(self.runtime, f"/var{HOME}/runtime"),
            Bind(self.agent, f"/var{HOME}/agent"),
            Bind(self.agent / "core-ops", "/var/usrlocal/bin/core-ops"),
        )


def find_agent() -> Path | None:
    """Return the directory of the agent's package, found without importing it."""
    spec = importlib.util.find_spec("core_ops")
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def requirements() -> tuple[str, ...]:
    """Return what the agent needs from the package index, in the versions its developers test with."""
    return tuple(_pinned(name) for name in _DISTRIBUTIONS)


def build_wheels(cache: Path, recipe: Recipe) -> Path:
    """Return a directory with the agent's dependencies for the guest's interpreter.

    Raises:
        BuildError: pip could not get them.
    """
    wanted = requirements()
    return built(
        cache / f"wheels-{digest(wanted, recipe.machine)}", lambda work: _install(work, wanted, recipe.machine)
    )


def build_runtime(cache: Path, base: Path, wheels: Path) -> Path:
    """Return the interpreter with its dependencies, compiled and tried out on the base tree.

    Raises:
        BuildError: An import failed: the tree lacks a library.
    """

    def build(work: Path) -> None:
        shutil.copytree(base / "interpreter/usr", work / "usr", symlinks=True)
        shutil.copytree(wheels, work / "site", symlinks=True)
        shutil.copytree(work / "usr/lib/python3/dist-packages/systemd", work / "site/systemd")
        shutil.rmtree(work / "usr/lib/python3")
        shutil.rmtree(work / "usr/share")
        for name in _NEVER_IMPORTED:
            shutil.rmtree(work / "usr/lib/python3.13" / name, ignore_errors=True)
        below = (f"{HOME}/runtime/usr/lib/python3.13", f"{HOME}/runtime/site")
        _compile(base / "tree", (Bind(work, f"{HOME}/runtime", writable=True),), below)
        code = f"import sys; sys.path.insert(0, '{HOME}/runtime/site'); {_IMPORTS}"
        _in_base(base / "tree", (Bind(work, f"{HOME}/runtime"),), [_PYTHON, "-I", "-S", "-B", "-c", code])

    return built(cache / f"runtime-{digest(base.name, wheels.name, _NEVER_IMPORTED, _IMPORTS)}", build)


def build_payload(cache: Path, base: Path, runtime: Path, agent: Path) -> Payload:
    """Return the payload for the agent's source as it is now.

    Raises:
        BuildError: A file of the agent does not compile.
    """

    def build(work: Path) -> None:
        shutil.copytree(seen, work / "core_ops")
        (work / "main.py").write_text(_MAIN, encoding="utf-8")
        (work / "core-ops").write_text(_LAUNCHER, encoding="utf-8")
        (work / "core-ops").chmod(0o755)
        binds = (Bind(runtime, f"{HOME}/runtime"), Bind(work, f"{HOME}/agent", writable=True))
        _compile(base / "tree", binds, (f"{HOME}/agent",))

    # Looked at once: somebody may be editing, and a name must never stand for other bytes than it was made of.
    with tempfile.TemporaryDirectory(prefix=BUILDING, dir=cache) as snapshot:
        seen = Path(snapshot) / "core_ops"
        shutil.copytree(agent, seen, ignore=shutil.ignore_patterns("__pycache__"))
        name = f"payload-{digest_of_tree(seen, runtime.name, _MAIN, _LAUNCHER)}"
        return Payload(runtime, built(cache / name, build))


def _pinned(name: str) -> str:
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return name


def _install(work: Path, wanted: tuple[str, ...], machine: str) -> None:
    platforms = (word for tag in _MANYLINUX for word in ("--platform", _platform(tag, machine)))
    argv = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-input"),
        *("--disable-pip-version-check", "--root-user-action=ignore", "--target", str(work)),
        *("--only-binary=:all:", "--implementation=cp", "--python-version=3.13"),
        *platforms,
        *wanted,
    ]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        said = [line for line in done.stderr.strip().splitlines() if line.startswith("ERROR")] or [""]
        raise BuildError(
            f"get {', '.join(wanted)} for the guest: pip ended with {done.returncode}: {said[0]}",
            hint="check that pip works in this environment and reaches a package index",
        )


def _platform(tag: str, machine: str) -> str:
    return f"manylinux2014_{machine}" if tag == "2014" else f"manylinux_{tag}_{machine}"


def _compile(tree: Path, binds: tuple[Bind, ...], below: tuple[str, ...]) -> None:
    # Unchecked: start-up need not stat each source file, and what is bound read-only cannot change.
    argv = [_PYTHON, "-I", "-S", "-m", "compileall", "-q", "-j0", "--invalidation-mode=unchecked-hash", *below]
    _in_base(tree, binds, argv)


def _in_base(tree: Path, binds: tuple[Bind, ...], argv: list[str]) -> None:
    """Run a program in the base tree, with directories shown where a guest will have them."""
    # The mounts are the child's own; /opt gets a tmpfs so that mount points leave no trace in the tree.
    script = """set -eu
tree=$1; shift
mount -t tmpfs tmpfs "$tree/opt"
mount -t tmpfs tmpfs "$tree/dev"
mkdir "$tree/dev/shm"
mknod -m 666 "$tree/dev/null" c 1 3
mknod -m 666 "$tree/dev/urandom" c 1 9
while [ "$1" != -- ]; do mkdir -p "$tree$2"; mount --bind "$1" "$tree$2"; shift 2; done
shift
exec chroot "$tree" "$@"
"""
    shown = (str(word) for bind in binds for word in (bind.source, bind.target))
    apart = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    done = subprocess.run([*apart, str(tree), *shown, "--", *argv], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).strip().splitlines()
        telling = [line.strip() for line in lines if "Error" in line] or lines[-1:]
        raise BuildError(f"prepare the agent's runtime: {' '.join(argv[:5])} failed: {' '.join(telling)}")
