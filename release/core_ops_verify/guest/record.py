"""What is known of a guest between two commands: a small file in its directory.

Whether a guest runs is never written down; the kernel is asked.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from core_ops_verify.errors import GuestError
from core_ops_verify.guest.box import Bind, Box
from core_ops_verify.guest.netns import NAMED

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FILE = "guest.json"


@dataclass(frozen=True)
class Record:
    """How a guest was asked for, enough to boot it again from another process."""

    name: str
    usr: str
    parts: tuple[str, ...]
    """Cached directories it stands on, which must not be pruned."""
    netns: str = ""
    netns_made: bool = False
    """Whether the namespace was made for this guest and goes with it."""
    binds: tuple[tuple[str, str, bool], ...] = ()

    def box(self, run: Path) -> Box:
        """Return the box this record describes."""
        return Box(
            name=self.name,
            directory=run / self.name,
            usr=Path(self.usr),
            netns=NAMED / self.netns if self.netns else None,
            binds=tuple(Bind(Path(source), target, writable) for source, target, writable in self.binds),
        )

    def write(self, run: Path) -> None:
        """Write the record into the guest's directory."""
        (run / self.name / _FILE).write_text(json.dumps(asdict(self), indent=1))


def check_name(name: str) -> str:
    """Return the name when it can be a host name and a part of a path.

    Raises:
        GuestError: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise GuestError(
            f"name a guest {name!r}", hint="use up to 40 lower-case letters, digits and hyphens, a letter first"
        )
    return name


def read_record(run: Path, name: str) -> Record:
    """Return the record of a guest.

    Raises:
        GuestError: There is no guest of that name.
    """
    try:
        values = json.loads((run / check_name(name) / _FILE).read_text())
    except FileNotFoundError as error:
        raise GuestError(
            f"find guest {name} in {run}: there is none", hint="see 'core-ops-verify guest list'"
        ) from error
    values["parts"] = tuple(values["parts"])
    values["binds"] = tuple((source, target, bool(writable)) for source, target, writable in values["binds"])
    return Record(**values)


def all_names(run: Path) -> tuple[str, ...]:
    """Return the names of all guests, sorted."""
    return tuple(sorted(path.parent.name for path in run.glob(f"*/{_FILE}")))


def parts_in_use(run: Path) -> frozenset[Path]:
    """Return the cached directories some guest stands on."""
    return frozenset(Path(part) for name in all_names(run) for part in read_record(run, name).parts)
