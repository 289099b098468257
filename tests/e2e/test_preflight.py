"""A host's own podman and systemd look at a revision before anything of it is on the host."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core_ops.reconcile.complaints import generated
from core_ops.reconcile.preflight import staged
from core_ops_verify.guest.api import Guest
from core_ops_verify.guest.assets import Assets
from e2e.site import THREE, Site, container
from examinations import CASES, PODMAN_ERR, PODMAN_OUT, QUADLET, SYSTEMD, SYSTEMD_ERR, desired

pytestmark = pytest.mark.e2e

ONE = "services/one/one.container"
HOST = "hosts/guest/host.yaml"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"
GENERATOR = "/usr/libexec/podman/quadlet"


def native(files: Mapping[str, str | None]) -> Mapping[str, str | None]:
    """A repository of one service without containers."""
    return {HOST: "host: guest\nservices: [s]\n", **{f"services/s/{path}": text for path, text in files.items()}}


def refused(site: Site, *lines: str) -> None:
    """A run refuses the newest revision with these places and words, a plan says the same, and nothing changed."""
    before = site.fingerprint()
    agent, plan = site.agent(status=1), site.core_ops("plan")
    assert plan.status == 1
    for line in lines:
        assert line in agent.stderr
        assert line in plan.stderr
    assert site.fingerprint() == before
    assert site.guest.check("ls", "/run/core-ops") == "lock\n"


def test_an_unknown_quadlet_key_refuses_the_revision(site: Site) -> None:
    """Podman's words come with the line of the unit or of the drop-in, nothing on the host changes, the next one applies."""
    good = site.start()
    site.commit(
        {
            ONE: container("one", more="Foo=bar"),
            "hosts/guest/overrides/two.container.d/h.conf": "# here\n[Container]\nMemoryy=1G\n",
        }
    )
    refused(
        site,
        f"{ONE}:6: BadUnit: Podman says: unsupported key 'Foo' in group 'Container'",
        "hosts/guest/overrides/two.container.d/h.conf:3: BadUnit: Podman says: unsupported key 'Memoryy'",
    )
    assert site.applied() == good

    site.guest.check("rm", "/etc/two/index.html")  # drift is repaired all the same
    site.agent(status=1)
    assert site.page("two") == "<p>two</p>\n"

    better = site.commit({ONE: container("one"), "hosts/guest/overrides/two.container.d/h.conf": None})
    site.agent()
    assert site.applied() == better


def test_units_that_systemd_would_not_load_refuse_the_revision(site: Site) -> None:
    """A missing program, a bad value and a drop-in that takes the program away are named with their lines."""
    good = f"[Service]\nExecStart=sleep inf\n{INSTALL}"
    site.commit(native({"a.service": good, "b.service": good}))
    site.init()
    site.agent()
    bad = {
        "none.service": "[Unit]\nDescription=x\n[Service]\nRestart=no\n",
        "a.service": f"[Service]\nWorkingDirectory=here\nExecStart=sleep inf\n{INSTALL}",
        "b.service.d/c.conf": "[Service]\nExecStart=\n",
    }
    site.commit(native(bad))
    refused(
        site,
        "services/s/none.service:3: BadUnit: systemd says: Service has no ExecStart=",
        "services/s/a.service:2: BadUnit: systemd says: WorkingDirectory= path is not absolute: here",
        "services/s/b.service.d/c.conf:2: BadUnit: systemd says: Service has no ExecStart=",
    )


def test_a_line_that_systemd_ignores_is_applied_and_told(site: Site) -> None:
    """The doubt comes with its place, in the output and in the journal, once; the unit runs."""
    site.commit(native({"a.service": f"[Service]\nExecStart=sleep inf\nTimoutSec=3\n{INSTALL}"}))
    site.init()
    doubt = "services/s/a.service:3: systemd says: Unknown key 'TimoutSec' in section [Service], ignoring."
    planned = site.core_ops("plan", "--json")
    assert planned.status == 0
    assert doubt in planned.stderr
    assert doubt in site.agent().stdout
    assert site.guest.show("a.service", "ActiveState") == {"ActiveState": "active"}
    told = [e for e in site.events() if e.get("CORE_OPS_CODE") == "IgnoredSetting"]
    assert {e["CORE_OPS_PLACE"] for e in told} == {"services/s/a.service:3"}
    assert doubt not in site.agent().stdout


