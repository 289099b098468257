"""What the harness reads off the machine: mirrors, control groups, places, the installer's progress."""

from pathlib import Path

import pytest

from core_ops_verify.errors import MachineError, VerifyError
from core_ops_verify.guest.cgroup import find_hierarchy
from core_ops_verify.guest.mirrors import MAIN_VARIABLE, Mirrors, find_mirrors, parse_index_targets
from core_ops_verify.guest.places import Places
from core_ops_verify.guest.progress import InstallerProgress, part

DEBIAN = """\
http://mirror.example/debian/|bookworm|Debian|Debian
http://mirror.example/debian/|bookworm-updates|Debian|Debian
http://mirror.example/debian-security/|bookworm-security|Debian|Debian-Security
"""
HYBRID = """\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
25 24 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
27 25 0:24 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw
"""
PURE = """\
24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
25 24 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate
"""


def test_mirrors_are_those_of_the_machine() -> None:
    """The archive and its security part are told apart by what they call themselves."""
    found = parse_index_targets(DEBIAN, debian_host=False)
    assert found == Mirrors("http://mirror.example/debian", "http://mirror.example/debian-security")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://mirror.example/ubuntu/|noble|Ubuntu|Ubuntu\n",
        "http://mirror.example/node/|nodistro|. nodistro|. nodistro\n",
        "cdrom://disc/|bookworm|Debian|Debian\n",
        "not a target at all\n",
    ],
)
def test_other_archives_are_no_mirror(text: str) -> None:
    """Guests are Debian: another distribution's or vendor's archive cannot build them."""
    assert parse_index_targets(text, debian_host=True) is None


def test_fresh_debian_machine_needs_no_update_first() -> None:
    """Before the first update apt knows addresses but not origins."""
    text = "http://m.example/debian/|bookworm||\nhttp://m.example/debian-security/|bookworm-security||\n"
    assert parse_index_targets(text, debian_host=True) == Mirrors(
        "http://m.example/debian", "http://m.example/debian-security"
    )
    assert parse_index_targets(text, debian_host=False) is None


def test_environment_names_the_mirror_first() -> None:
    """A person's word goes before what apt says."""
    assert find_mirrors({MAIN_VARIABLE: "http://own.example/debian/"}) == Mirrors("http://own.example/debian")


def test_machine_without_a_debian_mirror_leaves_the_choice_to_the_installer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ubuntu and Fedora name no Debian archive; mmdebstrap knows one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_mirrors({}).sources("trixie", tmp_path) == ()


def test_sources_bind_each_archive_to_the_keyring() -> None:
    """No line trusts the machine's other keys; a mirror without security updates has one line."""
    keyring = Path("/keys.gpg")
    both = Mirrors("http://m.example/debian", "http://m.example/security").sources("trixie", keyring)
    assert both == (
        "deb [signed-by=/keys.gpg] http://m.example/debian trixie main",
        "deb [signed-by=/keys.gpg] http://m.example/security trixie-security main",
    )
    assert len(Mirrors("http://m.example/debian").sources("trixie", keyring)) == 1


def test_control_groups_are_found_on_hybrid_and_pure_machines() -> None:
    """Only where systemd's place is taken by the old hierarchy is a fresh mount needed."""
    hybrid, pure = find_hierarchy(HYBRID), find_hierarchy(PURE)
    assert (str(hybrid.mount), hybrid.pure) == ("/sys/fs/cgroup/unified", False)
    assert (str(pure.mount), pure.pure) == ("/sys/fs/cgroup", True)
    with pytest.raises(MachineError, match="cgroup2"):
        find_hierarchy(HYBRID.replace("cgroup2", "cgroup"))


def test_places_follow_the_environment() -> None:
    """Each directory has its variable; empty means default."""
    places = Places.of({"CORE_OPS_VERIFY_CACHE": "/a", "CORE_OPS_VERIFY_RUN": ""})
    assert places == Places(cache=Path("/a"), run=Path("/var/lib/core-ops-verify"))


def test_installer_output_moves_a_bar_that_never_goes_back() -> None:
    """Marks and packages give a fraction that grows from 0 to below 1."""
    seen = list[tuple[str, float]]()
    reading = InstallerProgress(lambda stage, fraction: seen.append((stage, fraction)))
    lines = ["I: running apt-get update...", "I: downloading packages with apt...", "0 upgraded, 2 newly installed,"]
    lines += ["I: installing remaining packages inside the chroot...", "Unpacking a ...", "Setting up a ..."]
    lines += ["Unpacking b ...", "Setting up b ...", "Setting up b ...", "I: running --customize-hook in shell: x"]
    for line in lines:
        reading.feed(line)
    fractions = [fraction for _, fraction in seen]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < fractions[-1] < 1
    assert len({stage for stage, _ in seen}) == 4


def test_part_of_a_build_fills_its_share() -> None:
    """A quarter from 0.5 on ends at 0.75."""
    seen = list[float]()
    scaled = part(lambda _, fraction: seen.append(fraction), 0.5, 0.75)
    scaled("a", 0.0)
    scaled("b", 1.0)
    assert seen == [0.5, 0.75]


def test_error_is_one_line_with_the_next_step() -> None:
    """What, and then what to do."""
    assert str(VerifyError("do it", hint="try again")) == "do it; try again"
    assert str(VerifyError("do it")) == "do it"
