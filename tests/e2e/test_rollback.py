"""A host's life on real systemd: ways back and forward again, attempts that end, runs that only write."""

import json

import pytest

from e2e.site import THREE, Site, container

pytestmark = pytest.mark.e2e

STOOD_STILL = "843112aae37f434c823c4f52ad3d7b6c"


def journal(site: Site, key: str, value: str) -> list[dict[str, str]]:
    """The agent's journal entries with such a field."""
    return [e for e in site.events() if e.get(key) == value]


def diagnosis(site: Site) -> dict[str, object]:
    """What the status file says of a revision that is not tried again."""
    found: dict[str, dict[str, dict[str, object]]] = json.loads(site.guest.read_text("/var/lib/core-ops/status.json"))
    return found["reconciliation"]["diagnosis"]


def kept(site: Site) -> list[str]:
    """The revisions that a person may go back to, newest first."""
    found: dict[str, list[dict[str, str]]] = json.loads(site.guest.check("core-ops", "status", "--json"))
    return [s["revision"] for s in found["snapshots"]]


def test_a_host_goes_back_stands_still_and_comes_forward_again(site: Site) -> None:
    """Three revisions, back to the first, a timer that does nothing, and `init --force` to the third."""
    first = site.start()
    site.commit(
        {"services/one/config/index.html": "<p>b</p>\n", "services/three/three.container": container("three", 2)}
    )
    site.agent()
    third = site.commit({"services/two/two.container": container("two", image=2)})
    site.agent()
    anchor = site.guest.read_text("/var/lib/core-ops/trust-state.json")
    before = site.fingerprint()

    shown = site.core_ops("apply", "--rollback-to", first[:8], "--rollback-plan-only")
    assert shown.status == 0, shown.stderr
    assert "container/two" in shown.stdout
    assert site.fingerprint() == before

    back = site.core_ops("apply", "--rollback-to", first[:8])
    assert back.status == 0, back.stdout + back.stderr
    message = f"controller is detached at revision {first}; "
    assert message in back.stderr
    assert site.page("one") == "<p>one</p>\n"
    assert site.guest.check("podman", "inspect", "-f", "{{.ImageName}}", "systemd-two") == "localhost/whoami:1\n"
    assert site.status()["lifecycle"] == "Detached"
    assert site.guest.read_text("/var/lib/core-ops/trust-state.json") == anchor
    assert message in site.guest.check("core-ops", "status")

    standing = site.fingerprint()
    assert message in site.core_ops("apply").stdout
    assert message in site.agent().stdout
    planned = site.core_ops("plan", "--exit-code")
    assert planned.status == 3
    assert message in planned.stderr
    assert "container/two" in planned.stdout
    assert "container/three" in planned.stdout
    assert site.fingerprint() == standing

    site.init("file:///srv/git/hosts", "main", "--force")
    site.agent()
    assert site.applied() == third
    assert site.status()["lifecycle"] == "Converged"
    assert site.page("one") == "<p>b</p>\n"
    assert kept(site)[:2] == [third, first]


def test_the_timer_leaves_a_detached_host_alone(site: Site) -> None:
    """Neither the newer revision nor drift is a reason to act; the journal tells why nothing happens."""
    first = site.start()
    site.commit({"services/two/two.container": container("two", image=2)})
    site.agent()
    assert site.core_ops("apply", "--rollback-to", first).status == 0
    site.guest.check("rm", "/etc/one/index.html")
    site.install_timer()
    before = site.invocations("one", "two", "three")
    told = f"journalctl -b MESSAGE_ID={STOOD_STILL} -o cat | grep -c 'detached at revision {first}' | grep -qv '^[01]$'"
    site.guest.wait_until("sh", "-c", told)
    assert site.invocations("one", "two", "three") == before
    assert site.guest.exec("test", "-e", "/etc/one/index.html").status == 1
    assert site.applied() == first


