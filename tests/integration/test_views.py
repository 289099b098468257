"""What a script or a person gets from `apply` and `plan`: through the program, on a directory of config files."""

import contextlib
import json
import os
import pty
import random
import subprocess
import sys
from pathlib import Path

import pytest

from core_ops.host.store import Store, scope
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.model import Directories, LastApplied
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import WriteFile
from core_ops.reconcile.record import Record
from fakes import FakeHost
from schemas import rows_of, stream, valid
from trees import rendered

MANY = 40


def tree(top: Path, files: dict[str, str]) -> Path:
    """Write a source tree whose only host selects `web`."""
    manifest = {"hosts/h1/host.yaml": "host: h1\nservices: [web]\n"}
    for name, text in {**manifest, **files}.items():
        path = top / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return top / "tree"


def command(verb: str, home: Path, *flags: str) -> list[str]:
    """The program's command line, kept inside a directory."""
    return [
        *(sys.executable, "-m", "core_ops", verb, "--source-repo", f"{home}/tree", "--host", "h1", *flags),
        *("--quadlet-dir", f"{home}/etc/containers/systemd", "--systemd-unit-dir", f"{home}/etc/systemd/system"),
        *("--config-dir", f"{home}/etc", "--state-file", f"{home}/state/status.json", "--lock-path", f"{home}/lock"),
    ]


def environment(**more: str) -> dict[str, str]:
    """A clean environment."""
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **more}


