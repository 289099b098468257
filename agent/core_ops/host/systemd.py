"""systemd, through its own tools: one question for the states of all units, one request for all jobs of a kind.

A unit that is simply up, or not there, is known from one answer for all of them. Only the others, and those that are watched,
are asked about one by one, since each costs systemd more than a thousand of the first kind. `systemctl start a b c` queues all
jobs and waits for all of them, so systemd's own ordering holds between them and each job's result is named in its answer.
"""

import contextlib
import os
import re
from collections.abc import Generator, Iterator, Mapping
from typing import TypeVar

import msgspec

from core_ops.errors import HostError
from core_ops.host import process
from core_ops.reconcile.model import UnitState

_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "Type",
    "InvocationID",
    "NeedDaemonReload",
    "FragmentPath",
    "SourcePath",
    "NRestarts",
    "Job",
    "ConditionResult",
    "ConditionTimestampMonotonic",
)
_MANAGER = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_LINK_DIRECTORIES = (".wants", ".requires", ".upholds")
_SHOW_TIMEOUT_S = 60.0
_JOB_TIMEOUT_S = 900.0  # a first start may pull an image; systemd's own TimeoutStartSec= ends a unit long before
_RELOAD_TIMEOUT_S = 180.0
DEPENDENCY = "a unit that it needs failed"  # "A dependency job for x.service failed": this one was never tried
_JOB_FAILED = re.compile(r"^Job for (\S+) (.+?)\.?$", re.MULTILINE)
_DEPENDENCY_FAILED = re.compile(r"^A dependency job for (\S+) failed", re.MULTILINE)
_UNNAMED = "Job failed."  # systemctl's word for a mount, a socket or anything else that is no service
_GOING = ("active", "reloading", "activating", "deactivating")
_START_LIMIT = "attempted too often"
_REFUSED = re.compile(r"^Failed to \S+ (\S+): (.+)$", re.MULTILINE)


Answer = TypeVar("Answer")


def running() -> bool:
    """Return whether systemd is PID 1 here.

    Source:
        sd_booted(3).
    """
    return os.path.isdir("/run/systemd/system")


def observe(units: tuple[str, ...], closely: frozenset[str], directories: tuple[str, ...]) -> tuple[UnitState, ...]:
    """Return the state of each unit, in the given order; one that systemd does not know is `not-found`.

    Args:
        units: their names.
        closely: those of which everything is to be known, also while they are simply up.
        directories: where unit files are, the one for native units first.

    Raises:
        HostError: systemd's tools are missing or do not answer, or a directory can't be read.
    """
    if not units or not running():
        return tuple(UnitState(u) for u in units)
    listed = _listed(units)
    outdated = _changed_since(_last_read_us(), directories)
    asked = tuple(u for u, s in listed.items() if outdated or u in closely or not _plain(s))
    known = {**listed, **_shown(asked)}
    linked = _linked(directories[0])
    return tuple(_with_enablement(known[u], linked=u in linked) for u in units)


def _plain(state: UnitState) -> bool:
    """Whether there is nothing more to know of a unit: it is up, or there is no such unit, and nothing is queued."""
    return not state.has_job and (state.load, state.active) in {("loaded", "active"), ("not-found", "inactive")}


def _with_enablement(state: UnitState, *, linked: bool) -> UnitState:
    return msgspec.structs.replace(state, enabled="enabled" if linked else "")


# org.freedesktop.systemd1(5): name, description, load, active and sub state, followed unit, path, job, its type and path.
_Row = tuple[str, str, str, str, str, str, str, int, str, str]


class _Listing(msgspec.Struct):
    """The answer to ListUnitsByNames()."""

    data: tuple[list[_Row]]


class _Timestamp(msgspec.Struct):
    """The value of a property that is a time, in microseconds."""

    data: int


def _listed(units: tuple[str, ...]) -> dict[str, UnitState]:
    """Return what one answer says of all units."""
    what = f"the state of {len(units)} units"
    listing = _asked(what, _Listing, "call", *_MANAGER, "ListUnitsByNames", "as", str(len(units)), *units)
    rows = listing.data[0]
    if len(rows) != len(units):
        raise _unanswered(what, "unexpected answer")
    return {
        unit: UnitState(unit, load=row[2], active=row[3], sub=row[4], has_job=bool(row[7]))
        for unit, row in zip(units, rows, strict=True)
    }


def _last_read_us() -> int:
    """Return when systemd read all units last, in microseconds since 1970."""
    return _asked("the time of its last reload", _Timestamp, "get-property", *_MANAGER, "UnitsLoadTimestamp").data


def _asked(what: str, answer: type[Answer], *arguments: str) -> Answer:
    done = process.run(("busctl", "--json=short", *arguments), _SHOW_TIMEOUT_S)
    if done.status != 0:
        raise _unanswered(what, done.stderr.strip() or f"exit status {done.status}")
    try:
        return msgspec.json.decode(done.stdout, type=answer)
    except msgspec.DecodeError as error:
        raise _unanswered(what, f"unexpected answer ({error})") from error


def _unanswered(what: str, said: str) -> HostError:
    return HostError(f"ask systemd for {what}: {said}", code="systemd-failed", hint="try `systemctl status`")