def test_a_rollback_needs_neither_repository_nor_keys(site: Site) -> None:
    """With both gone a person still comes back to what held before; what never held is refused by name."""
    first = site.start()
    site.commit({"services/one/config/index.html": "<p>b</p>\n"})
    site.agent()
    site.guest.check("rm", "-r", "/etc/core-ops/trust.json", "/etc/core-ops/allowed_signers")
    site.guest.check("rm", "-r", "/var/lib/core-ops/repository.git")
    refused = site.core_ops("apply", "--rollback-to", "f" * 40)
    assert refused.status == 1
    assert "missing_snapshot" in refused.stderr
    assert first in refused.stderr
    back = site.core_ops("apply", "--rollback-to", first)
    assert back.status == 0, back.stderr
    assert site.page("one") == "<p>one</p>\n"


def test_a_killed_rollback_is_finished_and_status_does_not_claim_a_run(site: Site) -> None:
    """After SIGKILL the status says Diverged and interrupted; the timer's run goes on back, and detaches."""
    first = site.start()
    site.commit({f"services/{n}/{n}.container": container(n, image=2) for n in ("one", "two", "three")})
    site.agent()
    # The record is renamed into place at the first save: what comes after it is a killed rollback.
    kill = "inject=rename:signal=KILL:when=5"
    killed = site.guest.exec(
        *("strace", "-qq", "-o", "/dev/null", "-e", kill, "core-ops", "apply", "--rollback-to", first)
    )
    assert killed.status != 0
    status = site.status()
    assert status["lifecycle"] == "Diverged"
    assert "was interrupted" in str(status["message"])
    assert f"a rollback to {first} has begun" in str(status["message"])
    site.agent()
    assert site.status()["lifecycle"] == "Detached"
    assert site.applied() == first
    images = site.guest.check("podman", "ps", "--format", "{{.Image}}")
    assert images.split() == ["localhost/whoami:1"] * 3


def test_a_run_that_goes_on_is_called_reconciling(site: Site) -> None:
    """While a unit takes its time to start, anybody's status says so."""
    slow = (
        "[Service]\nType=oneshot\nExecStart=/bin/sleep 4\nRemainAfterExit=yes\n[Install]\nWantedBy=multi-user.target\n"
    )
    site.commit({"hosts/guest/host.yaml": "host: guest\nservices: [slow]\n", "services/slow/slow.service": slow})
    site.init()
    assert site.status()["lifecycle"] == "Initialized"
    running = site.guest.spawn("core-ops", "agent")
    site.guest.wait_until("sh", "-c", "systemctl is-active slow.service | grep -q activating")
    assert site.status()["lifecycle"] == "Reconciling"
    running.wait(timeout=30)
    assert site.status()["lifecycle"] == "Converged"


def test_a_unit_that_never_comes_up_is_left_alone_after_three_runs(site: Site) -> None:
    """The fourth run says so and does not start it again; drift of the rest is repaired; a good revision lifts it."""
    site.start()
    bad = site.commit({"services/one/one.container": container("one", more="Entrypoint=/nowhere")})
    for _ in range(3):
        failed = site.core_ops("agent")
        assert failed.status == 1
    site.guest.check("systemctl", "stop", "three.service")
    site.guest.check("systemctl", "stop", "one.service")
    before = site.invocations("one", "two")

    stopped = site.core_ops("agent")

    assert stopped.status == 1
    assert "Outcome: non_converging" in stopped.stdout
    assert site.invocations("one", "two") == before
    assert site.guest.show("three.service", "ActiveState") == {"ActiveState": "active"}
    found = diagnosis(site)
    assert (found["kind"], found["revision"], found["units"], found["attempts"]) == (
        *("repeated_failure", bad),
        *(["one.service"], 3),
    )
    text = site.guest.check("core-ops", "status")
    assert "Diverged" in text
    assert "container/one: fails in the same way, 3 attempts since " in text
    assert journal(site, "CORE_OPS_OBJECTS", "container/one")
    assert journal(site, "CORE_OPS_OUTCOME", "non_converging")
    again = site.core_ops("agent")
    assert again.status == 1
    assert site.invocations("one", "two") == before

    by_hand = site.core_ops("apply")
    assert by_hand.status == 1
    assert "Outcome: partially_applied" in by_hand.stdout

    good = site.commit({"services/one/one.container": container("one", image=2)})
    site.agent()
    assert site.applied() == good
    assert site.status()["lifecycle"] == "Converged"


