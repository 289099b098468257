"""Where Debian packages come from: what this machine's own apt already uses, or what the environment names.

The project never writes a host name down; a machine behind a mirror keeps using that mirror.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core_ops_verify.errors import MachineError

MAIN_VARIABLE = "CORE_OPS_DEBIAN_MIRROR"
SECURITY_VARIABLE = "CORE_OPS_DEBIAN_SECURITY_MIRROR"

_FIELDS = ("REPO_URI", "RELEASE", "ORIGIN", "LABEL")
_SCHEMES = ("http:", "https:", "file:", "copy:")
_KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/distribution-gpg-keys/debian/debian-archive-keyring.gpg"),
)


@dataclass(frozen=True)
class Mirrors:
    """Base addresses of Debian's archive; each is empty where a machine names none."""

    main: str
    security: str = ""

    def sources(self, suite: str, keyring: Path) -> tuple[str, ...]:
        """Return sources.list lines for a suite, each bound to the keyring; none leaves the choice to mmdebstrap."""
        if not self.main:
            return ()
        lines = [f"deb [signed-by={keyring}] {self.main} {suite} main"]
        if self.security:
            lines.append(f"deb [signed-by={keyring}] {self.security} {suite}-security main")
        return tuple(lines)


def parse_index_targets(text: str, *, debian_host: bool) -> Mirrors | None:
    """Return the mirrors in apt's list of index targets, or nothing when it names no Debian archive.

    Args:
        text: One target a line, the fields of `_FIELDS` separated by `|`.
        debian_host: Whether targets without an origin are Debian's: apt knows origins only after an update.
    """
    main = security = ""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) != len(_FIELDS) or not fields[0].startswith(_SCHEMES):
            continue
        uri, release, origin, label = fields
        if origin != "Debian" and not (debian_host and not origin):
            continue
        if label == "Debian-Security" or release.endswith("-security"):
            security = security or uri.rstrip("/")
        elif label in {"Debian", ""}:
            main = main or uri.rstrip("/")
    return Mirrors(main, security) if main else None


def find_mirrors(environment: Mapping[str, str] | None = None) -> Mirrors:
    """Return the mirrors to install from: the environment's, else those of the machine's apt.

    Ubuntu's apt and Fedora's dnf name no Debian archive; then `main` is empty, and mmdebstrap takes the one it knows.
    """
    env = os.environ if environment is None else environment
    if env.get(MAIN_VARIABLE):
        return Mirrors(env[MAIN_VARIABLE].rstrip("/"), env.get(SECURITY_VARIABLE, "").rstrip("/"))
    return parse_index_targets(_index_targets(), debian_host=_is_debian()) or Mirrors("")


def find_keyring() -> Path:
    """Return the file with Debian's archive keys.

    Raises:
        MachineError: The machine has none, so nothing downloaded could be checked.
    """
    for path in _KEYRINGS:
        if path.is_file():
            return path
    raise MachineError(
        "find Debian's archive keys in /usr/share/keyrings", hint="install the package debian-archive-keyring"
    )


def _index_targets() -> str:
    if shutil.which("apt-get") is None:
        return ""
    form = "|".join(f"$({field})" for field in _FIELDS)
    argv = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def _is_debian() -> bool:
    release = Path("/etc/os-release")
    return release.is_file() and "ID=debian" in release.read_text(encoding="utf-8").splitlines()
