"""What a run leaves in the audit directory."""

import json

from core_ops.errors import SourceError
from core_ops.reconcile.audit import SIZE_LIMIT_BYTES, Call, audited, file_name
from core_ops.reconcile.model import LastApplied, Observed
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Failure, Plan, Result
from core_ops.reconcile.record import Controller
from trees import rendered

CALL = Call("apply", "h1", "2026-01-02T03:04:05Z", "2026-01-02T03:04:09Z", 12, Controller("0.1.0"))


def planned(services: int = 1) -> Plan:
    """A first run of services whose config files hold a secret."""
    files = {f"services/s{n}/s{n}.container": "[Container]\nImage=x\n" for n in range(services)}
    files |= {f"services/s{n}/config/{'long' * 20}": "password=hunter2\n" for n in range(services)}
    return plan(rendered(files), LastApplied(), Observed((), ()))


def test_a_record_names_what_was_done_and_never_a_content() -> None:
    """Objects, actions, causes and failures; no diff and no file."""
    made = planned()
    failure = Failure(made.entries[-1].object, "s0.service", "verifying", "it is failed")
    content = audited(CALL, Result(made, "partially_applied", (failure,)), None)
    found = json.loads(content)
    assert found["outcome"] == "partially_applied"
    assert found["call"]["generation"] == 12
    assert {e["action"] for e in found["entries"]} == {"create"}
    assert [e["failure"] for e in found["entries"] if e["failure"]] == ["verifying: it is failed"]
    assert b"hunter2" not in content


def test_a_record_of_a_huge_run_is_cut_and_says_so() -> None:
    """The limit holds, and nobody takes the rest for unchanged."""
    made = planned(2000)
    content = audited(CALL, made, None)
    found = json.loads(content)
    assert len(content) <= SIZE_LIMIT_BYTES
    assert len(found["entries"]) + found["entries_left_out"] == 4000
    assert found["entries_left_out"] > 0


def test_a_run_that_ended_early_says_why() -> None:
    """The error's code and words, with credentials hidden."""
    error = SourceError("fetch https://u:secret@h/r: no answer", code="fetch-failed", hint="x")
    content = audited(CALL, None, error)
    assert json.loads(content)["error"]["code"] == "fetch-failed"
    assert b"secret" not in content
    assert json.loads(audited(CALL, None, None))["outcome"] == "nothing_done"


def test_names_sort_by_time_and_attempt() -> None:
    """A directory listing is a history, and two runs of one second have two names."""
    assert file_name(CALL, 0) == "20260102T030405Z-000012-apply.json"
    assert file_name(CALL, 1) == "20260102T030405Z-000012-apply-1.json"
