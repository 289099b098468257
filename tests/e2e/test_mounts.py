"""Mounts and automounts, on real systemd and a real kernel."""

import pytest

from core_ops.reconcile.graph import build
from core_ops_verify.guest.api import Guest
from e2e.site import UNITS, Site
from trees import rendered

pytestmark = pytest.mark.e2e

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
USER = f"[Unit]\nRequiresMountsFor={{path}}\n[Service]\nExecStart=sleep inf\n{INSTALL}"
HOST = "hosts/guest/host.yaml"
DATA = r"services/data/var-srv-my\x2ddata.mount"
MOUNT = r"var-srv-my\x2ddata.mount"
WHERE = "/var/srv/my-data"


def bind(what: str, more: str = "") -> str:
    """A mount that shows a directory of the guest at another place."""
    return f"[Mount]\nWhat={what}\nWhere={WHERE}\nOptions=bind\n{INSTALL}{more}"


BOUND = {
    HOST: "host: guest\nservices: [data, app]\n",
    DATA: bind("/var/lib/one"),
    "services/app/app.service": USER.format(path=f"{WHERE}/www"),
    "services/app/other.service": f"[Service]\nExecStart=sleep inf\n{INSTALL}",
}


def begin(site: Site, files: dict[str, str]) -> None:
    """Track the repository with these files and converge."""
    for name in ("one", "two"):
        site.guest.write_text(f"/var/lib/{name}/name", name)
    site.commit(files)
    site.init()
    site.agent()


def state(guest: Guest, unit: str) -> str:
    """What systemd says of a unit."""
    return guest.show(unit, "ActiveState")["ActiveState"]


def mounted(guest: Guest, path: str, *types: str) -> bool:
    """Whether the kernel has a file system at a path, of one of the types if any are given."""
    rows = (line.split(" ") for line in guest.check("cat", "/proc/1/mountinfo").splitlines())
    return any(row[4] == path and (not types or row[row.index("-") + 1] in types) for row in rows)


def order(guest: Guest, *messages: str) -> bool:
    """Whether systemd said these, each for the last time, in this order."""
    lines = guest.check("journalctl", "-b", "-o", "cat", "_PID=1").splitlines()
    places = [max(n for n, line in enumerate(lines) if line.startswith(message)) for message in messages]
    return places == sorted(places)


def test_a_mount_comes_before_its_users_and_goes_after_them(site: Site) -> None:
    """The mount point is made; a change restarts the user and nobody else; a removal stops the user first."""
    begin(site, BOUND)
    assert site.guest.check("cat", f"{WHERE}/name") == "one"
    assert order(site.guest, f"Mounted {MOUNT}", "Started app.service")
    assert "In sync" in site.core_ops("plan").stdout
    before = site.invocations("app", "other")

    site.commit({DATA: bind("/var/lib/two")})
    plan = site.core_ops("plan").stdout
    assert f"stop {MOUNT}, enable {MOUNT}, restart {MOUNT}" in plan
    assert "stop app.service, restart app.service" in plan.replace("enable app.service, ", "")
    site.agent()
    assert site.guest.check("cat", f"{WHERE}/name") == "two"
    after = site.invocations("app", "other")
    assert {n for n in before if before[n] != after[n]} == {"app"}

    site.commit({HOST: "host: guest\nservices: [app]\n"})
    site.agent()
    assert not mounted(site.guest, WHERE)
    assert order(site.guest, "Stopped app.service", f"Unmounting {MOUNT}", "Started app.service")
    assert state(site.guest, "app.service") == "active"
    assert site.invocations("other")["other"] == after["other"]
    assert not site.guest.exec("test", "-e", f"/etc/systemd/system/{MOUNT}").ok


def test_a_mount_is_mounted_again_after_somebody_unmounted_it(site: Site) -> None:
    """It is drift: planned with its cause, repaired, and nobody else is disturbed."""
    begin(site, BOUND)
    before = site.invocations("app", "other")
    site.guest.check("umount", WHERE)
    assert f"{MOUNT} is inactive" in site.core_ops("plan").stdout
    site.agent()
    assert site.guest.check("cat", f"{WHERE}/name") == "one"
    assert site.invocations("app", "other") == before


