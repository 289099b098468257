"""Networks are made anew when they are to be another, with their users stopped; volumes keep their data and say so."""

import contextlib

import msgspec
import pytest

from core_ops.reconcile.compare import subjects
from core_ops.reconcile.model import Desired
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Plan
from core_ops.reconcile.record import Record
from fakes import Cut
from scenes import Scene, of
from trees import rendered
from unit.test_plan import entry, jobs

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
NETWORK, VOLUME = "services/s/net.network", "services/s/data.volume"
FILES = {
    NETWORK: "[Network]\n",
    VOLUME: "[Volume]\n",
    "services/s/web.container": f"[Container]\nImage=x:1\nNetwork=net.network\n{INSTALL}",
    "services/s/db.container": f"[Container]\nImage=x:1\nVolume=data.volume:/d\n{INSTALL}",
}
MADE_ANEW = ["stop web.service", "stop net-network.service", "remove network systemd-net", "daemon-reload"]
BROUGHT_BACK = ["restart net-network.service", "restart web.service"]


def settled(files: dict[str, str]) -> Scene:
    """A host that has what the files say."""
    scene = Scene()
    assert scene.converge(of("1", files)).outcome == "converged"
    scene.host.log.clear()
    return scene


def planned(scene: Scene, desired: Desired) -> Plan:
    """What the next run would do."""
    last = scene.store.load().last
    return plan(desired, last, scene.host.observe(subjects(desired, last)))


def test_a_network_that_is_to_be_another_is_made_anew_with_its_users_stopped() -> None:
    """Podman would keep the old one. It is removed while its old definition is on disk; nothing else is disturbed."""
    scene = settled(FILES)
    changed = of("2", {**FILES, NETWORK: "[Network]\nSubnet=10.9.0.0/24\n"})
    found = entry(planned(scene, changed), "network/net")
    assert found.action == "replace"
    assert [c.kind for c in found.causes] == ["desired_change", "replacement_required"]
    assert found.steps == (*("stop net-network.service", "remove network systemd-net", "restart net-network.service"),)
    assert scene.converge(changed).outcome == "converged"
    assert scene.host.log == [*MADE_ANEW, *BROUGHT_BACK]
    assert planned(scene, changed).in_sync


@pytest.mark.parametrize(
    ("before", "after", "removed"),
    [
        ("", "[Service]\nCPUWeight=7\n", None),
        ("", "[Unit]\nDescription=d\n", None),
        ("NetworkName=one\n", "NetworkName=two\n", "one"),
        ("NetworkName=one\n", 'NetworkName="one"\nInternal=true\n', "one"),
        ("", "NetworkName=two\n", "systemd-net"),
        ("NetworkName=%H\n", "NetworkName=%H\nInternal=true\n", None),  # only the host can tell
    ],
)
def test_what_is_removed_is_the_old_network_and_only_for_another_one(
    before: str, after: str, removed: str | None
) -> None:
    """A setting of its unit is no setting of the network."""
    scene = settled({**FILES, NETWORK: f"[Network]\n{before}"})
    scene.converge(of("2", {**FILES, NETWORK: f"[Network]\n{after}"}))
    assert [line for line in scene.host.log if "network " in line] == ([f"remove network {removed}"] if removed else [])


def test_a_network_that_was_never_ours_is_taken_as_it_is() -> None:
    """On a first apply podman may have one of that name; nobody knows who uses it."""
    scene = Scene()
    scene.host.networks["systemd-net"] = b"somebody else's"
    scene.converge(of("1", FILES))
    assert scene.host.networks == {"systemd-net": b"somebody else's"}


def test_a_network_of_which_nobody_knows_what_it_was_made_from_is_made_anew() -> None:
    """After a cut, and after a hand in its file."""
    desired = rendered(FILES)
    scene = settled(FILES)
    record = scene.store.load()
    started = tuple(s for s in record.last.started if "net" not in s.unit)
    scene.store.save(msgspec.structs.replace(record, last=msgspec.structs.replace(record.last, started=started)))
    scene.converge(desired)
    assert "remove network systemd-net" in scene.host.log

    scene = settled(FILES)
    scene.host.edit("/etc/containers/systemd/net.network", b"[Network]\nInternal=true\n")
    scene.converge(of("1", FILES))
    assert "remove network systemd-net" in scene.host.log


