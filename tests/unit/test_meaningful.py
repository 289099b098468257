"""What a change means decides what is done about it: nothing, a reload, or a restart."""

import msgspec
import pytest

from core_ops.reconcile.complaints import Generated
from core_ops.reconcile.contract import plan_view
from core_ops.reconcile.judge import judge
from core_ops.reconcile.keys import TAKEN_IN
from core_ops.reconcile.made import made
from core_ops.reconcile.model import LastApplied
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Effect, Failure, Plan, ReloadManager, SetEnablement, UnitJob, WriteFile
from core_ops.reconcile.verdict import outcome
from core_ops.reconcile.words import plan_lines
from fakes import FakeHost
from scenes import Scene, of
from trees import rendered
from unit.test_plan import entry, jobs, settled

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
WEB = f"[Container]\nImage=x:1\nPublishPort=80:80\n{INSTALL}"
FILES = {"services/web/web.container": WEB, "services/web/web.container.d/a.conf": "[Service]\nRestart=always\n"}
PATH = "services/web/web.container"
RELOADED = (
    f"[Service]\nExecStart=/usr/bin/web --config /etc/web/app.conf\nExecReload=/bin/kill -HUP $MAINPID\n{INSTALL}"
)


class NoLinks(FakeHost):
    """A host on which no link can be made or taken away for a while."""

    refuses_links = False

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        links = [e for e in effects if isinstance(e, SetEnablement)]
        if links and self.refuses_links:
            return tuple(Failure(e.object, e.unit, "applying", "Read-only file system") for e in links)
        return super().carry_out(effects)


def step(before: dict[str, str], after: dict[str, str]) -> Plan:
    """The plan that leads a settled host from one tree to another."""
    last, observed = settled(rendered(before))
    return plan(rendered(after), last, observed)


@pytest.mark.parametrize(
    "text",
    [
        f"# why\n{WEB}",
        WEB.replace("=", " = "),
        WEB.replace("[Install]", "\n\n[Install]"),
        WEB.replace("=80:80", "= \\\n  80:80"),
    ],
)
def test_formatting_is_told_and_left_as_it_is(text: str) -> None:
    """Comments, empty lines and white space in the repository change nothing on the host, and the plan says so."""
    last, observed = settled(rendered(FILES))
    desired = rendered({**FILES, PATH: text})
    planned = plan(desired, last, observed)
    assert planned.in_sync
    found = entry(planned, "container/web")
    assert (found.action, found.causes[0].kind) == ("no_op", "runtime_variance")
    assert "in the repository" in found.causes[0].summary
    assert outcome(planned, (), changed=False) == "converged_with_tolerated_variance"
    assert f"= left     container/web  ({found.causes[0].summary})" in plan_lines(plan_view(planned))
    assert judge(planned, desired, observed, frozenset()) == ()


def test_formatting_that_somebody_changed_on_the_host_is_left_too() -> None:
    """A comment by hand is no drift worth a write; a mode is."""
    desired = rendered(FILES)
    last, observed = settled(desired)
    by_hand = tuple(
        msgspec.structs.replace(f, content=f.content + b"# mine\n") if f.path.endswith("web.container") else f
        for f in observed.files
    )
    planned = plan(desired, last, msgspec.structs.replace(observed, files=by_hand))
    assert planned.in_sync
    assert "on the host" in entry(planned, "container/web").causes[0].summary
    open_to_all = tuple(msgspec.structs.replace(f, mode=0o666) if b"# mine" in f.content else f for f in by_hand)
    repaired = plan(desired, last, msgspec.structs.replace(observed, files=open_to_all))
    assert [e.path for e in repaired.effects if isinstance(e, WriteFile)] == ["/etc/containers/systemd/web.container"]


def test_settings_in_another_order_are_written_and_restart_nothing() -> None:
    """The file is what the author wrote, systemd reads it, and what runs goes on."""
    turned = WEB.replace("Image=x:1\nPublishPort=80:80\n", "PublishPort=80:80\nImage=x:1\n")
    planned = step(FILES, {**FILES, PATH: turned})
    assert [type(e) for e in planned.effects] == [WriteFile, ReloadManager]
    assert entry(planned, "container/web").causes[0].summary == "changed in the repository: it means the same as before"


