"""What scripts and people are shown, compared byte by byte with `fixtures/golden`.

Run this file by itself to write the expected files anew, and read the difference before committing it.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from core_ops.reconcile.check import Checked, check
from core_ops.reconcile.checkview import check_lines, check_view
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.events import RunFinished
from core_ops.reconcile.explain import Explained, explain
from core_ops.reconcile.explainview import ExplainView, explain_lines, explain_view
from core_ops.reconcile.graph import build
from core_ops.reconcile.guide import guide
from core_ops.reconcile.model import Anchor, Desired, LastApplied, Obj, TreeFile
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Failure, Plan, Result
from core_ops.reconcile.record import DesiredState, Reconciliation, Record, Refusal, Status, lifecycle, notices
from core_ops.reconcile.resultview import result_view
from core_ops.reconcile.resultwords import result_lines
from core_ops.reconcile.sarif import sarif
from core_ops.reconcile.words import plan_lines, status_lines
from fakes import FakeHost
from scenes import Scene, Unwilling, of
from schemas import stream, valid

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
WEB = {
    "services/web/web.container": f"[Container]\nImage=web:1\nNetwork=n.network\nVolume=%E/web/site:/srv:ro\n{INSTALL}",
    "services/web/n.network": "[Network]\n",
    "services/web/config/site/index.html": "<p>one</p>\n",
    "services/tick/tick.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "services/tick/tick.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
}


def _settled(desired: Desired) -> tuple[FakeHost, LastApplied]:
    host = FakeHost()
    planned = plan(desired, LastApplied(), host.observe(subjects(desired, LastApplied())))
    for effect in planned.effects:
        host.carry_out((effect,))
    return host, LastApplied(desired, planned.owned_after, planned.started_after, volumes=planned.volumes)


def _first_run() -> Plan:
    desired = of("1", WEB)
    return plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))


def _transition() -> Plan:
    host, last = _settled(of("1", WEB))
    changed = {
        **{p: t for p, t in WEB.items() if not p.startswith("services/tick/")},
        "services/web/config/site/index.html": "<p>two</p>\n",
        "services/web/web.container.d/env.conf": "[Container]\nEnvironment=A=b\n",
    }
    desired = of("2", changed)
    return plan(desired, last, host.observe(subjects(desired, last)))


def _drift() -> Plan:
    desired = of("1", WEB)
    host, last = _settled(desired)
    host.edit("/etc/containers/systemd/web.container", WEB["services/web/web.container"].replace(":1", ":9").encode())
    host.edit("/etc/web/site/index.html", None)
    host.running.pop("tick.timer")
    return plan(desired, last, host.observe(subjects(desired, last)))


def _blocked() -> Plan:
    desired = of("1", WEB)
    host = FakeHost()
    host.edit("/etc/web/site/index.html", b"somebody's own page\n")
    return plan(desired, LastApplied(), host.observe(subjects(desired, LastApplied())))


def _in_sync() -> Plan:
    desired = of("1", WEB)
    host, last = _settled(desired)
    return plan(desired, last, host.observe(subjects(desired, last)))


def _odd_files() -> Plan:
    """Only the mode differs, no text, one line that is longer than anybody reads, no line feed at the end."""
    files = {
        **WEB,
        "services/web/config/logo": "new\0",
        "services/web/config/min.js": f"{'y' * 300}\n",
        "services/web/config/end": "x",
    }
    desired = of("2", files)
    host, last = _settled(desired)
    path = "/etc/web/site/index.html"
    host.files[path] = (host.files[path][0], 0o600)
    host.edit("/etc/web/logo", b"old\0")
    host.edit("/etc/web/min.js", b"x" * 300 + b"\n")
    host.edit("/etc/web/end", b"-- x\nx\r\n")
    return plan(desired, last, host.observe(subjects(desired, last)))


def _left_alone() -> Plan:
    """A one-shot is in the midst of a job while its definition changes."""
    host, last = _settled(of("1", WEB))
    desired = of("2", {**WEB, "services/tick/tick.service": "[Service]\nType=oneshot\nExecStart=/bin/false\n"})
    seen = host.observe(subjects(desired, last))
    units = tuple(
        msgspec.structs.replace(u, active="activating") if u.unit == "tick.service" else u for u in seen.units
    )
    files = tuple(
        msgspec.structs.replace(f, content=b"[Service]\nType=oneshot\nExecStart=/bin/false\n")
        if f.path.endswith("tick.service")
        else f
        for f in seen.files
    )
    return plan(desired, last, msgspec.structs.replace(seen, files=files, units=units))


KINDS = {
    "services/s/net.network": "[Network]\n",
    "services/s/data.volume": "[Volume]\n",
    "services/s/db.container": f"[Container]\nImage=db:1\nNetwork=net.network\nVolume=data.volume:/d\n{INSTALL}",
    "services/s/api.service": f"[Service]\nExecStart=/bin/api -c /etc/s/api.conf\nExecReload=/bin/kill -HUP 1\n{INSTALL}",
    "services/s/config/api.conf": "a = 1\n",
    "services/s/quiet.service": f"[Service]\nExecStart=/bin/quiet\n{INSTALL}",
    "services/s/calm.service": f"[Service]\nExecStart=/bin/calm\n{INSTALL}",
    "services/s/gone.service": f"[Service]\nExecStart=/bin/gone\n{INSTALL}",
}
CHANGED = {
    "services/s/net.network": "[Network]\nSubnet=10.9.0.0/24\n",
    "services/s/data.volume": "[Volume]\nDevice=/dev/sdz\n",
    "services/s/config/api.conf": "a = 2\n",
    "services/s/quiet.service": f"# a comment\n{KINDS['services/s/quiet.service']}",
    "services/s/calm.service": f"[Unit]\nDescription=Calm\n{KINDS['services/s/calm.service']}",
    "services/s/new.service": f"[Service]\nExecStart=/bin/new\n{INSTALL}",
}


def _every_impact() -> Plan:
    """A network, a volume, a reload, a start, a stop, a comment, and a setting that systemd takes in."""
    host, last = _settled(of("1", KINDS))
    desired = of("2", {p: t for p, t in {**KINDS, **CHANGED}.items() if "gone" not in p})
    return plan(desired, last, host.observe(subjects(desired, last)))


PLANS: dict[str, Callable[[], Plan]] = {
    "plan-first-run": _first_run,
    "plan-transition": _transition,
    "plan-drift": _drift,
    "plan-blocked": _blocked,
    "plan-in-sync": _in_sync,
    "plan-odd-files": _odd_files,
    "plan-left-alone": _left_alone,
    "plan-every-impact": _every_impact,
}


def _result() -> Result:
    failure = Failure(
        Obj("container", "web"), "web.service", "verifying", "web.service is failed (failed), result exit-code"
    )
    return Result(_transition(), "partially_applied", (failure,), started_at="2026-01-02T03:04:05Z")


def _ran() -> dict[str, Scene]:
    """Runs of every kind: each leaves a stream and a result."""
    first, failing, stuck, full, blocked, again = (
        Scene(),
        Scene(),
        Scene(Unwilling(path="/etc/web/site/index.html")),
        Scene(),
        Scene(),
        Scene(),
    )
    first.converge(of("1", WEB))
    failing.host.refuses_to_start = {"n-network.service"}
    failing.converge(of("1", WEB))
    stuck.converge(of("1", WEB))
    full.host.full = True
    full.converge(of("1", WEB))
    blocked.host.edit("/etc/web/site/index.html", b"somebody's own page\n")
    blocked.converge(of("1", WEB))
    again.converge(of("1", WEB))
    again.converge(of("1", WEB))
    return {
        "first-run": first,
        "network-fails": failing,
        "file-fails": stuck,
        "disk-full": full,
        "blocked": blocked,
        "nothing-to-do": again,
    }


def _finished(scene: Scene) -> Result:
    last = scene.recorder.events[-1]
    assert isinstance(last, RunFinished)
    assert last.result is not None
    return last.result


def _status() -> list[str]:
    run = Reconciliation(
        generation=7,
        status="success",
        last_attempted_revision="1" * 40,
        last_applied_revision="1" * 40,
        last_finished_at="2026-01-02T03:04:05Z",
        refused=Refusal(
            "2" * 40, "unsigned", "authenticate 222222222222: it carries no signature", "2026-01-02T03:09:05Z"
        ),
    )
    tracked = DesiredState("https://git.example.com/hosts.git", "main", "2" * 40, "2026-01-02T03:09:05Z")
    status = Status(desired_state=tracked, reconciliation=run)
    anchor = Anchor("1" * 40, "3" * 40, "4" * 64, "alice", "SHA256:abc", 1_750_000_000)
    record = Record(status, anchor, LastApplied(of("1", WEB)))
    return list(
        status_lines(
            record,
            lifecycle(status, busy=False),
            "keys in /etc/core-ops/allowed_signers, starting from first use",
            notices(record, busy=False),
        )
    )


def _checked() -> Checked:
    files = {
        "hosts/h1/host.yaml": "host: h1\nservices: [web, tick]\n",
        "hosts/h2/host.yaml": "host: h2\nservices: [bad]\n",
        "hosts/h3/host.yaml": "host: h3\nservices: [bad, nobody]\n",
        "services/bad/bad.container": "[Container]\nImage=x:1\nNetwork=no.network\n",
        "services/idle/idle.service": "[Unit]\n",
        **WEB,
    }
    return check(TreeFile(path, text.encode()) for path, text in files.items())


def _explained() -> ExplainView:
    dropin = "[Container]\nImage=web:2\nVolume=\nVolume=%E/web/site:/www:ro\n"
    desired = of("1", {**WEB, "hosts/h1/overrides/web.container.d/image.conf": dropin})
    found = explain(desired, build(desired), "web.service")
    assert isinstance(found, Explained)
    return explain_view(found, "h1", desired.source)


def _explained_on_its_host() -> ExplainView:
    """What the next run would do stands beside what the repository says."""
    planned = _drift()
    desired = of("1", WEB)
    found = explain(desired, build(desired), "container/web")
    assert isinstance(found, Explained)
    entry = next(e for e in planned.entries if e.object == found.item.object)
    return explain_view(found, "h1", desired.source, entry)


def _shown() -> dict[str, str]:
    """Every golden file by name."""
    shown: dict[str, str] = {}
    for name, make in PLANS.items():
        view = plan_view(make())
        shown[f"{name}.json"] = msgspec.json.format(msgspec.json.encode(view), indent=1).decode()
        shown[f"{name}.txt"] = "\n".join(plan_lines(view))
    shown["plan-recovering.txt"] = "\n".join(plan_lines(plan_view(_first_run(), attempted=True), full=True))
    for name, scene in _ran().items():
        done = result_view(_finished(scene))
        lines = [msgspec.json.encode(view).decode() for view in (*scene.lines(), done)]
        shown[f"apply-{name}.jsonl"] = "\n".join(lines)
        shown[f"apply-{name}.txt"] = "\n".join(result_lines(done))
    done = result_view(_result())
    shown["result-failure.json"] = msgspec.json.format(msgspec.json.encode(done), indent=1).decode()
    shown["result-failure.txt"] = "\n".join(result_lines(done, {"web.service": ("web: no such file: /srv", "x" * 300)}))
    checked, explained = check_view(_checked()), _explained()
    shown["check.json"] = msgspec.json.format(msgspec.json.encode(checked), indent=1).decode()
    shown["check.txt"] = "\n".join(check_lines(checked))
    shown["check.sarif"] = msgspec.json.format(sarif(_checked(), "0"), indent=1).decode()
    shown["explain.json"] = msgspec.json.format(msgspec.json.encode(explained), indent=1).decode()
    shown["explain.txt"] = "\n".join(explain_lines(explained))
    there = _explained_on_its_host()
    shown["explain-drift.json"] = msgspec.json.format(msgspec.json.encode(there), indent=1).decode()
    shown["explain-drift.txt"] = "\n".join(explain_lines(there))
    shown["skill.md"] = guide().removesuffix("\n")
    shown["status-refused.txt"] = "\n".join(_status())
    return {name: f"{text}\n" for name, text in shown.items()}


@pytest.mark.parametrize("name", sorted(_shown()))
def test_what_is_shown_stays_as_it_was(name: str) -> None:
    """A change of words or JSON is a decision, not an accident."""
    assert _shown()[name] == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", sorted(n for n in _shown() if n.endswith((".json", ".jsonl"))))
def test_what_is_shown_keeps_to_its_schema(name: str) -> None:
    """Every expected view and every line of an expected stream is what its schema says; the last line is the result."""
    text = (GOLDEN / name).read_text()
    if name.endswith(".jsonl"):
        kinds = [view["view_kind"] for view in stream(text)]
        assert kinds == ["apply"] * (len(kinds) - 1) + ["result"]
    else:
        assert valid(text)["view_kind"] == name.partition("-")[0].removesuffix(".json")


def test_no_golden_file_is_left_over() -> None:
    """Each expected file is still produced."""
    assert {p.name for p in GOLDEN.iterdir()} == set(_shown())


def main() -> None:
    """Write the expected files anew."""
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name, text in _shown().items():
        (GOLDEN / name).write_text(text)


if __name__ == "__main__":
    main()
