"""Where the harness keeps things on this machine.

Built parts are a cache and may be deleted at any time no guest runs; guests live apart from them, on a real
disk, because a test about fsync or a full disk means nothing on a tmpfs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core_ops_verify.errors import MachineError


@dataclass(frozen=True)
class Places:
    """The two directories the harness owns."""

    cache: Path
    run: Path

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> "Places":
        """Return the places the environment names, or the defaults of a Debian or Fedora machine."""
        env = os.environ if environment is None else environment
        return cls(
            cache=Path(env.get("CORE_OPS_VERIFY_CACHE") or "/var/cache/core-ops-verify").absolute(),
            run=Path(env.get("CORE_OPS_VERIFY_RUN") or "/var/lib/core-ops-verify").absolute(),
        )


def require_root() -> None:
    """Refuse to go on without root: mounts, cgroups and namespaces need it.

    Raises:
        MachineError: The effective user is not root.
    """
    if os.geteuid() != 0:
        raise MachineError("start a guest: needs root", hint="run the same command with sudo")