def test_a_drop_in_that_says_nothing_new_restarts_nothing() -> None:
    """What counts is what the files of a unit mean together."""
    planned = step(FILES, {**FILES, "services/web/web.container.d/b.conf": "[Service]\nRestart=always\n"})
    assert [type(e) for e in planned.effects] == [WriteFile, ReloadManager]
    planned = step(FILES, {**FILES, "services/web/web.container.d/b.conf": "[Service]\nCPUWeight=7\n"})
    assert jobs(planned) == ["stop web.service", "restart web.service"]


@pytest.mark.parametrize(("section", "key"), [(s, k) for s in TAKEN_IN for k in sorted(TAKEN_IN[s])])
def test_what_systemd_takes_in_by_reading_restarts_nothing(section: str, key: str) -> None:
    """The file is written, systemd reads it, and what depends on the unit is left alone too."""
    files = {**FILES, "services/web/user.service": f"[Unit]\nRequires=web.service\n[Service]\nExecStart=a\n{INSTALL}"}
    planned = step(files, {**files, PATH: f"{WEB}[{section}]\n{key}=1\n"})
    assert [type(e) for e in planned.effects] == [WriteFile, ReloadManager]
    found = entry(planned, "container/web")
    assert (found.action, found.causes[0].summary) == ("update", f"changed in the repository: {key}=")
    assert found.notes == ("systemd takes it in by reading its units again; nothing restarts",)


def test_links_of_install_follow_without_a_restart() -> None:
    """A native unit is enabled anew; one with a new setting beside it restarts."""
    text = "[Service]\nExecStart=/bin/a\n[Install]\nWantedBy=multi-user.target\n"
    before = {"services/a/a.service": text}
    planned = step(before, {"services/a/a.service": text.replace("multi-user", "graphical")})
    assert [type(e) for e in planned.effects] == [WriteFile, SetEnablement, ReloadManager]
    assert planned.started == ()  # so that a cut before the link was made is noticed
    assert jobs(step(before, {"services/a/a.service": f"{text}[Service]\nNice=5\n"})) == [
        *("stop a.service", "reenable a.service", "restart a.service"),
    ]


@pytest.mark.parametrize(
    ("before", "more"),
    [
        ({"services/a/config/a/d/one": "1", "services/a/config/a/d/two": "2"}, {}),
        (
            {"services/a/config/a/d/one": "1", "services/a/config/a/d/two": "2", "services/a/v.volume": "[Volume]\n"},
            {"services/a/v.volume": "[Volume]\nDevice=/dev/sdz\n"},
        ),
    ],
)
def test_what_needs_no_restart_hides_nothing_that_does(before: dict[str, str], more: dict[str, str]) -> None:
    """Other links, or a volume that stays as it is, come together with a config file that leaves."""
    volume = "Volume=v.volume:/v\n" if more else ""
    text = f"[Container]\nImage=x\n{volume}Volume=/etc/a/a/d:/d\n"
    files = {"services/a/a.container": f"{text}{INSTALL}", **before}
    after = {**files, **more, "services/a/a.container": f"{text}[Install]\nWantedBy=graphical.target\n"}
    del after["services/a/config/a/d/two"]
    assert jobs(step(files, after)) == ["restart a.service"]


def test_a_unit_that_is_made_from_anothers_file_is_another_one_too() -> None:
    """The image unit stays as it is, but the container that takes the tag from its file does not."""
    before = {
        "services/a/i.image": "[Image]\nImage=docker-archive:/x\nImageTag=localhost/x:1\n",
        "services/a/a.container": f"[Container]\nImage=i.image\n{INSTALL}",
    }
    after = {**before, "services/a/i.image": before["services/a/i.image"].replace(":1", ":2")}
    image = "[Service]\nExecStart=/usr/bin/podman image pull docker-archive:/x\n"
    units = tuple(
        (
            Generated("i-image.service", "i.image", image),
            Generated("a.service", "a.container", f"[Service]\nExecStart=/usr/bin/podman run localhost/x:{tag}\n"),
        )
        for tag in (1, 2)
    )
    last, observed = settled(rendered(before))
    planned = plan(rendered(after), last, observed, made(*units))
    assert jobs(planned) == ["stop a.service", "restart a.service"]
    now = LastApplied(last.desired, planned.owned_after, planned.started_after)  # it did not hold for another unit
    again = plan(rendered(after), now, settled(rendered(after))[1], made(*units))
    assert jobs(again) == []