def test_a_busy_mount_is_a_failure_and_heals(site: Site) -> None:
    """Nothing is forced: the old definition, the mount and its users are back, and the run after the next succeeds."""
    begin(site, BOUND)
    site.guest.check("systemd-run", "--unit=hog", "--property=Type=exec", "sh", "-c", f"cd {WHERE} && exec sleep inf")
    site.guest.wait_until("sh", "-c", f"ls -l /proc/*/cwd 2>/dev/null | grep -q {WHERE}")
    text = site.guest.read_text(f"/etc/systemd/system/{MOUNT}")
    other = site.invocations("other")

    site.commit({DATA: bind("/var/lib/two"), "services/app/config/new.conf": "x\n"})
    for _ in range(2):
        failed = site.core_ops("apply")
        assert failed.status == 1
        assert f"mount/{MOUNT.removesuffix('.mount')} failed during Applying" in failed.stdout
        assert f"fuser -vm {WHERE}" in failed.stdout
        assert failed.stdout.count("failed during") == 1
        assert site.guest.read_text(f"/etc/systemd/system/{MOUNT}") == text
        assert [state(site.guest, u) for u in (MOUNT, "app.service", "hog.service")] == ["active"] * 3
        assert site.guest.check("cat", f"{WHERE}/name") == "one"
        assert not site.guest.exec("test", "-e", "/etc/app/new.conf").ok

    site.guest.check("systemctl", "stop", "hog")
    site.agent()
    assert site.guest.check("cat", f"{WHERE}/name") == "two"
    assert state(site.guest, "app.service") == "active"
    assert site.invocations("other") == other


def test_a_busy_mount_is_not_removed(site: Site) -> None:
    """Its file stays until it can be unmounted, and who needed it is up meanwhile."""
    begin(site, BOUND)
    site.guest.check("systemd-run", "--unit=hog", "--property=Type=exec", "sh", "-c", f"cd {WHERE} && exec sleep inf")
    site.guest.wait_until("sh", "-c", f"ls -l /proc/*/cwd 2>/dev/null | grep -q {WHERE}")
    site.commit({HOST: "host: guest\nservices: [app]\n"})
    for _ in range(2):
        assert "fuser" in site.core_ops("apply").stdout
        assert mounted(site.guest, WHERE)
        assert [state(site.guest, u) for u in (MOUNT, "app.service")] == ["active"] * 2
    site.guest.check("systemctl", "stop", "hog")
    site.agent()
    assert not mounted(site.guest, WHERE)
    assert state(site.guest, "app.service") == "active"


def test_a_missing_mount_point_is_asked_for_where_the_author_wants_it(site: Site) -> None:
    """With CreateMountpoint=false nothing at all is done until the directory is there."""
    own = "[X-CoreOps]\nCreateMountpoint=false\n"
    site.commit({**BOUND, DATA: bind("/var/lib/one", own)})
    site.guest.write_text("/var/lib/one/name", "one")
    site.init()
    before = site.guest.check("ls", "-R", "/etc/systemd/system")
    failed = site.core_ops("apply")
    assert failed.status == 1
    assert f"{WHERE} is missing, and CreateMountpoint= says no" in failed.stdout + failed.stderr
    assert not site.guest.exec("test", "-e", WHERE).ok
    assert site.guest.check("ls", "-R", "/etc/systemd/system") == before

    site.guest.check("mkdir", "-p", WHERE)
    site.agent()
    assert site.guest.check("cat", f"{WHERE}/name") == "one"


def test_what_stands_in_the_way_of_a_mount_is_named(site: Site) -> None:
    """A symbolic link, a file and somebody else's mount block the plan; what would be hidden is said."""
    one = {HOST: "host: guest\nservices: [data]\n"}
    site.commit(
        {**one, "services/data/srv-x.mount": "[Mount]\nWhat=/var/lib/one\nWhere=/srv/x\nOptions=bind\n" + INSTALL}
    )
    site.init()
    assert "/srv is a symbolic link" in site.core_ops("plan").stdout

    site.commit(
        {"services/data/srv-x.mount": None, DATA: bind("/var/lib/one").replace("Options=bind\n", "Type=tmpfs\n")}
    )
    site.guest.write_text(WHERE, "a file")
    assert f"{WHERE} is no directory" in site.core_ops("plan").stdout

    site.guest.check("rm", WHERE)
    site.guest.check("mkdir", "-p", WHERE)
    site.guest.check("mount", "-t", "tmpfs", "none", WHERE)
    assert f"something else is mounted at {WHERE}" in site.core_ops("plan").stdout
    assert site.core_ops("apply").status == 1
    assert mounted(site.guest, WHERE, "tmpfs")

    site.guest.check("umount", WHERE)
    site.guest.write_text(f"{WHERE}/old", "old")
    assert f"what lies in {WHERE} now is hidden while it is mounted" in site.core_ops("plan").stdout
    site.agent()
    assert not site.guest.exec("test", "-e", f"{WHERE}/old").ok