def test_a_script_of_the_same_tree_is_no_doubt(site: Site) -> None:
    """A program that is not there yet but comes with the revision is fine; one that nobody brings is a doubt."""
    ours = f"[Service]\nType=oneshot\nExecStart=/etc/s/run.sh\n{INSTALL}"
    site.repo.write("services/s/config/run.sh", "#!/bin/sh\ntouch /run/ran\n")
    (site.repo.path / "services/s/config/run.sh").chmod(0o755)
    site.commit(native({"a.service": ours, "b.service": "[Service]\nExecStart=/opt/nowhere/b\n"}))
    site.init()
    said = site.agent().stdout
    assert "services/s/b.service:2: systemd says: Command /opt/nowhere/b is not executable" in said
    assert "services/s/a.service" not in said
    assert site.guest.exec("test", "-e", "/run/ran").ok


def test_what_stands_in_etc_does_not_count(site: Site) -> None:
    """A drop-in that the new revision removes would spoil its unit; it is not held against the revision."""
    once = f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n{INSTALL}"
    site.commit(native({"a.service": once, "a.service.d/more.conf": "[Service]\nExecStart=true\n"}))
    site.init()
    site.agent()
    site.commit(native({"a.service": f"[Service]\nExecStart=sleep inf\n{INSTALL}", "a.service.d/more.conf": None}))
    site.agent()
    assert site.guest.show("a.service", "SubState") == {"SubState": "running"}


def test_without_a_generator_the_preflight_says_so(site: Site) -> None:
    """The agent's own rules still find a dangling reference, and nothing is held against a good tree."""
    site.guest.check("mount", "-t", "tmpfs", "tmpfs", "/usr/libexec/podman")
    site.commit({**THREE, ONE: container("one", more="Volume=gone.volume:/x")})
    site.init()
    dangling = site.core_ops("plan")
    assert dangling.status == 1
    assert f"{ONE}:6: DanglingReference" in dangling.stderr
    site.commit({ONE: container("one", more="Foo=bar")})
    planned = site.core_ops("plan")
    assert planned.status == 0
    assert "preflight could not be done: Podman's Quadlet generator is not on this machine" in planned.stderr


def test_the_service_asks_the_same_programs(site: Site) -> None:
    """Under the restrictions of the shipped service both programs answer, and a refusal stands in the journal."""
    good = site.commit(THREE)
    site.init()
    site.install_timer()
    site.wait_applied(good)
    bad = site.commit({ONE: container("one", more="Foo=bar")})
    site.guest.wait_until("grep", "-q", bad, "/var/lib/core-ops/status.json", timeout_s=30)
    site.guest.check("systemctl", "stop", "core-ops.timer")
    told = site.events()
    (entry,) = {e["MESSAGE"] for e in told if e.get("CORE_OPS_REVISION") == bad and "CORE_OPS_CODE" in e}
    assert f"{ONE}:6: BadUnit: Podman says: unsupported key 'Foo'" in entry
    assert not [e for e in told if e.get("CORE_OPS_CODE") == "PreflightNotDone"]


