"""The /etc and /var every guest starts with: shaped like Fedora CoreOS's, with images already in storage.

Made once from a base tree: shaped by hand, then booted so that the guest's own podman imports the images and
builds its pause image. What belongs to that one boot is removed again.
"""

import shutil
from pathlib import Path

from core_ops_verify.errors import BuildError
from core_ops_verify.guest import seeds
from core_ops_verify.guest.box import Box
from core_ops_verify.guest.cache import built, digest
from core_ops_verify.guest.enter import run_inside
from core_ops_verify.guest.progress import Progress
from core_ops_verify.guest.tree import copy, lay_out

MASKED = (
    # Timers and jobs of Debian that would run in the middle of a test.
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer"),
    *("e2scrub_reap.service", "fstrim.timer", "systemd-tmpfiles-clean.timer", "podman-auto-update.timer"),
    # Work for a first boot or for hardware: a guest has neither.
    *("ldconfig.service", "systemd-firstboot.service", "systemd-update-done.service", "getty.target"),
    *("console-getty.service", "systemd-journal-catalog-update.service", "systemd-hwdb-update.service"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "dev-hugepages.mount"),
    # Sockets and daemons nothing here uses, or not by itself.
    "docker-registry.service",
    *("ssh.service", "ssh.socket", "netavark-dhcp-proxy.socket", "netavark-dhcp-proxy.service"),
)
_CONTAINERS_CONF = """\
# The machine below may delegate no pids controller and forbid raising resource limits.
[containers]
pids_limit = 0
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
"""
_JOURNALD_CONF = """\
# Kept on disk like on Fedora CoreOS, but small enough for a guest with a small /var.
[Journal]
Storage=persistent
SystemMaxUse=16M
SystemMaxFileSize=4M
"""
_ACCOUNT = (
    ("passwd", "core:x:1000:1000:core:/var/home/core:/bin/bash"),
    ("group", "core:x:1000:"),
    ("shadow", "core:*:19000:0:99999:7:::"),
    ("gshadow", "core:!::"),
    ("subuid", "core:100000:65536"),
    ("subgid", "core:100000:65536"),
)
_NOT_IN_ETC = (
    *("machine-id", "hostname", "resolv.conf"),  # each guest's own
    *("apt", "dpkg", "init.d", "rc?.d", "rc.d", "runit", "sv", "cron.*"),  # Debian's, and nothing reads them
    # One link per authority and another per hash: half of /etc's files. The bundle beside them stays.
    *("ssl/certs/*.pem", "ssl/certs/*.[0-9]"),
)
_OF_DEBIAN = ("cache", "lib/dpkg", "lib/apt", "lib/pam", "lib/ucf", "backups", "mail")
"""A host without a package manager has none of it, and a thousand small files slow down every new guest."""

_BOUND_TO_ONE_BOOT = ("log/journal", "lib/systemd/random-seed", "tmp")


def build_template(cache: Path, base: Path, progress: Progress) -> Path:
    """Return the directory with a template's `etc` and `var`, built when it is not cached.

    Raises:
        BuildError: The images could not be imported.
        GuestError: The template did not boot.
    """
    # What the steps do decides the result as much as what they are given.
    steps = [Path(module).read_text(encoding="utf-8") for module in (__file__, seeds.__file__)]
    return built(cache / f"template-{digest(base.name, steps)}", lambda work: _make(base / "tree", work, progress))


def _make(base: Path, work: Path, progress: Progress) -> None:
    progress("shaping /etc and /var", 0.0)
    shaped = work / "shaped"
    shaped.mkdir()
    _shape_etc(base, shaped / "etc")
    _shape_var(base, shaped / "var")
    progress("importing container images", 0.2)
    box = Box(name=f"seed-{work.name[-8:].strip('-_').lower()}", directory=work / "box", usr=base / "usr")
    box.directory.mkdir()
    lay_out(box.tree, shaped, "seed", var_image=None)
    try:
        box.boot()
        _seed(box, progress)
    finally:
        box.kill()
    (shaped / "etc").rename(work / "etc")
    _forget_boot(box.tree / "var")
    (box.tree / "var").rename(work / "var")
    shutil.rmtree(shaped)
    shutil.rmtree(box.directory)


def _shape_etc(base: Path, etc: Path) -> None:
    copy(base / "etc", etc)
    for pattern in _NOT_IN_ETC:
        for path in etc.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    _write(etc / "fstab", "")
    _write(etc / "resolv.conf", "")
    _write(etc / ".updated", "")
    _write(etc / "containers/containers.conf.d/50-guest.conf", _CONTAINERS_CONF)
    _write(etc / "systemd/journald.conf.d/50-guest.conf", _JOURNALD_CONF)
    for unit in MASKED:
        link = etc / "systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    (etc / "systemd/system/default.target").symlink_to("/usr/lib/systemd/system/multi-user.target")
    for name, line in _ACCOUNT:
        with (etc / name).open("a") as file:
            file.write(f"{line}\n")


def _shape_var(base: Path, var: Path) -> None:
    copy(base / "var", var)
    for name, source in (("home", "home"), ("roothome", "root"), ("opt", "opt"), ("srv", "srv"), ("mnt", "mnt")):
        if not (var / name).exists():
            copy(base / source, var / name)
    for name in _OF_DEBIAN:
        shutil.rmtree(var / name, ignore_errors=True)
    for name in ("cache", "log/journal", "usrlocal/bin", "usrlocal/sbin", "usrlocal/etc", "usrlocal/share"):
        (var / name).mkdir(parents=True, exist_ok=True)
    _write(var / ".updated", "")
    home = var / "home/core"
    home.mkdir(mode=0o700)
    shutil.chown(home, 1000, 1000)
    _write(var / "lib/systemd/linger/core", "")


def _seed(box: Box, progress: Progress) -> None:
    busybox = box.usr / "bin/busybox"
    for number, image in enumerate(seeds.IMAGES):
        changes = (word for change in image.changes() for word in ("--change", change))
        _podman(box, "import", "--quiet", *changes, "-", image.reference, stdin=seeds.archive(image, busybox))
        progress("importing container images", 0.4 + 0.4 * (number + 1) / len(seeds.IMAGES))
    # The first pod makes podman build its pause image; no test should wait for that.
    progress("making the pause image", 0.9)
    _podman(box, "pod", "create", "--name", "seed")
    _podman(box, "pod", "start", "seed")
    _podman(box, "pod", "rm", "--force", "--time=0", "seed")


def _podman(box: Box, *argv: str, stdin: bytes = b"") -> None:
    done = run_inside(box, ("podman", *argv), stdin=stdin)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or [""]
        raise BuildError(f"seed the template: podman {argv[0]} ended with {done.returncode}: {said[0]}")


def _forget_boot(var: Path) -> None:
    for name in _BOUND_TO_ONE_BOOT:
        path = var / name
        if path.is_dir():
            for child in path.iterdir():
                if child.is_dir() and not child.is_symlink():
                    shutil.rmtree(child)
                else:
                    child.unlink()
        else:
            path.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
