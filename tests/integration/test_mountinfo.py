"""What is mounted and what stands at a mount point, from the kernel that is there."""

import os
from pathlib import Path

from core_ops.host import mountinfo
from core_ops.reconcile.model import MountPoint
from core_ops.reconcile.mounted import Mounted, parse

_LINES = rb"""21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:5 / /dev rw - devtmpfs devtmpfs rw,size=1k
30 21 0:66 / /srv/a\040b\134c\011d rw,relatime shared:157 master:2 propagate_from:3 - fuse.sshfs u@h:/ rw
31 21 0:67 / /srv/\303\251t\303\251 rw - autofs systemd-1 rw
nonsense
32 21 0:68 / /srv/cut
"""


def test_mounts_are_read_with_their_escapes() -> None:
    """Optional fields may be none or many, octal escapes are undone, and a line that is none is left out."""
    assert parse(_LINES) == (
        Mounted("/", "ext4"),
        Mounted("/dev", "devtmpfs"),
        Mounted("/srv/a b\\c\td", "fuse.sshfs"),
        Mounted("/srv/été", "autofs"),
    )


def test_any_bytes_are_a_list_of_mounts() -> None:
    """Whatever stands there, reading it ends without an error."""
    for content in (b"", b"\n", b" - ", b"1 2 3 4 5 6 - ", b"a b c d \xff\\400 f - \xff", _LINES[:-30]):
        assert all(isinstance(m.path, str) for m in parse(content))


def test_what_the_kernel_has_mounted_is_mounted() -> None:
    """Every machine has /proc, and /proc/self is no mount point."""
    (proc,) = mountinfo.observe(("/proc",))
    assert proc == MountPoint("/proc", mounted=True)
    assert mountinfo.observe(()) == ()


def test_what_stands_at_a_mount_point_is_said(tmp_path: Path) -> None:
    """Directories, empty or not, files, links, others, and the first thing on the way that is no directory."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("x")
    (tmp_path / "link").symlink_to("full")
    os.mkfifo(tmp_path / "fifo")
    names = ("empty", "full", "full/x", "full/x/y", "link", "link/x", "fifo", "none/at/all")
    found = mountinfo.observe(tuple(f"{tmp_path}/{name}" for name in names))
    said = [(p.path.removeprefix(f"{tmp_path}/"), p.kind, p.at.removeprefix(f"{tmp_path}/"), p.empty) for p in found]
    assert said == [
        ("empty", "directory", "empty", True),
        ("full", "directory", "full", False),
        ("full/x", "file", "full/x", True),
        ("full/x/y", "file", "full/x", True),
        ("link", "link", "link", True),
        ("link/x", "link", "link", True),
        ("fifo", "other", "fifo", True),
        ("none/at/all", "absent", "none", True),
    ]
    assert not any(p.mounted for p in found)
