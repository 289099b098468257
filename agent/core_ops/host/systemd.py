"""systemd, through systemctl: one question for the state of all units, one request for all jobs of a kind.

`systemctl start a b c` queues all jobs and waits for all of them, so systemd's own ordering holds between them and each
job's result is named in its answer.
"""

import os
import re

from core_ops.errors import HostError
from core_ops.host import process
from core_ops.reconcile.model import UnitState

_PROPERTIES = (
    "Id",
    "Names",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "Type",
    "UnitFileState",
    "InvocationID",
    "NeedDaemonReload",
    "FragmentPath",
    "SourcePath",
    "NRestarts",
    "Job",
    "ConditionResult",
    "ConditionTimestampMonotonic",
)
_SHOW_TIMEOUT_S = 30.0
_JOB_TIMEOUT_S = 900.0  # a first start may pull an image; systemd's own TimeoutStartSec= ends a unit long before
_RELOAD_TIMEOUT_S = 180.0
DEPENDENCY = "a unit that it needs failed"  # "A dependency job for x.service failed": this one was never tried
_JOB_FAILED = re.compile(r"^Job for (\S+) (.+?)\.?$", re.MULTILINE)
_DEPENDENCY_FAILED = re.compile(r"^A dependency job for (\S+) failed", re.MULTILINE)
_START_LIMIT = "attempted too often"
_REFUSED = re.compile(r"^Failed to \S+ (\S+): (.+)$", re.MULTILINE)


def running() -> bool:
    """Return whether systemd is PID 1 here.

    Source:
        sd_booted(3).
    """
    return os.path.isdir("/run/systemd/system")


def observe(units: tuple[str, ...]) -> tuple[UnitState, ...]:
    """Return the state of each unit, in the given order; one that systemd does not know is `not-found`.

    Raises:
        HostError: systemctl is missing or does not answer.
    """
    if not units or not running():
        return tuple(UnitState(u) for u in units)
    argv = ("systemctl", "show", "--no-pager", f"--property={','.join(_PROPERTIES)}", "--", *units)
    done = process.run(argv, _SHOW_TIMEOUT_S)
    blocks = [_block(text) for text in done.stdout.split("\n\n") if text.strip()]
    if done.status != 0 or len(blocks) != len(units):
        raise HostError(
            f"ask systemd for the state of {len(units)} units: {done.stderr.strip() or 'unexpected answer'}",
            code="systemd-failed",
            hint="try `systemctl status`",
        )
    return tuple(_state(unit, block) for unit, block in zip(units, blocks, strict=True))


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
        enabled=p.get("UnitFileState", ""),
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
    if failures:
        return failures
    if verb == "stop" and len(units) == 1 and "not loaded" in done.stderr:
        return {}
    return {units[0]: done.stderr.strip().splitlines()[0] if done.stderr.strip() else f"exit status {done.status}"}


def enablement(verb: str, unit: str) -> str:
    """Enable (with links remade) or disable a unit; returns what systemd objected to, or nothing."""
    done = process.run(("systemctl", "--quiet", "--no-reload", verb, "--", unit), _SHOW_TIMEOUT_S)
    return "" if done.status == 0 else (done.stderr.strip() or f"exit status {done.status}")


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