def test_a_link_that_was_not_tried_is_made_by_the_next_run() -> None:
    """One link fails, and those behind it are not on record as made."""
    text = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy={}.target\n"
    names = ("a", "b")
    files = {f"services/a/{n}.service": text.format("multi-user") for n in names}
    host = NoLinks()
    scene = Scene(host)
    assert scene.converge(of("1", files)).outcome == "converged"
    host.refuses_links = True
    after = {
        "services/a/a.service": text.format("graphical"),
        "services/a/b.service": "[Service]\nExecStart=/bin/x\n",
        "services/a/c.service": text.format("graphical"),
    }
    assert scene.converge(of("2", after)).outcome == "partially_applied"
    host.refuses_links = False
    assert scene.converge(of("2", after)).outcome == "converged"
    assert host.enabled == {"a.service", "c.service"}


def test_what_never_stopped_is_still_known_when_something_else_could_not_stop() -> None:
    """Nothing was written, so the next run does not restart it."""
    text = f"[Service]\nExecStart=/bin/x\n{INSTALL}"
    files = {"services/a/a.service": text, "services/a/o.service": text}
    scene = Scene()
    scene.converge(of("1", files))
    scene.host.busy.add("o.service")
    after = {
        "services/a/a.service": text.replace("multi-user", "graphical"),
        "services/a/o.service": f"{text}[Service]\nNice=5\n",
    }
    scene.converge(of("2", after))
    scene.host.busy.clear()
    scene.host.log.clear()
    assert scene.converge(of("2", after)).outcome == "converged"
    assert "restart a.service" not in scene.host.log


def test_a_change_names_its_settings() -> None:
    """The cause says which settings an author changed."""
    planned = step(FILES, {**FILES, PATH: WEB.replace("x:1", "x:2").replace("80:80", "81:80")})
    assert entry(planned, "container/web").causes[0].summary == "changed in the repository: Image=, PublishPort="


def test_what_differs_by_hand_in_more_than_looks_is_restarted() -> None:
    """Nobody knows what a unit whose file was edited was started from since."""
    desired = rendered(FILES)
    last, observed = settled(desired)
    by_hand = tuple(
        msgspec.structs.replace(f, content=f.content + b"[Service]\nNice=5\n") if f.path.endswith("a.conf") else f
        for f in observed.files
    )
    planned = plan(desired, last, msgspec.structs.replace(observed, files=by_hand))
    assert jobs(planned) == ["stop web.service", "restart web.service"]


def test_a_unit_that_offers_a_reload_is_not_restarted_for_a_config_file() -> None:
    """Nor is what depends on it; a change of its own definition restarts both."""
    files = {
        "services/web/web.service": RELOADED,
        "services/web/config/app.conf": "a\n",
        "services/web/near.service": f"[Unit]\nRequires=web.service\n[Service]\nExecStart=/bin/near\n{INSTALL}",
    }
    changed = {**files, "services/web/config/app.conf": "b\n"}
    planned = step(files, changed)
    assert jobs(planned) == ["reload web.service"]
    assert not any(isinstance(e, ReloadManager) for e in planned.effects)
    assert entry(planned, "service/web").steps == ("reload web.service",)
    assert entry(planned, "service/near").action == "no_op"
    assert {s.unit for s in planned.started} == set()
    both = step(files, {**changed, "services/web/web.service": RELOADED.replace("--config", "-v --config")})
    assert {j for j in jobs(both) if j.startswith("restart")} == {"restart web.service", "restart near.service"}
    bare = {**files, "services/web/web.service": RELOADED.replace("ExecReload=/bin/kill -HUP $MAINPID\n", "")}
    plain = step(bare, {**bare, "services/web/config/app.conf": "b\n"})
    assert {j for j in jobs(plain) if j.startswith("restart")} == {"restart web.service", "restart near.service"}


def test_a_unit_that_is_down_is_started_and_not_reloaded() -> None:
    """A reload of something that does not run would fail."""
    files = {"services/web/web.service": RELOADED, "services/web/config/app.conf": "a\n"}
    last, observed = settled(rendered(files))
    units = tuple(msgspec.structs.replace(u, active="inactive") for u in observed.units)
    down = msgspec.structs.replace(observed, units=units)
    planned = plan(rendered({**files, "services/web/config/app.conf": "b\n"}), last, down)
    assert [e.verb for e in planned.effects if isinstance(e, UnitJob)] == ["start"]