LOOP = f"[Mount]\nWhat=/var/lib/data.img\nWhere=/var/srv/disk\nType=ext4\nOptions=loop,noatime\n{INSTALL}"
CONTAINER = """\
[Container]
Image=localhost/whoami:1
Pull=never
Network=none
Volume=/var/srv/disk/www:/www:ro
[Service]
Restart=always
[Install]
WantedBy=multi-user.target
"""


def with_disk(site: Site) -> None:
    """Give the guest an ext4 image, and the loop devices that a container manager leaves out."""
    nodes = "mknod -m 660 /dev/loop-control c 10 237; for n in $(seq 0 31); do mknod -m 660 /dev/loop$n b 7 $n; done"
    site.guest.check("sh", "-c", nodes)
    site.guest.write_text("/root/disk/www/index.html", "from the disk")
    site.guest.check("mkdir", "-p", "/root/disk/inner")
    site.guest.check("mke2fs", "-q", "-t", "ext4", "-d", "/root/disk", "/var/lib/data.img", "8M")


def test_a_container_serves_from_a_disk_that_is_mounted_for_it(site: Site) -> None:
    """A container's Volume= below a loop mount waits for it, and restarts when its options change; mounts may nest."""
    with_disk(site)
    inner = f"[Mount]\nWhat=/var/lib/one\nWhere=/var/srv/disk/inner\nOptions=bind\n{INSTALL}[X-CoreOps]\nCreateMountpoint=no\n"
    files = {
        HOST: "host: guest\nservices: [disk, web]\n",
        "services/disk/var-srv-disk.mount": LOOP,
        "services/disk/var-srv-disk-inner.mount": inner,
        "services/web/web.container": CONTAINER,
    }
    begin(site, files)
    assert mounted(site.guest, "/var/srv/disk", "ext4")
    assert site.guest.check("cat", "/var/srv/disk/inner/name") == "one"
    assert site.page("web") == "from the disk"
    before = site.invocations("web")

    site.commit({"services/disk/var-srv-disk.mount": LOOP.replace("noatime", "relatime,ro")})
    site.agent()
    assert " ro,relatime " in site.guest.check("grep", "-m1", "/var/srv/disk ", "/proc/1/mountinfo")
    assert site.guest.check("cat", "/var/srv/disk/inner/name") == "one"
    assert site.invocations("web") != before
    assert site.page("web") == "from the disk"

    site.guest.reboot()
    with_nodes = site.guest.exec("test", "-e", "/dev/loop0").ok
    assert not with_nodes  # a guest's /dev is new at every boot, so the disk could not be mounted
    site.commit({HOST: "host: guest\nservices: []\n"})
    site.agent()
    assert not mounted(site.guest, "/var/srv/disk")


NET = (
    "[Mount]\nWhat=root@127.0.0.1:/root/{name}\nWhere=/var/srv/net\nType=fuse.sshfs\nOptions=StrictHostKeyChecking=no\n"
)
AUTO = f"[Automount]\nWhere=/var/srv/net\n{INSTALL}"


