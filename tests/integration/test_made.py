"""Podman's real generator says which changes of Quadlet files make another unit."""

import shlex
from collections.abc import Iterator, Mapping

import pytest

from core_ops.examiner import generated
from core_ops.reconcile.made import Made, made, worth_asking
from core_ops.reconcile.model import LastApplied
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Plan, ReloadManager, WriteFile
from core_ops_verify.guest.assets import prepare_without_agent
from integration.test_quadlet_generator import command
from trees import rendered
from unit.test_plan import jobs, settled

pytestmark = pytest.mark.e2e  # the generator is that of the guests

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
WEB = "services/s/web.container"
FILES = {
    WEB: f"[Container]\nImage=x:1\nNetwork=net.network\nVolume=data.volume:/d\nVolume=./www:/www\n{INSTALL}",
    "services/s/net.network": "[Network]\n",
    "services/s/data.volume": "[Volume]\n",
    "services/s/k.kube": f"[Kube]\nYaml=k.yaml\n{INSTALL}",
}


@pytest.fixture(scope="module", autouse=True)
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have Podman's generator on this machine."""
    program = tmp_path_factory.mktemp("podman") / "quadlet"
    guest = command(prepare_without_agent().base / "tree")
    program.write_text(f'#!/bin/sh\nexec {shlex.join(guest)} "$@"\n')
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core_ops.host.podman._PLACES", (str(program),))
        yield


def asked(before: Mapping[str, str], after: Mapping[str, str]) -> Made:
    """What the generator says of both."""
    return made(*(generated(rendered(dict(files)), "") for files in (before, after)))


def changed(path: str, more: str) -> Plan:
    """The plan for settings that are added to a file, on a host that has everything as it was."""
    last, observed = settled(rendered(FILES))
    after = {**FILES, path: FILES[path] + more}
    return plan(rendered(after), last, observed, asked(FILES, after))


@pytest.mark.parametrize(
    ("path", "more"),
    [
        (WEB, "[Container]\nNotify=false\n"),
        (WEB, "[Container]\nServiceName=web\n[Unit]\nDescription=d\n"),
        (WEB, "[Quadlet]\nDefaultDependencies=true\n"),
        ("services/s/k.kube", "[Kube]\nServiceName=k\n"),
        ("services/s/net.network", "[Network]\nNetworkName=systemd-net\n"),
        ("services/s/data.volume", "[Volume]\nVolumeName=systemd-data\n"),
    ],
)
def test_what_makes_no_other_unit_restarts_nothing(path: str, more: str) -> None:
    """The file is written and systemd reads it; a network stays, and nobody has to decide about a volume."""
    planned = changed(path, more)
    assert [type(e) for e in planned.effects] == [WriteFile, ReloadManager]
    found = next(e for e in planned.entries if e.action != "no_op")
    assert found.notes == ("systemd takes it in by reading its units again; nothing restarts",)


@pytest.mark.parametrize(
    "more",
    ["[Container]\nNotify=true\n", "[Container]\nNotify=false\n[Service]\nNice=5\n", "[Container]\nImage=x:2\n"],
)
def test_what_makes_another_unit_restarts_it(more: str) -> None:
    """One setting is enough."""
    assert jobs(changed(WEB, more)) == ["stop web.service", "restart web.service"]


def test_without_a_generator_every_setting_counts() -> None:
    """As where podman is not installed."""
    last, observed = settled(rendered(FILES))
    after = rendered({**FILES, WEB: f"{FILES[WEB]}[Container]\nNotify=false\n"})
    assert jobs(plan(after, last, observed)) == ["stop web.service", "restart web.service"]


def test_a_spared_unit_is_on_record_with_its_present_inputs() -> None:
    """After the reload, so that a cut before it is noticed; then there is nothing to do."""
    after = {**FILES, WEB: f"{FILES[WEB]}[Container]\nNotify=false\n"}
    last, observed = settled(rendered(FILES))
    planned = plan(rendered(after), last, observed, asked(FILES, after))
    assert {s.unit for s in last.started} - {s.unit for s in planned.started} == {"web.service"}
    now = LastApplied(rendered(after), planned.owned_after, planned.started_after)
    assert plan(rendered(after), now, settled(rendered(after))[1]).in_sync


def test_units_are_made_as_if_in_their_own_place() -> None:
    """What is relative to a Quadlet file does not differ with the directory of a moment."""
    texts = {unit.unit: unit.content for unit in generated(rendered(FILES), "")}
    assert "-v /etc/containers/systemd/www:/www" in texts["web.service"]
    assert "/etc/containers/systemd/k.yaml" in texts["k.service"]
    assert texts == {unit.unit: unit.content for unit in generated(rendered(FILES), "")}


def test_the_generator_is_asked_only_when_quadlet_files_differ() -> None:
    """A run with nothing new, or with a new config file, starts no program."""
    desired = rendered(FILES)
    last = LastApplied(desired)
    assert not worth_asking(desired, LastApplied())
    assert not worth_asking(rendered({**FILES, "services/s/config/a": "1"}), last)
    assert worth_asking(rendered({**FILES, WEB: f"{FILES[WEB]}# a comment\n"}), last)


def test_a_file_that_the_generator_refuses_leaves_everything_unasked() -> None:
    """Half an answer would spare units of which nothing is known."""
    files = {**FILES, "services/s/x.container": f"[Container]\nImage=x\nUserNS=auto\nRemapUsers=nonsense\n{INSTALL}"}
    assert generated(rendered(files), "") == ()
