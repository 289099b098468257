"""The guest is what the other end-to-end tests believe it is."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core_ops_verify import cli
from core_ops_verify.errors import CommandError, CommandTimeoutError, GuestError
from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import Assets
from core_ops_verify.guest.box import PREFIX, Bind
from core_ops_verify.guest.cgroup import find_hierarchy
from core_ops_verify.guest.netns import NAMED
from core_ops_verify.guest.places import Places
from e2e.conftest import MakeGuest

pytestmark = pytest.mark.e2e

WHOAMI = """\
[Unit]
Description=Says who it is
[Container]
Image=localhost/whoami:{version}
Pull=never
Network=host
[Service]
TimeoutStartSec=20
[Install]
WantedBy=multi-user.target
"""
WITH_PAGE = """\
[Container]
Image=localhost/whoami:1
Pull=never
PublishPort=127.0.0.1:9000:8080
Volume=/etc/whoami/index.html:/www/index.html:ro
"""


def start_whoami(guest: Guest, version: int = 1) -> None:
    """Install the Quadlet file and start its service."""
    guest.write_text("/etc/containers/systemd/whoami.container", WHOAMI.format(version=version))
    guest.check("systemctl", "daemon-reload")
    guest.check("systemctl", "start", "whoami.service")


def page(guest: Guest, port: int = 8080) -> str:
    """Return what answers on the guest's loopback."""
    return guest.wait_until("busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{port}/", timeout_s=10)