def with_server(site: Site) -> None:
    """Let root in over SSH on the guest's loopback, and give it two directories to export."""
    guest = site.guest
    guest.check("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
    guest.check("cp", "/root/.ssh/id_ed25519.pub", "/root/.ssh/authorized_keys")
    guest.check("mkdir", "-p", "/run/sshd")
    guest.check("systemd-run", "--unit=server", "/usr/sbin/sshd", "-D", "-o", "ListenAddress=127.0.0.1")
    guest.wait_until("ssh", "-o", "StrictHostKeyChecking=no", "root@127.0.0.1", "true")
    for name in ("a", "b"):
        guest.write_text(f"/root/{name}/name", name)


def with_automount(site: Site) -> None:
    """Have the guest initialised from a repository with a mount from that server, and its automount."""
    with_server(site)
    files = {
        HOST: "host: guest\nservices: [net]\n",
        "services/net/var-srv-net.mount": NET.format(name="a"),
        "services/net/var-srv-net.automount": AUTO,
    }
    site.commit(files)
    site.init()


def test_an_automount_mounts_when_somebody_looks(site: Site) -> None:
    """It is started instead of its mount; neither planning nor verifying triggers it; its mount changes under it."""
    with_automount(site)
    assert "var-srv-net.automount starts it when it is time" in site.core_ops("plan").stdout
    site.agent()
    assert "In sync" in site.core_ops("plan").stdout
    assert [state(site.guest, f"var-srv-net.{k}") for k in ("automount", "mount")] == ["active", "inactive"]
    assert mounted(site.guest, "/var/srv/net", "autofs")
    assert site.guest.check("cat", "/var/srv/net/name") == "a"
    assert mounted(site.guest, "/var/srv/net", "fuse.sshfs")
    assert "In sync" in site.core_ops("plan").stdout

    site.commit({"services/net/var-srv-net.mount": NET.format(name="b")})
    site.agent()
    assert site.guest.check("cat", "/var/srv/net/name") == "b"

    site.guest.check("systemctl", "stop", "var-srv-net.automount")
    site.agent()
    assert site.guest.check("cat", "/var/srv/net/name") == "b"

    site.commit({HOST: "host: guest\nservices: []\n"})
    site.agent()
    assert not mounted(site.guest, "/var/srv/net")


def test_an_automount_in_use_is_not_torn_away(site: Site) -> None:
    """Where systemd would detach a busy file system with its automount, the mount goes first and its failure is seen."""
    with_automount(site)
    site.agent()
    hog = "cd /var/srv/net && exec sleep inf"
    site.guest.check("systemd-run", "--unit=hog", "--property=Type=exec", "sh", "-c", hog)
    site.guest.wait_until("sh", "-c", "ls -l /proc/*/cwd 2>/dev/null | grep -q /var/srv/net")
    site.commit({HOST: "host: guest\nservices: []\n"})
    assert "fuser -vm /var/srv/net" in site.core_ops("apply").stdout
    assert mounted(site.guest, "/var/srv/net", "fuse.sshfs")
    assert [state(site.guest, f"var-srv-net.{k}") for k in ("automount", "mount")] == ["active", "active"]
    site.guest.check("systemctl", "stop", "hog")
    site.agent()
    assert not mounted(site.guest, "/var/srv/net")


EDGES = {
    r"var-srv-my\x2ddata.mount": "[Mount]\nWhat=/dev/x\nWhere=/var/srv/my-data\n",
    "var-srv.mount": "[Mount]\nWhat=/dev/y\nWhere=/var/srv\n",
    "home-me.mount": "[Mount]\nWhat=/var/srv/my-data/me\nWhere=/home/me\nOptions=bind\n",
    "home-loop.mount": "[Mount]\nWhat=/var/srv/x.img\nWhere=/home/loop\nOptions=noatime,loop\n",
    "home-net.mount": "[Mount]\nWhat=/var/srv/x\nWhere=/home/net\nType=fuse.sshfs\n",
    "home-net.automount": "[Automount]\nWhere=/home/net\n",
    "var-srv-net.mount": "[Mount]\nWhat=h:/x\nWhere=/var/srv/net\nType=nfs\n",
    "var-srv-net.automount": "[Automount]\nWhere=/var/srv/net\n",
    "home-other.mount": "[Mount]\nWhat=/var/srv/x\nWhere=/home/other\nOptions=_netdev\n",
    "var-lib-state.mount": "[Mount]\nWhat=/dev/z\nWhere=/var/lib/state\n",
    "var-cache-c.mount": "[Mount]\nWhat=/dev/z\nWhere=/var/cache/c\n",
    "var-log-l.mount": "[Mount]\nWhat=/dev/z\nWhere=/var/log/l\n",
    "requires.service": "[Unit]\nRequiresMountsFor=/var/srv/my-data/x /home/me\n{exec}",
    "wants.service": "[Unit]\nWantsMountsFor=/var/srv/my-data/x\n{exec}",
    "beside.service": "[Unit]\nRequiresMountsFor=/home/mess /home\n{exec}",
    "specifier.service": "[Unit]\nRequiresMountsFor=%S/state/x %C/c %L/l %h/none %V/none\n{exec}",
    "working.service": "{exec}WorkingDirectory=/var/srv/my-data\n",
    "working-maybe.service": "{exec}WorkingDirectory=-/var/srv/my-data\n",
    "working-home.service": "{exec}WorkingDirectory=~\n",
    "root.service": "{exec}RootDirectory=/var/srv/my-data\n",
    "image.service": "{exec}RootImage=/home/me/image\n",
    "state.service": "{exec}StateDirectory=other state/a\n",
    "state-link.service": "{exec}StateDirectory=state/a:b\n",
    "cache.service": "{exec}CacheDirectory=c\n",
    "logs.service": "{exec}LogsDirectory=l/deep\n",
    "environment.service": "{exec}EnvironmentFile=/var/srv/my-data/env\nReadWritePaths=/var/srv/my-data\n",
    "listen.socket": "[Socket]\nListenStream=/var/srv/my-data/sock\nListenStream=80\n",
    "listen.service": "{exec}",
    "fifo.socket": "[Socket]\nListenFIFO=/home/me/fifo\nService=listen.service\n",
    "watch.path": "[Path]\nPathExists=/var/srv/my-data/x\nUnit=listen.service\n",
    "changed.path": "[Path]\nPathChanged=/home/me/y\nUnit=listen.service\n",
}


def test_systemd_adds_the_dependencies_that_are_predicted(site: Site) -> None:
    """Which units hang on which mounts is what systemd makes of the same files, setting by setting."""
    files = {name: text.format(exec="[Service]\nExecStart=sleep inf\n") for name, text in EDGES.items()}
    for name, text in files.items():
        site.guest.write_text(f"/etc/systemd/system/{name}", text)
    site.guest.check("systemctl", "daemon-reload")
    mounts = {name for name in files if name.endswith(".mount")}
    nodes = build(rendered({f"services/s/{name}": text for name, text in files.items()})).nodes
    edges = 0
    for name in files:
        found = site.guest.show(name, "Requires", "Wants", "After", "BindsTo")
        said = {key: mounts.intersection(unquoted(value)) for key, value in found.items()}
        ours = nodes[name].relations
        assert mounts.intersection(ours.strong) == said["Requires"] | said["BindsTo"], name
        assert mounts.intersection(ours.wants) == said["Requires"] | said["BindsTo"] | said["Wants"], name
        assert mounts.intersection(ours.after) == said["After"], name
        edges += len(said["After"])
    assert edges >= 30


def unquoted(names: str) -> list[str]:
    """The names of a list in which systemctl quotes those with a backslash."""
    return names.replace("\\\\", "\\").replace('"', "").split()


def test_the_shipped_unit_sees_mounts_as_systemd_does(site: Site) -> None:
    """Its service hides home directories from itself, and still finds out what is mounted in one."""
    unit = (
        f"[Mount]\nWhat=/var/lib/one\nWhere=/var/home/data\nOptions=bind\n{INSTALL}[X-CoreOps]\nCreateMountpoint=no\n"
    )
    site.guest.write_text("/var/lib/one/name", "one")
    site.guest.check("mkdir", "-p", "/var/home/data")
    site.commit({HOST: "host: guest\nservices: [data]\n", "services/data/var-home-data.mount": unit})
    site.init()
    site.guest.write_text("/etc/systemd/system/core-ops.service", (UNITS / "core-ops.service").read_text())
    site.guest.check("systemctl", "daemon-reload")
    for _ in range(2):
        site.guest.check("systemctl", "start", "core-ops.service")
        assert site.guest.check("cat", "/var/home/data/name") == "one"
        site.guest.check("umount", "/var/home/data")


def test_a_file_is_mounted_over_a_file(site: Site) -> None:
    """A missing mount point becomes a file where what is mounted is one, and one that is there is no obstacle."""
    unit = f"[Mount]\nWhat=/var/lib/one/name\nWhere=/var/srv/name\nOptions=bind\n{INSTALL}"
    begin(site, {HOST: "host: guest\nservices: [file]\n", "services/file/var-srv-name.mount": unit})
    assert site.guest.check("cat", "/var/srv/name") == "one"
    site.guest.check("umount", "/var/srv/name")
    site.agent()
    assert site.guest.check("cat", "/var/srv/name") == "one"


def test_a_mount_that_fails_is_named_and_the_rest_goes_on(site: Site) -> None:
    """The run says which of several mounts failed, which systemctl does not, and who needs it."""
    bad = f"[Mount]\nWhat=/var/lib/one/name\nWhere=/var/srv/bad\nType=ext4\n{INSTALL}"
    files = {
        **BOUND,
        "services/data/var-srv-bad.mount": bad,
        "services/app/needs.service": USER.format(path="/var/srv/bad"),
    }
    site.guest.write_text("/var/lib/one/name", "one")
    site.commit(files)
    site.init()
    failed = site.core_ops("apply")
    assert failed.status == 1
    said = [line for line in failed.stdout.splitlines() if line.startswith("✗")]
    assert said == ["✗ mount/var-srv-bad failed during Applying"]
    assert "1 blocked" in failed.stdout
    assert [state(site.guest, u) for u in (MOUNT, "app.service", "other.service")] == ["active"] * 3
