"""What a check says of units that systemd refuses is what systemd says itself."""

import subprocess
from pathlib import Path

import pytest

from core_ops.reconcile.check import check
from core_ops.reconcile.kinds import dropin_targets
from trees import tree

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
ONE = "ExecStart=/bin/true\n"


def assert_both_say(tmp_path: Path, suffix: str, text: str, words: tuple[str, str], *, said: bool) -> None:
    """Hold systemd's word about a unit, and our code for the same, to what is expected of both."""
    word, code = words
    files = {"t.service": f"[Service]\n{ONE}", f"t.{suffix}": f"{text}{INSTALL}"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / f"t.{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (word in done.stderr) == said, done.stderr
    checked = check(tree({f"services/web/{name}": content for name, content in files.items()}))
    found = [f.path for f in checked.findings if f.code == code]
    assert found == ([f"services/web/t.{suffix}"] if said else [])


@pytest.mark.parametrize(
    ("suffix", "text", "refused"),
    [
        ("service", f"[Service]\nType=oneshot\nRestart=always\n{ONE}", True),
        ("service", f"[Service]\nType=oneshot\nRestart=on-success\n{ONE}", True),
        ("service", f"[Service]\nType=oneshot\nRestart=on-failure\n{ONE}", False),
        ("service", f"[Service]\nRestart=always\n{ONE}", False),
        ("service", f"[Service]\n{ONE}{ONE}", True),
        ("service", f"[Service]\n{ONE}ExecStart=\n{ONE}", False),
        ("service", f"[Service]\nType=oneshot\n{ONE}{ONE}", False),
        ("service", "[Service]\nRestart=no\n", True),
        ("service", "[Service]\nExecStop=/bin/true\n", True),
        ("service", "[Service]\nType=oneshot\nExecStop=/bin/true\n", True),
        ("service", "[Service]\nRemainAfterExit=yes\nExecStop=/bin/true\n", False),
        ("service", "[Service]\nRemainAfterExit=yes\n", True),
        ("service", "[Unit]\nSuccessAction=reboot\n[Service]\nType=oneshot\nRemainAfterExit=yes\n", False),
        ("service", "[Unit]\nSuccessAction=none\n[Service]\nType=oneshot\n", True),
        ("service", f"[Service]\nType=dbus\n{ONE}", True),
        ("service", f"[Service]\nType=dbus\nBusName=org.x\n{ONE}", False),
        ("timer", "[Timer]\nPersistent=true\n", True),
        ("timer", "[Timer]\nOnCalendar=daily\nOnCalendar=\n", True),
        ("timer", "[Timer]\nOnCalendar=daily\nOnBootSec=\n", True),
        ("timer", "[Timer]\nOnBootSec=\nOnCalendar=daily\n", False),
        ("timer", "[Timer]\nOnBootSec=1\nOnClockChange=no\n", False),
        ("socket", "[Socket]\nListenStream=7777\nListenFIFO=\n", True),
        ("path", "[Path]\nPathExists=/x\nDirectoryNotEmpty=\n", True),
        ("timer", "[Timer]\nOnCalendar=daily\n", False),
        ("timer", "[Timer]\nOnUnitInactiveSec=1h\n", False),
        ("timer", "[Timer]\nOnClockChange=yes\n", False),
        ("timer", "[Timer]\nOnClockChange=no\n", True),
        ("socket", "[Socket]\nBacklog=1\n", True),
        ("socket", "[Socket]\nListenStream=7777\n", False),
        ("socket", "[Socket]\nListenFIFO=/run/x\n", False),
        ("path", "[Path]\nMakeDirectory=yes\n", True),
        ("path", "[Path]\nDirectoryNotEmpty=/run/x\n", False),
        ("path", "[Path]\nPathExistsGlob=/run/x*\n", False),
    ],
)
def test_a_unit_is_said_to_be_refused_exactly_when_systemd_refuses_it(
    tmp_path: Path, suffix: str, text: str, *, refused: bool
) -> None:
    """`systemd-analyze verify` is the judge."""
    assert_both_say(tmp_path, suffix, text, ("Refusing", "RefusedBySystemd"), said=refused)


@pytest.mark.parametrize("suffix", ["mount", "automount", "path", "slice", "target"])
def test_systemd_reads_drop_ins_of_shorter_names_for_every_kind(tmp_path: Path, suffix: str) -> None:
    """What it says of a line in one shows that it was read, and that of a name that only begins alike was not."""
    assert f"a-.{suffix}" in dropin_targets(f"a-b.{suffix}")
    assert f"ab-.{suffix}" not in dropin_targets(f"a-b.{suffix}")
    for prefix in ("a-", "ab-"):
        (tmp_path / f"{prefix}.{suffix}.d").mkdir()
        (tmp_path / f"{prefix}.{suffix}.d" / "x.conf").write_text("[Unit]\nNoSuchKey=1\n")
    (tmp_path / f"a-b.{suffix}").write_text("[Unit]\nDescription=x\n")
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / f"a-b.{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert f"/a-.{suffix}.d/x.conf:2: Unknown key" in done.stderr
    assert f"/ab-.{suffix}.d/x.conf" not in done.stderr


@pytest.mark.parametrize(
    ("suffix", "text", "unknown"),
    [
        ("service", f"[Service]\n{ONE}[service]\nRestart=always\n", True),
        ("service", f"[Service]\n{ONE}[Instal]\nWantedBy=x.target\n", True),
        ("service", f"[Service]\n{ONE}[Timer]\nOnCalendar=daily\n", True),
        ("service", f"[Service]\n{ONE}[X-Notes]\nA=b\n", False),
        ("service", f"[Unit]\nX-Reads=/etc/a\n[Service]\n{ONE}", False),
        ("timer", "[Timer]\nOnCalendar=daily\n[Service]\nNice=1\n", True),
        ("socket", "[Socket]\nListenStream=7777\n", False),
        ("path", "[Path]\nPathExists=/run/x\n[Paths]\nPathExists=/run/y\n", True),
        ("slice", "[Slice]\nCPUWeight=1\n", False),
        ("slice", "[Service]\nCPUWeight=1\n", True),
        ("target", "[Unit]\nDescription=x\n", False),
        ("target", "[Target]\nX-A=b\n", False),
        ("target", "[Service]\nNice=1\n", True),
    ],
)
def test_a_section_is_unknown_exactly_when_systemd_does_not_know_it(
    tmp_path: Path, suffix: str, text: str, *, unknown: bool
) -> None:
    """`systemd-analyze verify` is the judge."""
    assert_both_say(tmp_path, suffix, text, ("Unknown section", "UnknownSection"), said=unknown)