def core_ops(verb: str, home: Path, *flags: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the program to its end."""
    done = subprocess.run(
        command(verb, home, *flags), env=environment(**more), cwd=home, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def configs(count: int, text: str = "x\n") -> dict[str, str]:
    """So many config files."""
    return {f"services/web/config/{number:03d}.conf": text for number in range(count)}


def test_an_apply_is_a_stream_that_ends_with_its_result(tmp_path: Path) -> None:
    """Each line is valid and says what is new; the phases come in order; the last line is the result."""
    tree(tmp_path, configs(3))
    done = core_ops("apply", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = stream(done.stdout)
    assert {line["view_kind"] for line in lines} == {"apply"}
    states = [(p["phase"], p["state"]) for line in lines for p in rows_of(line, "phases")]
    phases = ["resolution", "graph_construction", "planning", "execution", "convergence_check", "final_summary"]
    assert states == [(phase, state) for phase in phases for state in ("started", "succeeded")]
    kinds = [e["event_kind"] for line in lines for e in rows_of(line, "events")]
    assert kinds == ["planned"] * 3 + ["write"] * 6 + ["verify"] * 3 + ["finish"] * 3
    assert last["view_kind"] == "result"
    assert last["outcome"] == "converged"
    assert lines[-1]["summary"] == {
        **{f"{word}_count": 0 for word in ("failed", "blocked", "skipped", "unchanged", "pending")},
        "changed_count": 3,
        "total_count": 3,
    }


def test_a_run_with_nothing_to_do_is_a_short_stream(tmp_path: Path) -> None:
    """Nothing is executed or verified, and the result says that everything is as it should be."""
    tree(tmp_path, configs(3))
    core_ops("apply", tmp_path)
    *lines, last = stream(core_ops("apply", tmp_path, "--json").stdout)
    states = {str(p["phase"]): p["state"] for line in lines for p in rows_of(line, "phases")}
    assert (states["execution"], states["convergence_check"]) == ("skipped", "skipped")
    assert not [e for line in lines for e in rows_of(line, "events")]
    assert {e["final_state"] for e in rows_of(last, "entries")} == {"no_op"}


def test_a_blocked_run_says_what_is_in_the_way(tmp_path: Path) -> None:
    """The object in the way is blocked, the others are skipped and name it; the error stands on standard error."""
    tree(tmp_path, configs(2))
    (tmp_path / "etc/web").mkdir(parents=True)
    (tmp_path / "etc/web/000.conf").write_text("somebody's\n")
    done = core_ops("apply", tmp_path, "--json")
    assert done.returncode == 1
    assert "(blocked)" in done.stderr
    *_, last = stream(done.stdout)
    ends = {str(e["object"]): e for e in rows_of(last, "entries")}
    assert [e["final_state"] for e in ends.values()] == ["blocked", "skipped"]
    _, other = ends.values()
    assert [d["relation"] for d in rows_of(other, "dependencies")] == ["blocker"]
    assert (tmp_path / "etc/web/000.conf").read_text() == "somebody's\n"
    assert last["outcome"] == "failed"


def test_a_run_that_can_not_even_begin_has_a_result(tmp_path: Path) -> None:
    """Where a directory should go stands a file: nothing was changed, every object is skipped, and the message says why."""
    tree(tmp_path, {"services/web/config/a/x.conf": "x\n", "services/web/config/b.conf": "x\n"})
    (tmp_path / "etc/web").mkdir(parents=True)
    (tmp_path / "etc/web/a").write_text("a file\n")
    done = core_ops("apply", tmp_path, "--json")
    assert done.returncode == 1
    *lines, last = stream(done.stdout)
    states = {str(p["phase"]): p["state"] for line in lines for p in rows_of(line, "phases")}
    assert (states["execution"], states["convergence_check"]) == ("failed", "skipped")
    assert last["outcome"] == "failed"
    assert [e["final_state"] for e in rows_of(last, "entries")] == ["skipped", "skipped"]
    assert not (tmp_path / "etc/web/b.conf").exists()


def test_a_source_that_is_refused_ends_the_stream_without_a_result(tmp_path: Path) -> None:
    """There is no plan, so there is no result: the last line says that the resolution failed."""
    tree(tmp_path, {"services/web/nonsense": "x\n"})
    done = core_ops("apply", tmp_path, "--json")
    assert done.returncode == 65
    assert [rows_of(line, "phases")[0]["state"] for line in stream(done.stdout)] == ["started", "failed"]


def test_a_reader_that_leaves_does_not_stop_an_apply(tmp_path: Path) -> None:
    """Whoever reads one line of the stream and goes away gets all files written all the same."""
    tree(tmp_path, configs(MANY))
    with subprocess.Popen(
        command("apply", tmp_path, "--json"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        valid(process.stdout.readline())
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
    assert len(list((tmp_path / "etc/web").iterdir())) == MANY
    assert core_ops("plan", tmp_path, "--exit-code").returncode == 0


CONTAINER = """\
[Container]
Image=x:{image}
Volume=%E/web:/c
Network=n.network
[Install]
WantedBy=x
"""
SERVICE = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=x\n"
BEFORE = {
    **configs(8),
    **{f"services/web/{name}.service": SERVICE for name in ("edited", "left", "gone")},
    "services/web/web.container": CONTAINER.format(image=1),
    "services/web/web.container.d/x.conf": "[Unit]\nConditionPathExists=/a\n",
    "services/web/n.network": "[Network]\n",
    "services/web/near.container": CONTAINER.format(image=1),
    "services/web/t.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
    "services/web/t.service": "[Service]\nExecStart=/bin/true\n",
}
AFTER = {
    **{name: text for name, text in BEFORE.items() if name not in {"services/web/gone.service", *configs(2)}},
    "services/web/web.container": CONTAINER.format(image=2),
    "services/web/web.container.d/x.conf": "[Unit]\nConditionPathExists=/b\n",
    "services/web/web.container.d/y.conf": "[Unit]\nConditionPathExists=/c\n",
    "services/web/n.network": "[Network]\nLabel=v=2\n",
    "services/web/config/004.conf": "y\n",
    "services/web/config/new.conf": "new\n",
}


CHANGED = {
    "container/web": "update",
    "dropin/web.container.d/10-base-x.conf": "update",
    "dropin/web.container.d/10-base-y.conf": "create",
    "network/n": "replace",
    "config/etc/web/000.conf": "delete",
    "config/etc/web/004.conf": "update",
    "config/etc/web/006.conf": "update",
    "config/etc/web/007.conf": "create",
    "config/etc/web/new.conf": "create",
    "service/gone": "delete",
    "service/edited": "update",
}


def lived_in(home: Path, before: dict[str, str], dice: random.Random) -> None:
    """Make a directory a host on which a tree was applied, with its record, and three files that a hand changed since."""
    here = Directories(f"{home}/etc/containers/systemd", f"{home}/etc/systemd/system", f"{home}/etc")
    desired = rendered(before, directories=here)
    planned = plan(desired, LastApplied(), FakeHost(here).observe(subjects(desired, LastApplied())))
    written = [e for e in planned.effects if isinstance(e, WriteFile)]
    dice.shuffle(written)
    for effect in written:
        path = Path(effect.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(effect.content)
        path.chmod(effect.mode)
    (home / "etc/web/006.conf").chmod(0o600)
    (home / "etc/web/007.conf").unlink()
    (home / "etc/systemd/system/edited.service").write_text("[Service]\nExecStart=/bin/false\n")
    record = Record(last=LastApplied(desired, planned.owned_after, planned.started_after))
    Store(home / "state/stateless/status.json", scope("h1")).save(record)


def test_twelve_replays_of_a_plan_are_the_same_bytes(tmp_path: Path) -> None:
    """Neither the order in which tree and host were written nor the seed of hashes shows in a plan, whatever is in it."""
    printed: set[str] = set()
    for seed in range(12):
        home, dice = tmp_path / str(seed), random.Random(seed)  # noqa: S311 - the same orders every time
        lived_in(home, BEFORE, dice)
        names = list(AFTER)
        dice.shuffle(names)
        tree(home, {name: AFTER[name] for name in names})
        done = core_ops("plan", home, "--json", "--exit-code", PYTHONHASHSEED=str(seed))
        assert done.returncode == 3, done.stderr
        valid(done.stdout)
        printed.add(done.stdout.replace(str(home), ""))
    assert len(printed) == 1
    actions = {e["object"]["display_id"]: e["action"] for e in json.loads(printed.pop())["entries"]}
    assert {name: actions[name] for name in CHANGED} == CHANGED


def on_a_terminal(home: Path, **more: str) -> str:
    """What an apply writes to a pseudo terminal."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        command("apply", home), env=environment(**more), stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        found = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(master, 65536):
                found += piece
        assert process.wait() == 0, found
    os.close(master)
    return found.decode()


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({"TERM": "xterm"}, {"redrawn", "coloured"}),
        ({"TERM": "xterm", "NO_COLOR": "1"}, {"redrawn"}),
        ({"TERM": "dumb"}, set[str]()),
        ({}, set[str]()),
    ],
)
def test_a_terminal_gets_what_it_can_show(tmp_path: Path, more: dict[str, str], shown: set[str]) -> None:
    """Redrawing needs a terminal that knows how, colour also that nobody objects; the words are the same everywhere."""
    tree(tmp_path, configs(3))
    said = on_a_terminal(tmp_path, **more)
    assert ("\x1b[3A" in said) == ("redrawn" in shown)
    assert ("\x1b[32m" in said) == ("coloured" in shown)
    assert ("✓ create   config" in said) == ("redrawn" in shown)
    assert "Outcome: converged" in said


def test_elsewhere_progress_is_plain_lines(tmp_path: Path) -> None:
    """A pipe or a file gets a line per change, and no escape code whatever TERM says."""
    tree(tmp_path, configs(2))
    said = core_ops("apply", tmp_path, TERM="xterm").stdout
    assert "\x1b" not in said
    assert said.count("  ✓ create ") == 2
    assert said.endswith("\nSummary: 2 changed\nOutcome: converged\n")