def test_a_network_that_somebody_else_uses_stays_and_so_does_everything() -> None:
    """The failure is the network's, no file is written, what was stopped is back, and the next run finishes."""
    scene = settled(FILES)
    scene.host.attached.add("systemd-net")
    changed = of("2", {**FILES, NETWORK: "[Network]\nSubnet=10.9.0.0/24\n"})
    files = dict(scene.host.files)
    result = scene.converge(changed)
    assert [(f.unit, f.detail) for f in result.failures] == [("net-network.service", "network is being used")]
    assert scene.host.files == files
    assert {"net-network.service", "web.service"} <= set(scene.host.running)
    scene.host.attached.clear()
    assert scene.converge(changed).outcome == "converged"
    assert scene.host.networks.keys() == {"systemd-net"}
    assert planned(scene, changed).in_sync


def test_a_network_that_leaves_the_repository_leaves_podman() -> None:
    """Unless another file makes one of that name."""
    scene = settled(FILES)
    without = {**FILES, "services/s/web.container": f"[Container]\nImage=x:1\n{INSTALL}"}
    del without[NETWORK]
    assert entry(planned(scene, of("2", without)), "network/net").steps == (
        *("stop net-network.service", "remove network systemd-net"),
    )
    scene.converge(of("2", without))
    assert scene.host.networks == {}

    other = {"services/s/other.network": "[Network]\nNetworkName=systemd-net\n"}
    scene = settled({**FILES, **other})
    scene.converge(of("2", {**without, **other}))
    assert "remove network systemd-net" not in scene.host.log


def test_a_volume_is_left_as_it_was_made_until_somebody_decides() -> None:
    """Its file is written, neither it nor its users are touched, and every plan says what to do."""
    scene = settled(FILES)
    changed = of("2", {**FILES, VOLUME: "[Volume]\nDevice=/dev/sdz\nType=ext4\n"})
    found = entry(planned(scene, changed), "volume/data")
    assert (found.action, found.steps) == ("update", ())
    assert found.causes[0].summary == "changed in the repository: Device=, Type="
    assert "`podman volume rm systemd-data`" in found.notes[0]
    assert planned(scene, changed).volumes == scene.store.load().last.volumes
    running = dict(scene.host.running)
    assert scene.converge(changed).outcome == "converged"
    assert scene.host.log == ["daemon-reload"]
    assert scene.host.running == running

    for revision in ("2", "3"):  # also once another revision came
        again = planned(scene, msgspec.structs.replace(changed, source=of(revision, FILES).source))
        found = entry(again, "volume/data")
        assert again.in_sync
        assert (found.action, found.causes[0].kind) == ("skipped", "replacement_required")
        assert "systemctl stop data-volume.service" in found.notes[0]

    scene.host.running.pop("data-volume.service")  # somebody stopped it, and has not decided yet
    scene.host.running.pop("db.service")
    assert scene.converge(changed).outcome == "converged"
    assert entry(planned(scene, changed), "volume/data").action == "skipped"


@pytest.mark.parametrize("stopped", [True, False])
def test_a_volume_that_somebody_removed_is_made_anew(*, stopped: bool) -> None:
    """Podman is asked, whether its unit was stopped or not; then nothing is left to decide."""
    scene = settled(FILES)
    changed = of("2", {**FILES, VOLUME: "[Volume]\nDevice=/dev/sdz\n"})
    scene.converge(changed)
    old = scene.host.volumes_made.pop("systemd-data")
    scene.host.running.pop("db.service")
    if stopped:
        scene.host.running.pop("data-volume.service")
    scene.host.log.clear()
    assert scene.converge(changed).outcome == "converged"
    assert scene.host.volumes_made["systemd-data"] != old
    assert entry(planned(scene, changed), "volume/data").action == "no_op"
    assert ("stop data-volume.service" in scene.host.log) is not stopped


