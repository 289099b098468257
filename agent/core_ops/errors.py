"""Every reason to stop, and who must act.

A class says who acts (its disposition) and which word a person sees; a message says what was being attempted, in lower
case and without a period. Expected outcomes (nothing to do, not converged) are values of the model, never exceptions.
"""

import enum
import re
from typing import ClassVar

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PENDING = 3
EXIT_NO_SOURCE_DIR = 64  # EX_USAGE in sysexits.h: the --source-repo argument names no directory
EXIT_SOURCE_REFUSED = 65  # EX_DATAERR: the directory is there, its layout is refused
EXIT_LOCKED = 75  # EX_TEMPFAIL: try again later

_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)


class Disposition(enum.Enum):
    """Who acts next."""

    RETRY = "retry"  # nothing was changed or what was changed is safe: the next run tries again
    REFUSE = "refuse"  # this revision is refused until a newer one arrives
    STOP = "stop"  # a person must act first


def redact(text: str) -> str:
    """Return the text with credentials inside URLs hidden, so that it may be stored or shown."""
    return _USERINFO.sub(r"\g<scheme>***@", text)


def printable(text: str) -> str:
    """Return the text with control characters escaped: a file name must not be able to drive a terminal."""
    if text.isprintable():  # nearly all is, and a large plan has megabytes of it
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class CoreOpsError(Exception):
    """What was being attempted and failed; `hint` is the next step, `code` a stable word, `details` one line per finding.

    `place` is the repository path that is at fault, where there is one.
    """

    disposition: ClassVar[Disposition] = Disposition.STOP
    word: ClassVar[str] = "Error"
    exit_status: ClassVar[int] = EXIT_FAILED

    def __init__(
        self, message: str, *, code: str, hint: str = "", details: tuple[str, ...] = (), place: str = ""
    ) -> None:
        super().__init__(redact(message))
        self.message = printable(redact(message))
        self.code = code
        self.place = printable(place)
        self.hint = printable(redact(hint))
        self.details = tuple(printable(redact(d)) for d in details)


class UsageError(CoreOpsError):
    """The command line or the environment contradicts itself."""

    word = "Usage"
    exit_status = EXIT_USAGE


class NotADirectoryGivenError(CoreOpsError):
    """`--source-repo` names something that is not a directory."""

    word = "Usage"
    exit_status = EXIT_NO_SOURCE_DIR


class SettingsError(CoreOpsError):
    """A file of the host's own configuration cannot be used."""

    word = "Settings"


class StateError(CoreOpsError):
    """The agent's own record is absent, unreadable or newer than this program."""

    word = "State"


class StateWriteError(StateError):
    """The record could not be written; what it said before still holds."""

    disposition = Disposition.RETRY


class LockedError(CoreOpsError):
    """Another run holds the lock."""

    disposition = Disposition.RETRY
    word = "Transient"
    exit_status = EXIT_LOCKED


class SourceError(CoreOpsError):
    """The repository cannot be reached or does not hold what was asked for; the host is unchanged."""

    disposition = Disposition.RETRY
    word = "Transient"


class RefusedRevisionError(CoreOpsError):
    """A revision is not authentic or breaks a limit; `code` is one of the documented refusal codes."""

    disposition = Disposition.REFUSE
    word = "Validation"


class SourceTreeError(CoreOpsError):
    """A source tree is refused; `details` holds every finding with its place."""

    disposition = Disposition.REFUSE
    word = "Validation"


class GivenTreeError(SourceTreeError):
    """The tree that `--source-repo` names is refused."""

    exit_status = EXIT_SOURCE_REFUSED


class HostError(CoreOpsError):
    """A change or a look at the host failed; what was done so far is safe to continue from."""

    disposition = Disposition.RETRY
    word = "Host"
