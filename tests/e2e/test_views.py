"""What is told of an apply on a real host: by systemd's own words, to a program and on a terminal."""

import json

import pytest

from core_ops_verify.guest.inside import Finished
from e2e.site import THREE, Site, container
from schemas import rows_of, stream

pytestmark = pytest.mark.e2e

HOST = "hosts/guest/host.yaml"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
FAILS = f"[Service]\nType=oneshot\nExecStart=/bin/sh -c \"echo no data''base here; exit 3\"\n{INSTALL}"
NEEDS = f"[Unit]\nRequires=fails.service\nAfter=fails.service\n[Service]\nExecStart=/bin/sleep 1000\n{INSTALL}"
CRASHES = f"[Service]\nExecStart=/bin/sh -c 'sleep 0.2; exit 1'\nRestart=always\nRestartSec=200ms\n{INSTALL}"
SLOW = f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 5\n{INSTALL}"


def with_bad(files: dict[str, str]) -> dict[str, str]:
    """Three containers, and units of a fourth service."""
    manifest = "host: guest\nservices: [net, one, two, three, bad]\n"
    return {**THREE, HOST: manifest, **{f"services/bad/{name}": text for name, text in files.items()}}


def on_terminal(site: Site, command: str, columns: int = 80) -> Finished:
    """Run a command on a pseudo terminal of the guest."""
    line = f"stty cols {columns} rows 24; export TERM=xterm; {command}"
    return site.guest.exec("script", "-qec", line, "/dev/null")


def test_a_result_tells_failed_blocked_and_succeeded_apart(site: Site) -> None:
    """A unit that fails, one that needs it, one that crashes a moment later and four that run each have their own end."""
    site.commit(with_bad({"fails.service": FAILS, "needs.service": NEEDS, "crashes.service": CRASHES}))
    site.init()

    done = site.core_ops("apply", "--json")

    assert done.status == 1, done.stderr
    *lines, last = stream(done.stdout)
    entries = {str(json.loads(json.dumps(e))["object"]["display_id"]): e for e in rows_of(last, "entries")}
    ends = {name: e["final_state"] for name, e in entries.items() if not name.startswith("config/")}
    assert ends == {
        **{f"container/{n}": "succeeded" for n in ("one", "two", "three")},
        "network/web": "succeeded",
        "service/fails": "failed",
        "service/crashes": "failed",
        "service/needs": "blocked",
    }
    (why,) = [c for c in rows_of(entries["service/needs"], "causes") if c["kind"] == "dependency_failure"]
    assert why["summary"] == "service/fails failed"
    assert last["outcome"] == "partially_applied"
    phases = {str(p["phase"]): p["state"] for line in lines for p in rows_of(line, "phases")}
    assert (phases["execution"], phases["convergence_check"]) == ("failed", "failed")
    assert "no database here" not in done.stdout


def test_a_failure_is_shown_with_the_next_commands(site: Site) -> None:
    """On a terminal a failure has systemd's words, the Quadlet file, the unit's last lines and commands that work."""
    site.commit(with_bad({"fails.service": FAILS, "gone.container": container("gone", more="Entrypoint=/nowhere")}))
    site.init()

    said = on_terminal(site, "core-ops apply", columns=120).stdout

    assert "✗ service/fails failed during Applying" in said
    assert "journal  no database here" in said
    assert "file     /etc/containers/systemd/gone.container" in said
    shown = next(line for line in said.splitlines() if "journalctl -u fails.service" in line)
    assert "no database here" in site.guest.check("sh", "-c", shown.strip())
    assert "Outcome: partially_applied" in said
    piped = site.core_ops("agent")
    assert "failed during Applying" in piped.stdout
    assert "no database here" not in piped.stdout


def test_a_terminal_shows_each_object_as_it_goes(site: Site) -> None:
    """Lines are redrawn in place, never as wide as the terminal until the end, and end as done."""
    site.commit(THREE)
    site.init()

    said = on_terminal(site, "core-ops apply", columns=60).stdout

    for words in ("waiting", "applying: write", "applying: start", "verifying"):
        assert words in said
    assert said.count("✓ create ") == 7
    assert "\x1b[7A" in said
    assert "\x1b[?" not in said


def test_an_interrupted_apply_says_where_it_stood_and_the_next_finishes(site: Site) -> None:
    """Ctrl-C in the midst of a start: what is under way is named, and all comes up all the same."""
    site.commit(with_bad({"slow.service": SLOW}))
    site.init()
    keys = (
        "(sleep 3; printf '\\003'; sleep 1) | script -qec 'stty cols 80 rows 24; TERM=xterm core-ops apply' /dev/null"
    )

    said = site.guest.exec("sh", "-c", keys).stdout

    assert "Interrupted while applying: " in said
    assert "service/slow" in said.partition("under way:")[2]
    assert "core-ops: interrupted" in said
    site.guest.wait_until("systemctl", "is-active", "slow.service", timeout_s=30)
    site.agent()
    assert site.core_ops("plan", "--exit-code").status == 0