@pytest.mark.parametrize("saves", range(4))
def test_a_cut_does_not_hide_that_a_removed_volume_is_yet_to_be_made(saves: int) -> None:
    """At whichever write of the record the run ends, the next one makes the volume, although its unit never went down."""
    scene = settled(FILES)
    changed = of("2", {**FILES, VOLUME: "[Volume]\nDevice=/dev/sdz\n"})
    scene.converge(changed)
    old = scene.host.volumes_made.pop("systemd-data")
    scene.host.running.pop("db.service")
    save, left = scene.store.save, iter(range(saves))

    def until(record: Record) -> None:
        if next(left, None) is None:
            raise Cut
        save(record)

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Cut):
        patch.setattr(scene.store, "save", until)
        scene.converge(changed)
    assert scene.converge(changed).outcome == "converged"
    assert scene.host.volumes_made.get("systemd-data") not in {None, old}
    assert entry(planned(scene, changed), "volume/data").action == "no_op"


def test_a_decision_outlasts_restarts_cuts_and_other_names() -> None:
    """Whatever restarts the unit, and whichever file makes it, podman has the volume that it had."""
    disk = "services/s/srv-disk.mount"
    files = {
        **FILES,
        disk: f"[Mount]\nWhat=/dev/sdb\nWhere=/srv/disk\nType=ext4\n{INSTALL}",
        VOLUME: "[Volume]\nDevice=/srv/disk\nType=none\nOptions=bind\n[Unit]\nRequiresMountsFor=/srv/disk\n",
    }
    other = {**files, VOLUME: files[VOLUME].replace("Options=bind", "Options=rbind")}
    for cut in (None, *range(6)):
        scene = settled(files)
        scene.host.cut_at = cut
        with contextlib.suppress(Cut):
            scene.converge(of("2", {**other, disk: files[disk].replace("sdb", "sdc")}))
        scene.host.cut_at = None
        changed = of("3", {**other, disk: files[disk].replace("sdb", "sdd")})
        scene.converge(changed)
        assert "stop data-volume.service" in scene.host.log
        assert entry(planned(scene, changed), "volume/data").action == "skipped"

    scene = settled(files)
    moved = {p: t.replace("data.volume", "neu.volume") for p, t in other.items() if p != VOLUME}
    moved["services/s/neu.volume"] = other[VOLUME].replace("[Volume]\n", "[Volume]\nVolumeName=systemd-data\n")
    scene.converge(of("2", moved))
    assert entry(planned(scene, of("2", moved)), "volume/neu").action == "skipped"


def test_what_takes_nobody_down_is_no_cause() -> None:
    """A unit that restarts for one prerequisite does not blame the others that change too."""
    both = f"[Container]\nImage=x:1\nNetwork=net.network\nVolume=data.volume:/d\n{INSTALL}"
    files = {**FILES, "services/s/db.container": both}
    scene = settled(files)
    changed = {**files, NETWORK: "[Network]\nInternal=true\n", VOLUME: "[Volume]\nDevice=/dev/sdz\n"}
    found = entry(planned(scene, of("2", changed)), "container/db")
    assert [c.summary for c in found.causes] == ["network/net changes, and it needs it"]


def test_a_volume_with_another_name_is_another_volume() -> None:
    """Its users move to it, and the old one keeps its data."""
    scene = settled(FILES)
    changed = of("2", {**FILES, VOLUME: "[Volume]\nVolumeName=two\n"})
    assert jobs(planned(scene, changed)) == [
        *("stop db.service", "stop data-volume.service", "restart data-volume.service", "restart db.service"),
    ]


def test_a_volume_that_goes_back_to_what_it_was_made_from_is_in_order() -> None:
    """What was left undone is not remembered for ever, also when something else about its unit is new."""
    scene = settled(FILES)
    scene.converge(of("2", {**FILES, VOLUME: "[Volume]\nDevice=/dev/sdz\n"}))
    service = of("4", {**FILES, VOLUME: "[Volume]\n[Service]\nCPUWeight=7\n"})
    assert entry(planned(scene, service), "volume/data").impact == "restart"
    scene.converge(of("3", FILES))
    assert entry(planned(scene, of("3", FILES)), "volume/data").action == "no_op"
    assert [line for line in scene.host.log if line != "daemon-reload"] == []


# --- names, cuts and runs that got only half-way ------------------------------------------------------------------------

BAD = "services/s/bad.service"


