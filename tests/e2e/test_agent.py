"""The main job on a real host: a signed commit becomes running units, and stays what it says."""

import json

import pytest

from e2e.site import THREE, UNITS, Site, container
from repos import make_key
from schemas import valid

pytestmark = pytest.mark.e2e


def test_the_timer_brings_a_signed_commit_to_life(site: Site) -> None:
    """The shipped timer, and nothing else, starts the agent; containers answer, and status and journal tell of it."""
    revision = site.commit(THREE)
    site.init()
    site.install_timer()

    site.wait_applied(revision)

    assert [site.page(n) for n in ("one", "two", "three")] == ["<p>one</p>\n", "<p>two</p>\n", "<p>three</p>\n"]
    status = site.status()
    assert status["lifecycle"] == "Converged"
    told = site.guest.check("journalctl", "-b", "-u", "core-ops.service", "-o", "json")
    events = [json.loads(line) for line in told.splitlines()]
    started = [e for e in events if e.get("CORE_OPS_ACTION") == "start" and e.get("CORE_OPS_OBJECT") == "container/one"]
    assert started
    assert started[0]["CORE_OPS_REVISION"] == revision
    assert started[0]["MESSAGE_ID"] == "ad48b8b6acf04ffba0730e41061176e3"


def test_the_shipped_units_are_what_systemd_expects(site: Site) -> None:
    """Its own checker has nothing to say against either unit."""
    site.install_timer()
    said = site.guest.exec(
        "systemd-analyze", "verify", "--man=no", *(f"/etc/systemd/system/{u.name}" for u in UNITS.iterdir())
    )
    assert (said.status, said.stdout + said.stderr) == (0, "")


def test_a_change_to_one_container_leaves_the_others_alone(site: Site) -> None:
    """The timer picks up a new signed commit and restarts only what it changes."""
    site.start()
    site.install_timer()
    before = site.invocations("one", "two", "three")

    site.wait_applied(site.commit({"services/two/two.container": container("two", image=2)}))

    after = site.invocations("one", "two", "three")
    assert {n for n in before if before[n] != after[n]} == {"two"}


def test_a_changed_config_file_restarts_its_user_once(site: Site) -> None:
    """A page that one container mounts restarts that container, and the page is served."""
    site.start()
    before = site.invocations("one", "two", "three")
    site.commit({"services/one/config/index.html": "<p>new</p>\n"})

    said = site.agent().stdout

    after = site.invocations("one", "two", "three")
    assert {n for n in before if before[n] != after[n]} == {"one"}
    assert site.page("one") == "<p>new</p>\n"
    assert said.count("restart one.service") >= 1
    assert "daemon-reload" not in said