def _changed_since(read_us: int, directories: tuple[str, ...]) -> bool:
    """Whether anything in the unit directories changed after systemd read it, so that NeedDaemonReload= has to be asked for."""
    return any(changed_ns // 1000 >= read_us for d in directories for changed_ns in _changes_ns(d))


def _changes_ns(directory: str) -> Iterator[int]:
    for entry in _entries(directory):
        with _reading(directory):
            yield entry.stat(follow_symlinks=False).st_ctime_ns
            if entry.name.endswith(".d") and entry.is_dir(follow_symlinks=False):
                yield from _changes_ns(entry.path)
    with _reading(directory):
        yield os.stat(directory).st_ctime_ns


def _linked(directory: str) -> frozenset[str]:
    """Return the names of the units that links of `systemctl enable` start: what systemd calls enabled."""
    found: set[str] = set()
    for entry in _entries(directory):
        with _reading(directory):
            if entry.name.endswith(_LINK_DIRECTORIES) and entry.is_dir(follow_symlinks=False):
                found.update(link.name for link in _entries(entry.path))
    return frozenset(found)


def _entries(directory: str) -> "list[os.DirEntry[str]]":
    found: list[os.DirEntry[str]] = []
    with _reading(directory), os.scandir(directory) as entries:
        found += entries
    return found


@contextlib.contextmanager
def _reading(directory: str) -> Generator[None]:
    """Pass over what is not there, or was taken away since its directory was read; anything else is an error."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        raise HostError(
            f"read {directory}: {error.strerror}",
            code="read-failed",
            hint="see whether it is a readable directory; run as root",
        ) from error


def _shown(units: tuple[str, ...]) -> Mapping[str, UnitState]:
    """Return everything systemd says of each unit."""
    if not units:
        return {}
    argv = ("systemctl", "show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", *units)
    done = process.run(argv, _SHOW_TIMEOUT_S)
    blocks = [_block(text) for text in done.stdout.split("\n\n") if text.strip()]
    if done.status != 0 or len(blocks) != len(units):
        raise _unanswered(f"the state of {len(units)} units", done.stderr.strip() or "unexpected answer")
    return {unit: _state(unit, block) for unit, block in zip(units, blocks, strict=True)}


def _block(text: str) -> dict[str, str]:
    return {key: value for line in text.splitlines() for key, _, value in (line.partition("="),)}


def _state(unit: str, p: dict[str, str]) -> UnitState:
    tried = p.get("ConditionTimestampMonotonic", "0") not in {"", "0"}
    return UnitState(
        unit=unit,
        load=p.get("LoadState", "not-found"),
        active=p.get("ActiveState", "inactive"),
        sub=p.get("SubState", "dead"),
        result=p.get("Result") or "success",
        type=p.get("Type", ""),
        invocation_id=p.get("InvocationID", ""),
        needs_reload=p.get("NeedDaemonReload") == "yes",
        fragment_path=p.get("FragmentPath", ""),
        source_path=p.get("SourcePath", ""),
        restarts=int(p.get("NRestarts") or 0),
        has_job=bool(p.get("Job")),
        condition_met=not (tried and p.get("ConditionResult") == "no"),
    )


def job(verb: str, units: tuple[str, ...]) -> dict[str, str]:
    """Queue one job per unit, wait for all, and return the units whose job did not succeed with systemd's words.

    A unit that was started often lately is refused another start (five in ten seconds, systemd.unit(5), StartLimitBurst=).
    That guards against crash loops; a start that a plan asks for must not fail for the ones before it, so it is asked for
    once more with the count reset.

    Raises:
        HostError: systemctl is missing or does not answer.
    """
    failures = _job(verb, units)
    limited = tuple(u for u, said in failures.items() if _START_LIMIT in said)
    if not limited:
        return failures
    process.run(("systemctl", "reset-failed", "--", *limited), _SHOW_TIMEOUT_S)
    return _job(verb, tuple(u for u in units if u in failures))  # with those that failed only as dependents


def _job(verb: str, units: tuple[str, ...]) -> dict[str, str]:
    done = process.run(("systemctl", verb, "--", *units), _JOB_TIMEOUT_S)
    if done.status == 0 or verb == "reset-failed":  # a unit that is no longer loaded needs no reset
        return {}
    said = dict.fromkeys(_DEPENDENCY_FAILED.findall(done.stderr), DEPENDENCY)
    said |= dict(_JOB_FAILED.findall(done.stderr)) | dict(_REFUSED.findall(done.stderr))
    failures = {u: said[u] for u in units if u in said}
    if _UNNAMED in done.stderr:
        failures |= _unnamed(verb, tuple(u for u in units if u not in failures and not u.endswith(".service")))
    if failures:
        return {u: failures[u] for u in units if u in failures}
    if verb == "stop" and len(units) == 1 and "not loaded" in done.stderr:
        return {}
    return {units[0]: done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit status {done.status}"}


def _unnamed(verb: str, units: tuple[str, ...]) -> dict[str, str]:
    """Return the units that are not as the job would have left them, with systemd's word for the result."""

    def bad(state: UnitState) -> bool:
        up = state.active in _GOING
        return up if verb == "stop" else not up or state.result != "success"

    return {s.unit: f"failed ({s.result})" for s in _shown(units).values() if bad(s)}


def enablement(verb: str, units: tuple[str, ...]) -> dict[str, str]:
    """Enable (with links remade) or disable units; returns those of which systemd objected, with its words.

    All are asked for in one call, as each call looks at every unit file of the host; when it fails, one by one, to know whose
    fault it was.
    """
    done = process.run(("systemctl", "--quiet", "--no-reload", verb, "--", *units), _JOB_TIMEOUT_S)
    if done.status == 0:
        return {}
    if len(units) == 1:
        return {units[0]: done.stderr.strip() or f"exit status {done.status}"}
    return {u: said for unit in units for u, said in enablement(verb, (unit,)).items()}


def reload() -> None:
    """Have systemd read all units again and run the generators.

    Raises:
        HostError: it refuses or does not answer.
    """
    done = process.run(("systemctl", "daemon-reload"), _RELOAD_TIMEOUT_S)
    if done.status != 0:
        raise HostError(
            f"reload systemd: {done.stderr.strip()}", code="reload-failed", hint="see `journalctl -b -u init.scope`"
        )