def half_way(before: dict[str, str], after: dict[str, str]) -> Scene:
    """A host on which the second revision came out but for one unit, so that the first one is what was applied last."""
    bad = f"[Service]\nExecStart=/bin/bad\n{INSTALL}"
    scene = settled({**before, BAD: bad})
    scene.host.refuses_to_start.add("bad.service")
    assert scene.converge(of("2", {**after, BAD: bad.replace("/bad", "/worse")})).outcome == "partially_applied"
    scene.host.refuses_to_start.clear()
    scene.host.log.clear()
    return scene


def named(name: str, more: str = "") -> dict[str, str]:
    return {**FILES, NETWORK: f"[Network]\nNetworkName={name}\n{more}"}


def test_the_network_that_is_removed_is_the_one_that_is_there() -> None:
    """Also when it got its name from a revision that never held; it leaks neither then nor with its file."""
    scene = half_way(named("one"), named("two"))
    made = scene.host.networks["two"]
    scene.converge(of("3", named("two", "Internal=true\n")))
    assert scene.host.networks.keys() == {"two"}
    assert scene.host.networks["two"] != made

    scene = half_way(named("one"), named("two"))
    without = {**FILES, "services/s/web.container": f"[Container]\nImage=x:1\n{INSTALL}"}
    del without[NETWORK]
    scene.converge(of("3", without))
    assert scene.host.networks == {}

    scene = half_way(named("one"), named("two"))
    scene.converge(of("1", named("one")))
    assert scene.host.networks.keys() == {"one"}


def test_a_network_may_get_another_file() -> None:
    """It is made anew by that; the new file is not known to be what it was made from."""
    files = named("prod")
    scene = settled(files)
    made = scene.host.networks["prod"]
    moved = {p: t.replace("net.network", "lan.network") for p, t in files.items() if p != NETWORK}
    scene.converge(of("2", {**moved, "services/s/lan.network": "[Network]\nNetworkName=prod\nInternal=true\n"}))
    assert scene.host.networks.keys() == {"prod"}
    assert scene.host.networks["prod"] != made


@pytest.mark.parametrize("cut", range(12))
def test_a_cut_does_not_make_the_network_of_somebody_else_ours(cut: int) -> None:
    """What podman had before the first apply is taken as it is, in however many runs that came."""
    scene = Scene()
    scene.host.networks["systemd-net"] = b"somebody else's"
    scene.host.cut_at = cut
    with contextlib.suppress(Cut):
        scene.converge(of("1", FILES))
    scene.host.cut_at = None
    assert scene.converge(of("1", FILES)).outcome == "converged"
    assert scene.host.networks == {"systemd-net": b"somebody else's"}


def test_no_name_is_guessed() -> None:
    """A first apply that was cut made one network; the next revision wants another name, which somebody has already."""
    scene = Scene()
    scene.host.networks["two"] = b"somebody else's"
    scene.host.cut_at = 8  # the unit has started, and nothing is on record
    with contextlib.suppress(Cut):
        scene.converge(of("1", named("prod")))
    assert "prod" in scene.host.networks
    scene.host.cut_at = None
    scene.converge(of("2", named("two")))
    assert scene.host.networks == {"two": b"somebody else's"}


def test_a_unit_with_another_name_does_not_run_twice() -> None:
    """What ran under the old name ends, whoever named it."""
    scene = settled(FILES)
    files = {**FILES, "services/s/web.container": f"[Container]\nImage=x:1\nServiceName=site\n{INSTALL}"}
    assert scene.converge(of("2", files)).outcome == "converged"
    assert {"site.service"} <= set(scene.host.running)
    assert "web.service" not in scene.host.running


def test_a_revision_that_half_came_is_gone_on_with() -> None:
    """A setting that needs no restart does not restart what an earlier revision brought and started."""
    web = "services/s/web.container"
    half = {**FILES, web: FILES[web].replace("x:1", "x:2")}
    scene = half_way(FILES, half)
    scene.converge(of("3", {**half, web: f"{half[web]}[Unit]\nDescription=d\n", VOLUME: "[Volume]\nDevice=/dev/sdz\n"}))
    assert scene.host.log == ["daemon-reload"]