BROKEN = {
    "hangs": ("sleep inf", "no answer within 10 s"),
    "crashes": ("kill -SEGV $$", "exit status -11"),
    "garbage": ("head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2; exit 1", "exit status 1"),
    "blames": ("echo 'x.service: Service has no ExecStart=. Refusing.' >&2; kill -ABRT $$", "exit status -6"),
    "floods": ("yes", "it said more than"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_program_keeps_nothing_from_converging(site: Site, how: str) -> None:
    """Whatever becomes of systemd-analyze, the run says so and goes on."""
    script, words = BROKEN[how]
    site.guest.write_text("/root/broken", f"#!/bin/sh\n{script}\n", mode=0o755)
    site.guest.check("mount", "--bind", "/root/broken", "/usr/bin/systemd-analyze")
    revision = site.commit(native({"x.service": f"[Service]\nExecStart=sleep inf\n{INSTALL}"}))
    site.init()
    said = site.agent().stdout
    assert "preflight could not be done: run /usr/bin/systemd-analyze" in said
    assert words in said
    assert site.applied() == revision
    assert site.guest.check("ls", "/run/core-ops") == "lock\n"


def test_a_generator_that_talks_nonsense_refuses_nothing(site: Site) -> None:
    """A plan with a broken generator stands."""
    site.guest.write_text("/root/broken", "#!/bin/sh\necho '---web.service---'; echo oops >&2\n", mode=0o755)
    site.guest.check("mount", "--bind", "/root/broken", GENERATOR)
    site.commit(THREE)
    site.init()
    planned = site.core_ops("plan")
    assert planned.status == 0
    assert f"preflight could not be done: run {GENERATOR}" in planned.stderr


def test_a_plan_needs_no_root_to_examine(site: Site) -> None:
    """A person without root asks the same programs, and other directories change nothing."""
    site.commit({**THREE, ONE: container("one", more="Foo=bar")})
    there = ("plan", "--source-repo", "/srv/git/hosts", "--host", "guest", "--state-file", "/nonexistent/status.json")
    elsewhere = ("--quadlet-dir", "/srv/q", "--systemd-unit-dir", "/srv/s", "--config-dir", "/srv/c")
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "core-ops")
    for argv in ((*nobody, *there), (*nobody, *there, *elsewhere), ("core-ops", *there)):
        done = site.guest.exec(*argv)
        assert done.status == 65, done.stderr
        assert f"{ONE}:6: BadUnit: Podman says: unsupported key 'Foo'" in done.stderr
    assert site.guest.check("find", "/run", "/tmp", "/var/tmp", "-name", "core-ops*") == ""  # noqa: S108 - looked at


def test_a_check_asks_the_programs_of_this_machine(site: Site) -> None:
    """Their findings stand among the others, each place once, and only when they are asked for."""
    two = {"hosts/h2/host.yaml": "host: h2\nservices: [net, one]\n"}
    site.commit({**THREE, **two, ONE: container("one", more="Foo=bar")})
    assert site.core_ops("check", "/srv/git/hosts").status == 0
    asked = site.core_ops("check", "/srv/git/hosts", "--preflight")
    assert asked.status == 1
    (line,) = (line for line in asked.stdout.splitlines() if "BadUnit" in line)
    assert line.startswith(f"{ONE}:6: error BadUnit: Podman says: unsupported key 'Foo' in group 'Container'")
    assert line.endswith("[guest, h2]")


@pytest.fixture(scope="module")
def programs(bare_assets: Assets) -> Iterator[Guest]:
    """Return a guest whose programs are asked again and again."""
    with Guest.create(bare_assets) as guest:
        yield guest


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_the_recordings_are_what_the_programs_say(case: Path, programs: Guest) -> None:
    """The folders that other tests read are the words of the real programs."""
    programs.check("rm", "-rf", "/run/scratch")
    programs.check("mkdir", "-p", QUADLET, SYSTEMD)
    files = staged(desired(case))
    write(programs, QUADLET, files.quadlet)
    write(programs, SYSTEMD, files.systemd)
    out, err = "", ""
    if files.quadlet:
        done = programs.exec(GENERATOR, "-dryrun", "-no-kmsg-log", environment={"QUADLET_UNIT_DIRS": QUADLET})
        out, err = done.stdout, re.sub(r"(quadlet-generator)\[\d+\]", r"\1[1]", done.stderr)
    assert (out_of_order(out), err) == (out_of_order((case / PODMAN_OUT).read_text()), (case / PODMAN_ERR).read_text())
    made = generated((case / PODMAN_OUT).read_text())
    write(programs, SYSTEMD, tuple((g.unit, g.content.encode()) for g in made))
    verify = "systemd-analyze verify --man=no --generators=no --recursive-errors=no $(ls | grep -v '[.]d$')"
    path = {"SYSTEMD_UNIT_PATH": f"{SYSTEMD}:/usr/lib/systemd/system", "LC_ALL": "C.UTF-8"}
    done = programs.exec("sh", "-c", f"cd {SYSTEMD} && {verify}", environment=path)
    assert done.stderr == (case / SYSTEMD_ERR).read_text()


def write(guest: Guest, top: str, files: tuple[tuple[str, bytes], ...]) -> None:
    """Write files below a directory of the guest."""
    for name, content in files:
        guest.write_text(f"{top}/{name}", content.decode())


def out_of_order(stdout: str) -> list[str]:
    """The generated units; the generator does not print them in a fixed order."""
    return sorted(g.content for g in generated(stdout))
