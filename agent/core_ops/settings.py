"""What this run was told: flags before environment before `/etc/core-ops/config.d` before defaults.

The only module that reads the environment. Every value remembers where it came from, so that `status --settings` can say.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from core_ops.errors import SettingsError, UsageError
from core_ops.reconcile.kinds import NAME
from core_ops.reconcile.model import Directories

CONFIG_DIRECTORY = Path("/etc/core-ops/config.d")
SIZE_LIMIT_BYTES = 64 * 1024

DEFAULTS = {
    "state_file": "/var/lib/core-ops/status.json",
    "lock_path": "/run/core-ops/lock",
    "quadlet_dir": "/etc/containers/systemd",
    "systemd_unit_dir": "/etc/systemd/system",
    "config_dir": "/etc",
    "trust_file": "/etc/core-ops/trust.json",
    "signers_file": "/etc/core-ops/allowed_signers",
    "ca_file": "",
    "audit_dir": "",
    "fetch_timeout_s": "120",
}
ENVIRONMENT = {
    "host": "CORE_OPS_HOST",
    "state_file": "CORE_OPS_STATE_FILE",
    "quadlet_dir": "CORE_OPS_QUADLET_DIR",
    "systemd_unit_dir": "CORE_OPS_SYSTEMD_UNIT_DIR",
    "audit_dir": "CORE_OPS_AUDIT_DIR",
    "repository": "CORE_OPS_REPO",
    "ref": "CORE_OPS_REV",
}
_PATHS = ("state_file", "lock_path", "quadlet_dir", "systemd_unit_dir", "config_dir", "trust_file", "signers_file")
_OPTIONAL_PATHS = ("ca_file", "audit_dir")


class Setting(NamedTuple):
    """One value and where it came from: `flag`, an environment variable, a file, or `default`."""

    value: str
    origin: str


class Settings:
    """Everything a run was told, by name."""

    def __init__(self, by_name: Mapping[str, Setting]) -> None:
        self.by_name = by_name

    def get(self, name: str) -> str:
        """Return a value by name; empty when it was not given."""
        setting = self.by_name.get(name)
        return setting.value if setting else ""

    def path(self, name: str) -> Path:
        """Return a value as an absolute path."""
        return Path(self.get(name))

    @property
    def directories(self) -> Directories:
        """Where files go on this host."""
        return Directories(self.get("quadlet_dir"), self.get("systemd_unit_dir"), self.get("config_dir"))

    @property
    def fetch_timeout_s(self) -> int:
        """How long a fetch may take in all, in seconds."""
        return int(self.get("fetch_timeout_s"))


def read(flags: Mapping[str, str | None], config_directory: Path = CONFIG_DIRECTORY) -> Settings:
    """Return the merged settings.

    Args:
        flags: what the command line gave, by setting name; None where it did not.
        config_directory: where `*.toml` files are read, later names winning.

    Raises:
        SettingsError: a file has an unknown key, or a value makes no sense.
        UsageError: a flag or variable is not an absolute path where one is needed.
    """
    found = {name: Setting(value, "default") for name, value in DEFAULTS.items()}
    found["host"] = Setting(os.uname().nodename, "host name")
    for path, values in _files(config_directory):
        found |= {name: Setting(value, str(path)) for name, value in values.items()}
    found |= {
        name: Setting(value, variable) for name, variable in ENVIRONMENT.items() if (value := os.environ.get(variable))
    }
    found |= {name: Setting(value, "flag") for name, value in flags.items() if value is not None}
    return Settings({name: _checked(name, found[name]) for name in sorted(found)})


def _files(directory: Path) -> list[tuple[Path, dict[str, str]]]:
    try:
        names = sorted(p for p in directory.iterdir() if p.suffix == ".toml")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingsError(
            f"read {directory}: {error.strerror}", code="settings-unreadable", hint="run as root"
        ) from error
    return [(path, _file(path)) for path in names]


def _file(path: Path) -> dict[str, str]:
    known = {*DEFAULTS, "host"}
    try:
        content = path.read_bytes()
        if len(content) > SIZE_LIMIT_BYTES:
            raise _invalid(path, f"larger than {SIZE_LIMIT_BYTES} bytes")
        values = tomllib.loads(content.decode())
    except OSError as error:
        raise _invalid(path, error.strerror or "unreadable") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _invalid(path, f"not TOML: {error}") from error
    for name, value in values.items():
        if name not in known:
            raise _invalid(path, f"unknown key {name}; known are {', '.join(sorted(known))}")
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise _invalid(path, f"{name} is not a text or a number")
    return {name: str(value) for name, value in values.items()}


def _invalid(path: Path, why: str) -> SettingsError:
    return SettingsError(f"read {path}: {why}", code="settings-invalid", hint="mend or remove that file")


def _checked(name: str, setting: Setting) -> Setting:
    value = setting.value
    if name in _PATHS or (name in _OPTIONAL_PATHS and value):
        if not value.startswith("/") or ".." in value.split("/"):
            raise _bad(name, setting, "is not an absolute path without ..", "write the whole path")
        return Setting(value.rstrip("/") or "/", setting.origin)
    if name == "host" and not NAME.match(value):
        raise _bad(name, setting, "is not a host name", "use letters, digits, . _ -")
    if name == "fetch_timeout_s" and not (value.isdecimal() and 0 < int(value) <= 3600):  # noqa: PLR2004 - an hour
        raise _bad(name, setting, "is not a number of seconds from 1 to 3600", "write for example 120")
    return setting


def _bad(name: str, setting: Setting, why: str, hint: str) -> UsageError:
    option = f"--{name.replace('_', '-')}" if setting.origin == "flag" else f"{name} from {setting.origin}"
    return UsageError(f"use {option}: “{setting.value}” {why}", code="bad-setting", hint=hint)


def home_directory() -> Path:
    """Return the user's home directory.

    Raises:
        UsageError: there is none, or `HOME` is not an absolute path.
    """
    try:
        home = Path("~").expanduser()
    except RuntimeError:
        home = Path()
    if not home.is_absolute():
        raise UsageError(
            "find the home directory: HOME is no absolute path", code="bad-setting", hint="set HOME to an absolute path"
        )
    return home


def journal_stream() -> str:
    """Return which stream of this process the journal reads already (device:inode), or nothing.

    Source:
        systemd.exec(5), $JOURNAL_STREAM.
    """
    return os.environ.get("JOURNAL_STREAM", "")


def colour_wanted() -> bool:
    """Return whether a terminal may be coloured: `NO_COLOR` says no, and so does a terminal that can't."""
    return not os.environ.get("NO_COLOR") and redraw_wanted()


def redraw_wanted() -> bool:
    """Return whether a terminal knows how to replace what was written on it."""
    return os.environ.get("TERM", "dumb") != "dumb"