def traces(name: str) -> dict[str, set[str]]:
    """Return what this machine shows of a guest, by kind; other guests may come and go meanwhile."""
    state = [Path("/run/systemd/nspawn") / kind for kind in ("propagate", "unix-export")]
    groups = find_hierarchy().mount.glob(f"{PREFIX}*")
    loops = subprocess.run(
        ["losetup", "--list", "--noheadings", "--output=BACK-FILE"], check=True, capture_output=True, text=True
    )
    found = {
        "mounts": Path("/proc/self/mounts").read_text().splitlines(),
        "namespaces": [str(named) for named in NAMED.glob("*")],
        "groups": [str(group) for group in groups],
        "processes": [command_line(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()],
        "state": [str(entry) for place in state if place.exists() for entry in place.iterdir()],
        "loops": loops.stdout.splitlines(),
        "files": [str(path) for path in Places.of().run.glob("*")],
    }
    named = {kind: {text for text in texts if name in text} for kind, texts in found.items()}
    return {kind: texts for kind, texts in named.items() if texts}


def lock_of(guest: Guest) -> Path:
    """Return the file nspawn locks a guest's tree with."""
    at = guest.path("/").stat()
    return Path(f"/run/systemd/nspawn/locks/inode-{at.st_dev}:{at.st_ino}")


def command_line(process: Path) -> str:
    """Return a process's arguments, or nothing when it is gone."""
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_guest_boots_to_running_with_systemd_as_pid_1(bare_guest: Guest) -> None:
    """Nothing in an untouched guest has failed."""
    assert bare_guest.wait_until("systemctl", "is-system-running").strip() == "running"
    assert bare_guest.check("cat", "/proc/1/comm").strip() == "systemd"
    assert bare_guest.check("hostname").strip() == bare_guest.name


def test_guest_is_shaped_like_fedora_coreos(bare_guest: Guest) -> None:
    """/usr cannot be written, home directories live in /var, and there is no Python anywhere."""
    refused = bare_guest.exec("touch", "/usr/bin/x")
    assert os.strerror(errno.EROFS) in refused.stderr
    for place, real in (("/home", "/var/home"), ("/opt", "/var/opt"), ("/usr/local", "/var/usrlocal")):
        assert bare_guest.check("readlink", "-f", place).strip() == real
    assert not bare_guest.exec("sh", "-c", "command -v python3 || command -v python").ok
    assert bare_guest.check("find", "/usr", "-name", "python3*", "-type", "f") == ""
    assert bare_guest.check("id", "-u", "core").strip() == "1000"


def test_guest_has_the_quadlet_generator_and_images(bare_guest: Guest) -> None:
    """Quadlet files become units, and images are there without a registry."""
    bare_guest.check("test", "-x", "/usr/lib/systemd/system-generators/podman-system-generator")
    listed = bare_guest.check("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert {"localhost/whoami:1", "localhost/whoami:2", "localhost/sleeper:1"} <= set(listed)


def test_quadlet_file_becomes_a_service_that_answers(bare_guest: Guest) -> None:
    """A hand-written Quadlet starts, answers on the guest's loopback, and stops promptly and cleanly."""
    start_whoami(bare_guest)
    assert page(bare_guest) == "whoami 1\n"
    started = time.monotonic()
    bare_guest.check("systemctl", "stop", "whoami.service")
    assert time.monotonic() - started < 4
    shown = bare_guest.show("whoami.service", "ActiveState", "Result")
    assert shown == {"ActiveState": "inactive", "Result": "success"}


def test_container_with_a_network_serves_a_bound_page(bare_guest: Guest) -> None:
    """A published port works, and a mounted file replaces the page."""
    bare_guest.write_text("/etc/whoami/index.html", "hello\n")
    bare_guest.write_text("/etc/containers/systemd/page.container", WITH_PAGE)
    bare_guest.check("systemctl", "daemon-reload")
    bare_guest.check("systemctl", "start", "page.service")
    assert page(bare_guest, 9000) == "hello\n"


def test_pod_starts_without_a_registry(bare_guest: Guest) -> None:
    """The pause image was made with the template."""
    bare_guest.check("podman", "pod", "create", "--name", "p")
    bare_guest.check("podman", "run", "-d", "--pod", "p", "--pull=never", "localhost/sleeper:1")
    started = time.monotonic()
    bare_guest.check("podman", "pod", "stop", "p")
    assert time.monotonic() - started < 4


def test_plug_pulled_and_the_same_tree_boots_again(bare_guest: Guest) -> None:
    """Files survive a power cut, and enabled services come up again."""
    start_whoami(bare_guest)
    bare_guest.write_text("/var/srv/kept", "kept\n")
    before = bare_guest.check("cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id")
    bare_guest.kill()
    assert not bare_guest.running
    assert bare_guest.read_text("/var/srv/kept") == "kept\n"
    with pytest.raises(GuestError, match="not running"):
        bare_guest.exec("true")
    bare_guest.boot()
    assert bare_guest.check("cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id") != before
    assert bare_guest.check("cat", "/srv/kept") == "kept\n"
    assert page(bare_guest) == "whoami 1\n"


def test_guest_shuts_down_in_order_and_boots_again(bare_guest: Guest) -> None:
    """An orderly reboot keeps files and stops services."""
    bare_guest.check("sh", "-c", "echo kept > /root/kept")
    bare_guest.reboot()
    assert bare_guest.check("cat", "/var/roothome/kept") == "kept\n"


def test_two_guests_run_at_once_and_apart(make_bare_guest: MakeGuest) -> None:
    """Two guests serve the same port: each has its own network, processes and storage."""
    one, two = make_bare_guest(), make_bare_guest()
    start_whoami(one, 1)
    start_whoami(two, 2)
    assert (page(one), page(two)) == ("whoami 1\n", "whoami 2\n")
    one.kill()
    assert page(two) == "whoami 2\n"


def test_full_var_says_so(make_bare_guest: MakeGuest) -> None:
    """A small /var can be filled from inside, and stays full over a power cut."""
    guest = make_bare_guest(options=Options(var_size_bytes=96 * 1024**2))
    full = guest.exec("dd", "if=/dev/zero", "of=/var/fill", "bs=1M")
    assert os.strerror(errno.ENOSPC) in full.stderr
    guest.kill()
    with pytest.raises(GuestError, match="only a running guest"):
        guest.path("/var/fill")
    guest.boot()
    assert guest.path("/var/fill").stat().st_size > 1024**2
    guest.check("rm", "/var/fill")
    guest.write_text("/var/srv/room", "again")
    assert guest.read_text("/srv/room") == "again"


def test_server_beside_a_guest_survives_its_power_cut(make_bare_guest: MakeGuest, tmp_path: Path) -> None:
    """A program of this machine serves the guest on its loopback, across boots."""
    (tmp_path / "file").write_text("from beside")
    name = f"beside-{os.getpid()}"
    guest = make_bare_guest(options=Options(netns=name))
    serve = guest.beside(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "7000")
    with subprocess.Popen(serve, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            fetch = ("busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:7000/file")
            assert guest.wait_until(*fetch) == "from beside"
            guest.kill()
            guest.boot()
            assert guest.wait_until(*fetch) == "from beside"
        finally:
            server.terminate()
    guest.down()
    assert not (NAMED / name).exists()


def test_bound_directories_are_read_only_unless_asked(make_bare_guest: MakeGuest, tmp_path: Path) -> None:
    """A bind shows this machine's files; writing needs a word."""
    for name in ("ro", "rw:x"):
        (tmp_path / name).mkdir()
    binds = (Bind(tmp_path / "ro", "/var/ro"), Bind(tmp_path / "rw:x", "/var/rw", writable=True))
    guest = make_bare_guest(options=Options(binds=binds))
    assert not guest.exec("touch", "/var/ro/x").ok
    guest.check("touch", "/var/rw/x")
    assert (tmp_path / "rw:x/x").exists()


def test_files_go_in_and_out(bare_guest: Guest, tmp_path: Path) -> None:
    """Copies keep modes, belong to root inside, and reach file systems only a running guest has."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/run").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "in/run").chmod(0o755)
    os.chown(tmp_path / "in/run", 1234, 1234)
    bare_guest.copy_in(tmp_path / "in", "/root/in")
    assert bare_guest.check("/root/in/run") == "ran\n"
    assert bare_guest.check("stat", "-c", "%u", "/root/in/run").strip() == "0"
    bare_guest.copy_out("/root/in", tmp_path / "out")
    assert (tmp_path / "out/run").read_text() == "#!/bin/sh\necho ran\n"
    bare_guest.write_text("/run/note", "live")
    assert bare_guest.check("cat", "/run/note") == "live"
    with pytest.raises(GuestError, match="read-only"):
        bare_guest.write_text("/usr/bin/x", "")
    bare_guest.check("ln", "-s", "/etc/outside", "/var/link")
    bare_guest.write_text("/var/link", "inside")
    assert bare_guest.check("cat", "/etc/outside") == "inside"
    assert not Path("/etc/outside").exists()


def test_command_reports_status_output_and_time(bare_guest: Guest) -> None:
    """A failing command shows its words; one that hangs is ended inside the guest, too."""
    done = bare_guest.exec("sh", "-c", "cat; echo err >&2; echo $V; exit 3", stdin="in\n", environment={"V": "v"})
    assert (done.status, done.stdout, done.stderr, done.ok) == (3, "in\nv\n", "err\n", False)
    with pytest.raises(CommandError, match="no such thing") as caught:
        bare_guest.check("sh", "-c", "echo no such thing >&2; exit 4")
    assert caught.value.status == 4
    with pytest.raises(CommandTimeoutError):
        bare_guest.exec("sleep", "4242", timeout_s=0.3)
    assert not bare_guest.exec("pgrep", "-x", "sleep").ok


def test_service_has_less_rights_than_a_command(bare_guest: Guest) -> None:
    """`run` goes through the guest's systemd, so a service's settings hold."""
    assert bare_guest.run("sh", "-c", "echo $INVOCATION_ID").stdout.strip()
    confined = bare_guest.run("touch", "/etc/x", properties=("ProtectSystem=strict",))
    assert not confined.ok
    assert os.strerror(errno.EROFS) in confined.stderr


def test_agent_has_an_interpreter_of_its_own(guest: Guest) -> None:
    """The agent's interpreter imports everything it needs while the host has no Python."""
    python = "/opt/core-ops/runtime/usr/bin/python3.13"
    code = (
        "import sys; sys.path[:0] = ['/opt/core-ops/agent', '/opt/core-ops/runtime/site']; "
        "import core_ops, msgspec, yaml, cryptography, pygit2; from systemd import _journal; print(core_ops.__cached__)"
    )
    assert guest.check(python, "-I", "-S", "-c", code).startswith("/opt/core-ops/agent/core_ops/__pycache__/")
    assert guest.check("sh", "-c", "command -v core-ops").strip() == "/usr/local/bin/core-ops"
    assert not guest.exec("sh", "-c", "command -v python3").ok


def test_agent_cannot_be_written_from_inside(guest: Guest) -> None:
    """What the guest runs as the agent is shared with other guests and stays as built."""
    for name in ("agent/main.py", "runtime/site/yaml/__init__.py"):
        assert not guest.exec("sh", "-c", f"echo >> /opt/core-ops/{name}").ok


def test_guest_that_is_down_leaves_nothing(bare_assets: Assets) -> None:
    """After running, losing power, booting and going down, this machine shows nothing of it."""
    name = f"left-{os.getpid()}"
    options = Options(netns=name, var_size_bytes=96 * 1024**2)
    with Guest.create(bare_assets, name, options) as guest:
        start_whoami(guest)
        lock = lock_of(guest)
        assert lock.exists()
        assert traces(name).keys() == {"mounts", "namespaces", "groups", "processes", "state", "loops", "files"}
        guest.kill()
        assert traces(name).keys() == {"mounts", "namespaces", "files"}
        guest.boot()
    assert traces(name) == {}
    assert not lock.exists()


def test_guest_mounts_nothing_on_the_machine(bare_assets: Assets) -> None:
    """Its mounts are in its own namespace; only a named network namespace is one of the machine's."""
    with Guest.create(bare_assets, options=Options(var_size_bytes=96 * 1024**2)) as guest:
        assert "mounts" not in traces(guest.name)


def test_guest_that_does_not_come_up_leaves_nothing(
    bare_assets: Assets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed boot is one line that names a copy of the console, and nothing else stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    name = f"never-{os.getpid()}"
    options = Options(binds=(Bind(tmp_path / "missing", "/var/x"),))
    with pytest.raises(GuestError, match=rf"boot guest {name}: ended with 1: .*missing"):
        Guest.create(bare_assets, name, options)
    (console,) = tmp_path.glob("*.log")
    assert "missing" in console.read_text()
    assert traces(name) == {}


def test_interrupted_program_leaves_nothing(bare_assets: Assets) -> None:
    """Ctrl-C in a program that holds a guest removes the guest."""
    name = f"cut-short-{os.getpid()}"
    program = (
        # A test run started in the background ignores SIGINT, and so would its children.
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from core_ops_verify.guest.api import Guest\n"
        "from core_ops_verify.guest.assets import prepare_without_agent\n"
        "with Guest.create(prepare_without_agent(), sys.argv[1]): print('up', flush=True); time.sleep(60)"
    )
    assert bare_assets.base.exists()
    with subprocess.Popen(
        [sys.executable, "-c", program, name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert traces(name)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
    assert traces(name) == {}


def test_command_line_drives_a_guest_across_processes(
    bare_assets: Assets, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each verb finds the guest by its name, results are JSON on request, errors are one line."""
    assert bare_assets.payload is None
    name = f"cli-{os.getpid()}"
    (tmp_path / "note").write_text("hello")
    try:
        assert cli.main(["guest", "up", name, "--no-agent", "--json"]) == 0
        assert json.loads(capfd.readouterr().out)["name"] == name
        assert cli.main(["guest", "copy", str(tmp_path / "note"), f"{name}:/var/note"]) == 0
        command = [sys.executable, "-m", "core_ops_verify", "guest", "exec", name, "--"]
        done = subprocess.run(
            [*command, "sh", "-c", "cat /var/note; exit 7"], check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout) == (7, "hello")
        assert cli.main(["guest", "kill", name]) == 0
        assert cli.main(["guest", "list", "--json"]) == 0
        assert {"name": name, "running": False} in json.loads(capfd.readouterr().out)["guests"]
        assert cli.main(["guest", "boot", name]) == 0
    finally:
        assert cli.main(["guest", "down", name]) == 0
    capfd.readouterr()
    assert cli.main(["guest", "boot", name]) == 1
    assert capfd.readouterr().err.count("\n") == 1
