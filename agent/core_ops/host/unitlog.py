"""The last lines that a unit wrote to the journal, for a person who wants to know why it failed.

They are asked for only when something failed and somebody looks on. A journal that is away or slow has no lines.
"""

from core_ops.errors import HostError
from core_ops.host import process

LINES = 5
_TIMEOUT_S = 5.0
_LONGEST = 2000  # characters of one line; whoever shows it cuts it further


def tail(unit: str, started_at: str) -> tuple[str, ...]:
    """Return the last lines of a unit's own processes, oldest first, or what systemd said about it if they said nothing.

    Args:
        unit: the unit as systemd knows it.
        started_at: when the run began that it failed in (RFC 3339, UTC).
    """
    since = f"--since={started_at[:10]} {started_at[11:19]} UTC" if started_at else "--since=-1h"
    return _lines(since, f"_SYSTEMD_UNIT={unit}") or _lines(since, f"--unit={unit}")


def _lines(*asked: str) -> tuple[str, ...]:
    argv = ("journalctl", "-b", "-q", "--no-pager", "-o", "cat", "-n", str(LINES), *asked)
    try:
        done = process.run(argv, _TIMEOUT_S)
    except HostError:
        return ()
    return tuple(line[:_LONGEST] for line in done.stdout.splitlines() if line.strip())[-LINES:]