def test_files_are_written_without_a_reload_and_the_next_run_finishes(site: Site) -> None:
    """Nothing starts, stops or leaves; then an ordinary run restarts what changed and removes what is gone."""
    site.start()
    before = site.invocations("one", "two", "three")
    revision = site.commit(
        {
            "services/two/two.container": container("two", image=2),
            "services/one/config/index.html": "<p>new</p>\n",
            "hosts/guest/host.yaml": "host: guest\nservices: [net, one, two]\n",
        }
    )
    written = site.core_ops("agent", "--no-reload")
    assert written.status == 0, written.stdout + written.stderr
    assert "--no-reload" in site.guest.check("core-ops", "status")
    assert site.invocations("one", "two", "three") == before
    assert "whoami:2" in site.guest.read_text("/etc/containers/systemd/two.container")
    assert site.applied() != revision
    assert site.status()["lifecycle"] == "Diverged"

    site.agent()

    assert site.applied() == revision
    assert site.page("one") == "<p>new</p>\n"
    assert site.guest.check("podman", "inspect", "-f", "{{.ImageName}}", "systemd-two") == "localhost/whoami:2\n"
    assert site.guest.exec("podman", "container", "exists", "systemd-three").status == 1
    assert site.core_ops("plan", "--exit-code").status == 0


def test_an_apply_without_a_record_owns_nothing(site: Site) -> None:
    """It adds what is missing, is blocked by what differs, removes nothing, and leaves the record as it was."""
    site.start()
    record = site.guest.check("sh", "-c", "cd /var/lib/core-ops && sha256sum *.json snapshots/*")
    site.guest.check("rm", "/etc/two/index.html")
    done = site.core_ops("apply", "--force-no-state")
    assert done.status == 0, done.stdout + done.stderr
    assert site.page("two") == "<p>two</p>\n"
    site.commit({"hosts/guest/host.yaml": "host: guest\nservices: [net, one, two]\n"})
    assert site.core_ops("apply", "--force-no-state").status == 0
    assert site.page("three") == "<p>three</p>\n"
    site.commit({"services/two/config/index.html": "<p>other</p>\n"})
    blocked = site.core_ops("apply", "--force-no-state")
    assert blocked.status == 1
    assert "config/etc/two/index.html" in blocked.stderr
    assert site.guest.check("sh", "-c", "cd /var/lib/core-ops && sha256sum *.json snapshots/*") == record


def test_every_run_leaves_one_record_where_it_is_asked_to(site: Site) -> None:
    """Plan, apply and agent; a directory that can't be written is a warning and no more."""
    site.commit(THREE)
    site.init()
    trail = "/var/log/core-ops"
    for verb in ("plan", "agent", "apply"):
        assert site.core_ops(verb, "--audit-dir", trail).status == 0
    names = site.guest.check("ls", trail).split()
    assert [n.rpartition("-")[2] for n in names] == ["plan.json", "agent.json", "apply.json"]
    record = json.loads(site.guest.read_text(f"{trail}/{names[1]}"))
    assert record["outcome"] == "converged"
    assert "container/one" in {e["object"] for e in record["entries"]}
    site.guest.write_text("/root/file", "")
    done = site.guest.exec("core-ops", "agent", environment={"CORE_OPS_AUDIT_DIR": "/root/file/x"})
    assert done.status == 0
    assert any("audit-failed" in e["MESSAGE"] for e in site.events())