def test_drop_ins_are_layered_base_then_host(site: Site) -> None:
    """A host's drop-in comes after every base drop-in whatever its name, and systemd agrees."""
    site.commit(
        {
            **THREE,
            "services/one/one.container.d/90-base.conf": "[Unit]\nDescription=base\n[Container]\nEnvironment=FROM=base\n",
            "hosts/guest/overrides/one.container.d/10-host.conf": "[Unit]\nDescription=host\n",
            "services/tick/tick.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
            "services/tick/tick.timer": "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n",
            "hosts/guest/tick/systemd/tick.service.d/x.conf": "[Unit]\nDescription=ticks here\n",
            "hosts/guest/one/config/index.html": "<p>host</p>\n",
            "hosts/guest/host.yaml": "host: guest\nservices: [net, one, two, three, tick]\n",
        }
    )
    site.init()
    site.agent()
    assert site.guest.show("one.service", "Description") == {"Description": "host"}
    assert site.guest.check("podman", "exec", "systemd-one", "sh", "-c", "echo $FROM") == "base\n"
    assert site.guest.show("tick.service", "Description", "ActiveState") == {
        "Description": "ticks here",
        "ActiveState": "inactive",
    }
    assert site.guest.show("tick.timer", "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }
    assert site.page("one") == "<p>host</p>\n"


def test_hand_edits_are_found_and_repaired(site: Site) -> None:
    """An edited unit, a removed page and a stopped container are drift: planned, repaired, and then nothing is left."""
    site.start()
    unit, page = "/etc/containers/systemd/one.container", "/etc/two/index.html"
    site.guest.write_text(unit, site.guest.read_text(unit).replace("whoami:1", "whoami:2"))
    site.guest.check("rm", page)
    site.guest.check("systemctl", "stop", "three.service")
    before = site.invocations("one", "two", "three")

    planned = site.core_ops("plan", "--exit-code", "--json")
    assert planned.status == 3
    valid(planned.stdout)
    entries = {e["object"]["display_id"]: e for e in json.loads(planned.stdout)["entries"]}
    assert {i: e["action"] for i, e in entries.items() if e["action"] != "no_op"} == {
        "container/one": "update",
        "config/etc/two/index.html": "create",
        "container/two": "restart",
        "container/three": "recover",
    }
    assert all(
        e["causes"][0]["kind"] in {"drift", "dependency_change"} for e in entries.values() if e["action"] != "no_op"
    )
    site.agent()

    assert "localhost/whoami:1" in site.guest.read_text(unit)
    assert site.page("two") == "<p>two</p>\n"
    assert all(site.invocations(n) != {n: before[n]} for n in before)
    assert site.core_ops("plan", "--exit-code").status == 0


def test_what_left_the_repository_leaves_the_host(site: Site) -> None:
    """A removed service is stopped, its files are gone, nothing lingers; a native unit is disabled too."""
    tick = {
        "services/tick/tick.service": "[Service]\nExecStart=/bin/sleep inf\n[Install]\nWantedBy=multi-user.target\n",
        "hosts/guest/host.yaml": "host: guest\nservices: [net, one, two, three, tick]\n",
    }
    site.commit({**THREE, **tick})
    site.init()
    site.agent()
    assert site.guest.show("tick.service", "UnitFileState") == {"UnitFileState": "enabled"}

    site.commit({"hosts/guest/host.yaml": "host: guest\nservices: [net, one, two]\n"})
    site.agent()

    for unit in ("three.service", "tick.service"):
        assert site.guest.show(unit, "LoadState", "ActiveState") == {
            "LoadState": "not-found",
            "ActiveState": "inactive",
        }
    left = site.guest.exec(
        "sh", "-c", "ls -d /etc/three /etc/containers/systemd/three* /etc/systemd/system/*/tick.service"
    )
    assert left.stdout == ""
    assert site.guest.exec("podman", "container", "exists", "systemd-three").status == 1
    assert site.guest.check("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""


STUBBORN = """\
[Service]
ExecStart=/bin/sh -c 'trap "exit 1" TERM; sleep inf & wait'

[Install]
WantedBy=multi-user.target
"""


def test_a_unit_that_left_the_repository_does_not_linger_as_failed(site: Site) -> None:
    """Neither one that fails as it is stopped nor one that had failed before is known to systemd afterwards."""
    units = {f"services/{n}/{n}.service": STUBBORN for n in ("stubborn", "dead")}
    site.commit({**units, "hosts/guest/host.yaml": "host: guest\nservices: [stubborn, dead]\n"})
    site.init()
    site.agent()
    site.guest.check("systemctl", "stop", "dead.service")
    assert site.guest.show("dead.service", "ActiveState", "Result") == {"ActiveState": "failed", "Result": "exit-code"}

    site.commit({**dict.fromkeys(units), "hosts/guest/host.yaml": "host: guest\nservices: []\n"})
    site.agent()

    failed = site.guest.check("journalctl", "-b", "-u", "stubborn.service", "-o", "cat")
    assert "Failed with result 'exit-code'" in failed
    listed = site.guest.check("systemctl", "list-units", "--state=failed", "--all", "--plain", "--no-legend")
    assert "stubborn" not in listed
    assert "dead" not in listed
    for unit in ("stubborn.service", "dead.service"):
        assert site.guest.show(unit, "LoadState", "ActiveState") == {
            "LoadState": "not-found",
            "ActiveState": "inactive",
        }


def reloads(site: Site, *arguments: str) -> int:
    """Run the agent's program and return how often PID 1 says that it read all units again."""
    _, _, cursor = site.guest.check("journalctl", "-n0", "--show-cursor").partition("-- cursor: ")
    done = site.core_ops(*arguments)
    assert done.status == 0, done.stdout + done.stderr
    site.guest.check("journalctl", "--sync")
    said = site.guest.check("journalctl", "-o", "cat", f"--after-cursor={cursor.strip()}", "_PID=1")
    return said.splitlines().count("Reloading...")


def test_a_run_reloads_systemd_once_at_most(site: Site) -> None:
    """One time for an update, a removal, drift and a rollback, with links to units among them; a config file needs none."""
    tick = "[Service]\nExecStart=/bin/sleep {}\n[Install]\nWantedBy=multi-user.target\n"
    host = {"hosts/guest/host.yaml": "host: guest\nservices: [net, one, two, three, tick]\n"}
    site.commit({**THREE, **host, "services/tick/tick.service": tick.format(1000)})
    site.init()
    assert reloads(site, "agent") == 1
    updated = site.commit(
        {
            **{f"services/{n}/{n}.container": container(n, image=2) for n in ("one", "two")},
            "services/net/web.network": "[Network]\nLabel=v=2\n",
            "services/tick/tick.service": tick.format(2000),
            "services/tick/tick.service.d/x.conf": "[Unit]\nConditionPathExists=/\n",
        }
    )
    assert reloads(site, "agent") == 1
    site.commit({"hosts/guest/host.yaml": "host: guest\nservices: [net, one]\n"})
    assert reloads(site, "agent") == 1
    unit = "/etc/containers/systemd/one.container"
    site.guest.write_text(unit, site.guest.read_text(unit).replace("whoami:2", "whoami:1"))
    site.guest.check("rm", "/etc/containers/systemd/web.network")
    assert reloads(site, "agent") == 1
    site.commit({"services/one/config/index.html": "<p>new</p>\n"})
    assert reloads(site, "agent") == 0
    assert reloads(site, "agent") == 0
    assert reloads(site, "apply", "--rollback-to", updated) == 1
    assert site.guest.show("tick.service", "ActiveState", "UnitFileState") == {
        "ActiveState": "active",
        "UnitFileState": "enabled",
    }


@pytest.mark.parametrize("case", ["unsigned", "unknown-key", "not-a-descendant"])
def test_an_untrusted_revision_changes_nothing_and_stops_nothing(site: Site, case: str) -> None:
    """It is refused with its code; nothing changes but drift, which is still repaired; and a good revision heals."""
    first = site.start()
    good = site.commit({"services/two/two.container": container("two", image=2)})
    site.agent()
    before = site.fingerprint()
    change = {"services/one/one.container": container("one", image=2)}
    if case == "unsigned":
        site.commit(change, signed=False)
    elif case == "unknown-key":
        site.commit(change, key=make_key(site.directory.parent / "keys", "mallory"))
    else:
        site.repo.git("reset", "-q", "--hard", first)

    refused = site.agent(status=1)

    assert case in refused.stderr
    assert site.fingerprint() == before
    assert site.applied() == good
    assert case in str(site.status())
    assert any(e.get("CORE_OPS_CODE") == case for e in site.events())
    site.guest.check("systemctl", "stop", "three.service")
    site.agent(status=1)
    assert site.guest.show("three.service", "ActiveState") == {"ActiveState": "active"}

    site.repo.git("reset", "-q", "--hard", good)
    healed = site.commit(change)
    site.agent()
    assert site.applied() == healed


def test_the_lock_is_shared_and_dies_with_its_holder(site: Site) -> None:
    """A second run ends with 75 while one runs; a killed run blocks nobody."""
    site.start()
    holder = site.guest.spawn("flock", "/run/core-ops/lock", "sleep", "60")
    site.guest.wait_until("sh", "-c", "! flock -n /run/core-ops/lock true")
    locked = site.core_ops("apply")
    assert locked.status == 75
    assert "another run of core-ops holds it" in locked.stderr
    looked = site.core_ops("plan", "--exit-code")  # a long run keeps nobody from looking
    assert looked.status == 0, looked.stderr
    assert "the repository was not asked" in looked.stderr
    site.guest.exec("pkill", "-KILL", "-f", "sleep 60")
    holder.wait(timeout=10)
    site.agent()


def test_a_reader_that_goes_away_does_not_end_an_apply(site: Site) -> None:
    """`core-ops apply | head -1` still stops, writes and starts everything that it planned."""
    site.start()
    revision = site.commit({f"services/{n}/{n}.container": container(n, image=2) for n in ("one", "two", "three")})
    site.guest.check("sh", "-c", "core-ops apply | head -n 1")
    site.wait_applied(revision)
    assert site.core_ops("plan", "--exit-code").status == 0


def test_many_changes_in_a_row_do_not_hit_the_start_limit(site: Site) -> None:
    """A sixth start within ten seconds is refused by systemd; a start that a revision asks for is not a crash loop."""
    site.start()
    for number in range(7):
        site.commit({f"services/{n}/config/index.html": f"<p>{number}</p>\n" for n in ("one", "two")})
        site.agent()
    assert site.page("one") == "<p>6</p>\n"


@pytest.mark.parametrize("at", [3, 5, 7])
def test_a_killed_run_is_finished_by_the_timer(site: Site, at: int) -> None:
    """After SIGKILL in the middle of an apply the next timer run converges, and no unit runs old inputs."""
    site.start()
    revision = site.commit({f"services/{n}/{n}.container": container(n, image=2) for n in ("one", "two", "three")})
    kill = f"inject=rename:signal=KILL:when={at}"
    killed = site.guest.exec("strace", "-qq", "-o", "/dev/null", "-e", kill, "core-ops", "agent")
    assert killed.status != 0
    assert site.applied() != revision

    site.install_timer()
    site.wait_applied(revision)

    images = site.guest.check("podman", "ps", "--format", "{{.Image}}")
    assert images.split() == ["localhost/whoami:2"] * 3
    assert site.core_ops("plan", "--exit-code").status == 0
    assert site.guest.check("find", "/etc", "-name", "*.core-ops-new") == ""


def test_a_host_comes_up_the_same_after_the_plug_was_pulled(site: Site) -> None:
    """After a power cut and a boot everything runs as before the agent even starts, and a plan is empty."""
    site.start()
    site.guest.kill()
    site.guest.boot()
    for name in ("one", "two", "three"):
        site.guest.wait_until("systemctl", "is-active", f"{name}.service", timeout_s=30)
    planned = site.core_ops("plan", "--exit-code")
    assert planned.status == 0, planned.stdout


def test_a_container_that_cannot_start_is_named_and_the_rest_goes_on(site: Site) -> None:
    """One broken unit fails the run with its name and systemd's words; the others converge and are left alone later."""
    site.start()
    site.commit(
        {
            "services/one/one.container": container("one", more="Entrypoint=/nowhere"),
            "services/two/two.container": container("two", image=2),
        }
    )
    failed = site.core_ops("agent")
    assert failed.status == 1
    assert "container/one failed during Applying" in failed.stdout
    assert "journalctl -u one.service -b --since" in failed.stdout
    before = site.invocations("two", "three")
    assert site.guest.check("podman", "inspect", "-f", "{{.ImageName}}", "systemd-two") == "localhost/whoami:2\n"

    assert site.core_ops("agent").status == 1
    assert site.invocations("two", "three") == before
    assert site.status()["lifecycle"] == "Diverged"

    site.commit({"services/one/one.container": container("one", image=2)})
    if site.core_ops(
        "agent"
    ).status:  # podman may still be clearing away the container that crashed, and refuse its name
        site.agent()
    assert site.page("one") == "<p>one</p>\n"
    assert site.guest.check("podman", "inspect", "-f", "{{.ImageName}}", "systemd-one") == "localhost/whoami:2\n"
    assert site.invocations("two", "three") == before
