"""Rules of planning, one at a time; the laws over all of them are in tests/property."""

from pathlib import Path

import msgspec
import pytest

from core_ops.host.directory import read_tree
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.effects import batches
from core_ops.reconcile.graph import build
from core_ops.reconcile.judge import judge
from core_ops.reconcile.model import Desired, LastApplied, Observed, RootEntry, RootState, UnitState
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import Entry, Plan, ReloadManager, RemoveUndeclared, SetEnablement, UnitJob
from core_ops.reconcile.record import Record, Status
from fakes import FakeHost, FakeStore
from trees import outcome, rendered, tree

VALID = Path(__file__).parents[2] / "fixtures" / "valid"
INSTALL = "[Install]\nWantedBy=multi-user.target\n"


def first(desired: Desired) -> Plan:
    """The plan of an empty host."""
    return plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))


def settled(desired: Desired) -> tuple[LastApplied, Observed]:
    """The record and the look of a host that is exactly as desired and was started from it."""
    planned = first(desired)
    host = FakeHost()
    for effect in planned.effects:
        host.carry_out((effect,))
    last = LastApplied(desired, planned.owned_after, planned.started_after, volumes=planned.volumes)
    return last, host.observe(subjects(desired, last))


def jobs(planned: Plan) -> list[str]:
    return [f"{e.verb} {e.unit}" for e in planned.effects if isinstance(e, UnitJob | SetEnablement)]


def entry(planned: Plan, name: str) -> Entry:
    return next(e for e in planned.entries if e.object.display_id == name)


def seen_as(observed: Observed, unit: str, **changed: object) -> Observed:
    """The look with one unit in another state."""
    units = tuple(msgspec.structs.replace(u, **changed) if u.unit == unit else u for u in observed.units)
    return msgspec.structs.replace(observed, units=units)


def test_in_sync_host_needs_nothing() -> None:
    """What is as desired and was started from it has an empty plan."""
    desired = rendered({"services/a/a.container": f"[Container]\nImage=x\n{INSTALL}"})
    last, observed = settled(desired)
    planned = plan(desired, last, observed)
    assert planned.in_sync
    assert [e.action for e in planned.entries] == ["no_op"]


def test_prerequisites_start_first() -> None:
    """A network and a volume come before the container that names them, ties by name."""
    desired = rendered(
        {
            "services/a/a.container": f"[Container]\nImage=x\nNetwork=n.network\nVolume=v.volume:/v\n{INSTALL}",
            "services/a/n.network": "[Network]\n",
            "services/a/v.volume": "[Volume]\n",
        }
    )
    assert jobs(first(desired)) == ["start n-network.service", "start v-volume.service", "start a.service"]
    assert [o.display_id for o in entry(first(desired), "container/a").requires] == ["network/n", "volume/v"]


def test_a_unit_without_install_is_not_started() -> None:
    """Nothing would start it at boot, so nothing starts it now; the plan says so."""
    planned = first(rendered({"services/a/a.service": "[Service]\nExecStart=/bin/true\n"}))
    assert jobs(planned) == []
    assert "no [Install] section" in entry(planned, "service/a").notes[0]


@pytest.mark.parametrize(
    ("activator", "text"),
    [
        ("a.timer", "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"),
        ("b.timer", "[Timer]\nOnCalendar=daily\nUnit=a.service\n[Install]\nWantedBy=timers.target\n"),
        ("a.socket", "[Socket]\nListenStream=/run/a\n[Install]\nWantedBy=sockets.target\n"),
        ("a.path", "[Path]\nPathExists=/run/a\n[Install]\nWantedBy=paths.target\n"),
        ("b.path", "[Path]\nPathExists=/run/a\nUnit=a.service\n[Install]\nWantedBy=paths.target\n"),
        ("b.socket", "[Socket]\nListenStream=/run/a\nService=a.service\n[Install]\nWantedBy=sockets.target\n"),
    ],
)
def test_what_an_activator_starts_is_left_to_it(activator: str, text: str) -> None:
    """Deploying a backup's timer must not run the backup, even if the service could be enabled too."""
    planned = first(
        rendered(
            {
                "services/a/a.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}",
                f"services/a/{activator}": text,
            }
        )
    )
    assert [j for j in jobs(planned) if j.startswith("start")] == [f"start {activator}"]


def test_a_running_job_is_left_to_end() -> None:
    """A one-shot that its timer started runs on with what it began with, and is looked at again later."""
    timer = "[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
    files = {"services/a/a.service": "[Service]\nType=oneshot\nExecStart=/bin/a\n", "services/a/a.timer": timer}
    last, observed = settled(rendered(files))
    busy = seen_as(observed, "a.service", active="activating", type="oneshot")
    planned = plan(
        rendered({**files, "services/a/a.service": "[Service]\nType=oneshot\nExecStart=/bin/b\n"}), last, busy
    )
    assert not [j for j in jobs(planned) if "a.service" in j]
    assert {s.unit: s.inputs for s in planned.started_after}["a.service"] == build(rendered(files)).nodes[
        "a.service"
    ].inputs


def test_a_changed_unit_stops_with_its_old_definition() -> None:
    """Its users stop before it, files are written, and they come back in order."""
    files = {
        "services/a/a.container": f"[Container]\nImage=x\nNetwork=n.network\n{INSTALL}",
        "services/a/n.network": "[Network]\n",
    }
    last, observed = settled(rendered(files))
    planned = plan(rendered({**files, "services/a/n.network": "[Network]\nLabel=a=b\n"}), last, observed)
    kinds = [type(e).__name__ for e in planned.effects]
    assert kinds == ["UnitJob", "UnitJob", "RemoveNetwork", "WriteFile", "ReloadManager", "UnitJob", "UnitJob"]
    assert jobs(planned) == [
        "stop a.service",
        "stop n-network.service",
        "restart n-network.service",
        "restart a.service",
    ]
    assert entry(planned, "container/a").action == "restart"
    assert entry(planned, "container/a").causes[0].source_object == entry(planned, "network/n").object


def test_a_unit_that_is_on_its_way_down_stops_before_its_file_changes() -> None:
    """Between two crashes it is neither up nor done; systemd would start it from its old file while the new one is read."""
    old, new = (rendered({"services/a/a.container": f"[Container]\nImage=x:{n}\n{INSTALL}"}) for n in (1, 2))
    last, observed = settled(old)
    crashing = seen_as(observed, "a.service", active="deactivating", sub="stop-post")
    assert jobs(plan(new, last, crashing)) == ["stop a.service", "start a.service"]


@pytest.mark.parametrize(
    ("said", "unit"), [("y", "a@.service"), ("t", "a@.service"), ("TRUE", "a@.service"), ("n", "a.service")]
)
def test_a_socket_that_accepts_starts_instances(said: str, unit: str) -> None:
    """`Accept=` is read by systemd, which has more words for yes than Podman."""
    service = "[Service]\nExecStart=cat\n"
    socket = f"[Socket]\nListenStream=/run/a\nAccept={said}\n"
    units = {"a.socket": socket, "a.service": service, "a@.service": service}
    graph = build(rendered({f"services/a/{name}": text for name, text in units.items()}))
    assert graph.nodes["a.socket"].relations.activates == (unit,)


def test_an_activator_stops_before_what_it_activates() -> None:
    """Or the timer or socket would start again what was just stopped."""
    files = {
        "services/a/a.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}",
        "services/a/a.socket": "[Socket]\nListenStream=/run/a\n[Install]\nWantedBy=sockets.target\n",
    }
    last, observed = settled(rendered(files))
    running = seen_as(observed, "a.service", active="active")
    planned = plan(rendered({"services/z/z.volume": "[Volume]\n"}), last, running)
    assert [j for j in jobs(planned) if j.startswith("stop")] == ["stop a.socket", "stop a.service"]
    assert "disable a.socket" in jobs(planned)


POD = {
    "services/s/p.pod": f"[Pod]\n{INSTALL}",
    "services/s/a.container": "[Container]\nImage=x\nPod=p.pod\n",
    "services/s/b.container": "[Container]\nImage=x\nPod=p.pod\n",
}


def changed(files: dict[str, str], *names: str) -> Plan:
    """The plan of a settled host after some of its files were changed in a way that matters."""
    last, observed = settled(rendered(files))
    more = {n: "# changed\n" if "/config/" in n else "\n[Unit]\nConditionPathExists=/\n" for n in names}
    return plan(rendered({**files, **{n: files[n] + more[n] for n in names}}), last, observed)


def test_a_pod_brings_up_its_containers() -> None:
    """The pod starts first, and its containers with it, though they have no [Install] section of their own."""
    assert jobs(first(rendered(POD))) == ["start p-pod.service", "start a.service", "start b.service"]


def test_a_container_that_does_not_start_with_its_pod_is_left() -> None:
    """`StartWithPod=no` leaves it to its own [Install] section."""
    own = {"services/s/b.container": "[Container]\nImage=x\nPod=p.pod\nStartWithPod=no\n"}
    assert jobs(first(rendered({**POD, **own}))) == ["start p-pod.service", "start a.service"]


def test_a_changed_pod_takes_its_containers_along() -> None:
    """They stop before it, and all come back after it."""
    assert jobs(changed(POD, "services/s/p.pod")) == [
        *("stop b.service", "stop a.service", "stop p-pod.service"),
        *("restart p-pod.service", "restart a.service", "restart b.service"),
    ]


def test_a_changed_container_leaves_its_pod_alone() -> None:
    """As long as another container keeps the pod up."""
    assert jobs(changed(POD, "services/s/a.container")) == ["stop a.service", "restart a.service"]


def test_a_pod_stops_with_its_last_container() -> None:
    """Podman would end it a moment later, under the feet of a container that starts; the plan says so."""
    planned = changed(POD, "services/s/a.container", "services/s/b.container")
    assert jobs(planned)[2:4] == ["stop p-pod.service", "restart p-pod.service"]
    assert "last container" in entry(planned, "pod/p").causes[0].summary


@pytest.mark.parametrize(
    ("name", "text", "unit"),
    [
        ("i.image", "[Image]\nImage=x\n", "i-image.service"),
        ("i.build", "[Build]\nImageTag=x\nFile=/srv/Containerfile\n", "i-build.service"),
    ],
)
def test_a_changed_image_reaches_its_users(name: str, text: str, unit: str) -> None:
    """A container, and one whose volume is made from the image; nobody else."""
    files = {
        f"services/s/{name}": text,
        "services/s/a.container": f"[Container]\nImage={name}\n{INSTALL}",
        "services/s/b.container": f"[Container]\nImage=x\nVolume=v.volume:/v\n{INSTALL}",
        "services/s/c.container": f"[Container]\nImage=x\n{INSTALL}",
        "services/s/v.volume": f"[Volume]\nDriver=image\nImage={name}\n",
    }
    restarted = [j for j in jobs(changed(files, f"services/s/{name}")) if j.startswith("restart")]
    assert restarted == [f"restart {u}" for u in (unit, "a.service", "v-volume.service", "b.service")]


def test_a_slice_changes_at_a_reload_only() -> None:
    """Stopping it would stop whatever runs in it; its limits are taken over as they stand."""
    files = {
        "services/s/s.slice": "[Slice]\nMemoryMax=1G\n",
        "services/s/a.service": f"[Service]\nExecStart=/bin/true\nSlice=s.slice\n{INSTALL}",
    }
    assert [j for j in jobs(first(rendered(files))) if "slice" in j] == []
    planned = changed(files, "services/s/s.slice")
    assert [type(e).__name__ for e in planned.effects] == ["WriteFile", "ReloadManager"]
    last, observed = settled(rendered(files))
    without = {"services/s/a.service": files["services/s/a.service"]}
    assert jobs(plan(rendered(without), last, seen_as(observed, "s.slice", active="active"))) == []


def test_a_target_brings_up_what_it_wants() -> None:
    """And a change of it restarts only what is part of it."""
    files = {
        "services/s/s.target": f"[Unit]\nWants=a.service b.service\n{INSTALL}",
        "services/s/a.service": "[Unit]\nPartOf=s.target\n[Service]\nExecStart=/bin/true\n",
        "services/s/b.service": "[Service]\nExecStart=/bin/true\n",
    }
    started = {j for j in jobs(first(rendered(files))) if j.startswith("start")}
    assert started == {"start s.target", "start a.service", "start b.service"}
    again = {j for j in jobs(changed(files, "services/s/s.target")) if j.startswith("restart")}
    assert again == {"restart s.target", "restart a.service"}


def test_the_drop_ins_of_a_template_belong_to_its_instances() -> None:
    """An instance's drop-in of the same name replaces that of the template, and is counted among its inputs."""
    desired = rendered(
        {
            "services/s/a@.service": "[Service]\nExecStart=/bin/true\n",
            "services/s/a@1.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}",
            "services/s/a@.service.d/x.conf": "[Unit]\nConditionPathExists=/all\n",
            "services/s/a@.service.d/y.conf": "[Unit]\nConditionPathExists=/all\n",
            "services/s/a@1.service.d/y.conf": "[Unit]\nConditionPathExists=/one\n",
        }
    )
    assert [d.object.name for d in build(desired).nodes["a@1.service"].dropins] == [
        "a@.service.d/10-base-x.conf",
        "a@1.service.d/10-base-y.conf",
    ]
    assert [j for j in jobs(first(desired)) if j.startswith("start")] == ["start a@1.service"]


def test_a_drop_in_for_native_units_whose_names_begin_alike_reaches_those_alone() -> None:
    """Mounts and automounts, paths, slices and targets: each has its own kind's, and what it says counts."""
    desired = outcome(read_tree(VALID / "wide-drop-ins-of-native-units" / "tree"))
    assert isinstance(desired, Desired)
    nodes = build(desired).nodes
    assert {unit: [d.object.name for d in n.dropins] for unit, n in nodes.items() if n.dropins} == {
        "srv-data.mount": ["srv-.mount.d/10-base-options.conf", "srv-.mount.d/20-host-timeout.conf"],
        "srv-data.automount": ["srv-.automount.d/10-base-idle.conf"],
        "drop-box.path": ["drop-.path.d/10-base-directory.conf"],
        "lab-sort.slice": ["lab-.slice.d/10-base-weight.conf"],
        "lab-all.target": ["lab-.target.d/10-base-order.conf"],
    }
    assert {"srv.mount", "lab-sort.service"} <= set(nodes)
    assert nodes["lab-all.target"].relations.after == ("drop-box.path",)


def test_a_drop_in_for_many_units_restarts_those_it_is_for() -> None:
    """Those whose names begin alike and those of a kind, unless one of their own replaces it; also when it goes."""
    unit = f"[Container]\nImage=x:1\n{INSTALL}"
    files = {f"services/s/{name}.container": unit for name in ("a-b", "a-c", "d")}
    files["services/s/a-c.container.d/x.conf"] = "[Unit]\nConditionPathExists=/own\n"
    for target, concerned in (("a-.container", {"a-b"}), ("container", {"a-b", "d"}), ("a-.service", {"a-b", "a-c"})):
        wide = {f"services/s/{target}.d/x.conf": "[Unit]\nConditionPathExists=/wide\n"}
        expected = {f"restart {name}.service" for name in concerned}
        for before, after in ((files, files | wide), (files | wide, files)):
            last, observed = settled(rendered(before))
            planned = plan(rendered(after), last, observed)
            assert {j for j in jobs(planned) if j.startswith("restart")} == expected, (target, before == files)
            assert {f"stop {name}.service" for name in concerned} == {j for j in jobs(planned) if j.startswith("stop")}
            (cause,) = entry(planned, f"container/{min(concerned)}").causes
            assert cause.source_object is not None
            assert cause.source_object.name == f"{target}.d/10-base-x.conf"


def test_a_failed_unit_is_reset_before_it_is_started() -> None:
    """A start limit that was hit would refuse the job."""
    desired = rendered({"services/a/a.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}"})
    last, observed = settled(desired)
    planned = plan(desired, last, seen_as(observed, "a.service", active="failed", result="exit-code"))
    assert jobs(planned) == ["reset-failed a.service", "start a.service"]
    assert entry(planned, "service/a").action == "recover"
    assert "failed (exit-code)" in entry(planned, "service/a").causes[0].summary


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        ("active", ["stop a.service", "disable a.service", "reset-failed a.service"]),
        ("deactivating", ["stop a.service", "disable a.service", "reset-failed a.service"]),
        ("failed", ["disable a.service", "reset-failed a.service"]),
        ("inactive", ["disable a.service"]),
    ],
)
def test_a_removed_unit_does_not_linger_as_failed(active: str, expected: list[str]) -> None:
    """What is failed, or may fail as it stops, is reset once systemd has read that its file is gone."""
    kept = {"services/b/b.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}"}
    files = {"services/a/a.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}", **kept}
    last, observed = settled(rendered(files))
    planned = plan(rendered(kept), last, seen_as(observed, "a.service", active=active))
    assert jobs(planned) == expected
    after_reload = planned.effects[[isinstance(e, ReloadManager) for e in planned.effects].index(True) + 1 :]
    assert [e.verb for e in after_reload if isinstance(e, UnitJob)] == [j.split()[0] for j in expected if "reset" in j]


def test_a_unit_in_a_crash_loop_is_reset_before_it_is_started_from_new_inputs() -> None:
    """The starts of its broken version count against the start limit of the mended one."""
    old, new = (
        rendered({"services/a/a.service": f"[Service]\nExecStart=/bin/{b}\n{INSTALL}"}) for b in ("false", "true")
    )
    last, observed = settled(old)
    looping = seen_as(observed, "a.service", active="activating", sub="auto-restart", result="exit-code")
    assert jobs(plan(new, last, looping))[-2:] == ["reset-failed a.service", "restart a.service"]


@pytest.mark.parametrize(
    ("state", "needs"),
    [
        ({"active": "inactive", "type": "oneshot", "invocation_id": "x"}, False),
        ({"active": "inactive", "type": "oneshot", "invocation_id": ""}, True),
        ({"active": "inactive", "type": "oneshot", "invocation_id": "x", "result": "exit-code"}, True),
        ({"active": "inactive", "type": "simple", "invocation_id": "x"}, True),
        ({"active": "inactive", "type": "simple", "condition_met": False}, False),
    ],
)
def test_a_finished_one_shot_is_converged(state: dict[str, object], needs: bool) -> None:  # noqa: FBT001 - a table
    """So is a unit that its own conditions hold back; one that never ran, failed or ended is not."""
    desired = rendered({"services/a/a.service": f"[Service]\nType=oneshot\nExecStart=/bin/true\n{INSTALL}"})
    last, observed = settled(desired)
    assert bool(jobs(plan(desired, last, seen_as(observed, "a.service", **state)))) is needs


def test_units_that_wait_for_each_other_are_refused() -> None:
    """The cycle is named before anything is touched."""
    files = {
        "services/a/a.service": "[Unit]\nAfter=b.service\n[Service]\nExecStart=/bin/true\n",
        "services/a/b.service": "[Unit]\nAfter=a.service\n[Service]\nExecStart=/bin/true\n",
    }
    refused = outcome(tree(files))
    assert not isinstance(refused, Desired)
    assert [(f.code, f.message) for f in refused] == [
        ("DependencyCycle", "waits for itself: a.service -> b.service -> a.service")
    ]


def test_a_changed_mode_is_drift() -> None:
    """The content is right, the mode is not: the file is written again and the plan says which mode it had."""
    desired = rendered({"services/a/config/x": "1\n", "services/a/a.service": "[Service]\nExecStart=/bin/true\n"})
    last, observed = settled(desired)
    files = tuple(msgspec.structs.replace(f, mode=0o666) if f.path == "/etc/a/x" else f for f in observed.files)
    planned = plan(desired, last, msgspec.structs.replace(observed, files=files))
    assert entry(planned, "config/etc/a/x").action == "update"
    assert "mode 0666" in entry(planned, "config/etc/a/x").causes[0].summary


def test_a_foreign_file_is_blocked_even_when_only_its_mode_differs() -> None:
    """Somebody else's file is not replaced for its mode either; one that is equal in all is adopted."""
    desired = rendered({"services/a/config/x": "1\n", "services/a/a.service": "[Service]\nExecStart=/bin/true\n"})
    _, observed = settled(desired)
    assert not plan(desired, LastApplied(), observed).blocked
    files = tuple(msgspec.structs.replace(f, mode=0o600) if f.path == "/etc/a/x" else f for f in observed.files)
    planned = plan(desired, LastApplied(), msgspec.structs.replace(observed, files=files))
    assert [e.object.display_id for e in planned.blocked] == ["config/etc/a/x"]


OWNED = {
    "services/a/config/x": "1\n",
    "services/a/service.yaml": "files: {x: {mode: 0640, owner: app, group: 1000}}\n",
    "services/a/a.service": f"[Service]\nExecStart=/bin/true\nEnvironmentFile=/etc/a/x\n{INSTALL}",
}


def test_a_changed_owner_is_drift_and_restarts_whoever_reads_the_file() -> None:
    """The plan says whose the file is and whose it becomes, by name."""
    desired = rendered(OWNED)
    last, observed = settled(desired)
    assert plan(desired, last, observed).in_sync
    files = tuple(msgspec.structs.replace(f, uid=0, gid=7) if f.path == "/etc/a/x" else f for f in observed.files)
    planned = plan(desired, last, msgspec.structs.replace(observed, files=files))
    found = entry(planned, "config/etc/a/x")
    assert found.causes[0].summary == "was given another mode or owner on the host (mode 0640, owner root:7)"
    assert found.diff_summary == "replaces /etc/a/x (owner root:7 -> app:1000)"
    assert jobs(planned) == ["restart a.service"]


def test_a_new_owner_in_the_repository_restarts_whoever_reads_the_file() -> None:
    """Owner and group are inputs of a unit as the mode is; a file without them has the digest it always had."""
    last, observed = settled(rendered(OWNED))
    desired = rendered({**OWNED, "services/a/service.yaml": "files: {x: {mode: 0640, owner: app}}\n"})
    planned = plan(desired, last, observed)
    assert entry(planned, "config/etc/a/x").causes[0].kind == "desired_change"
    assert jobs(planned) == ["restart a.service"]
    inputs = [build(rendered({**OWNED, "services/a/service.yaml": m})).nodes["a.service"].inputs for m in _MANIFESTS]
    assert len(set(inputs)) == len(_MANIFESTS)


_MANIFESTS = tuple(f"files: {{x: {{{rule}}}}}\n" for rule in ("mode: 0640", "owner: app", "group: app", "owner: root"))


def test_two_names_of_one_number_are_the_same_owner() -> None:
    """Owners are compared by number: another name for it is no drift, though a unit then has another input."""
    desired = rendered({**OWNED, "services/a/service.yaml": "files: {x: {mode: 0640, owner: 1000, group: app}}\n"})
    _, observed = settled(rendered(OWNED))
    assert entry(plan(desired, LastApplied(), observed), "config/etc/a/x").action == "no_op"


def test_an_owner_that_the_host_does_not_know_is_a_note() -> None:
    """On an author's machine the user need not exist; on the host the apply is refused before anything stops."""
    planned = first(rendered({**OWNED, "services/a/service.yaml": "files: {x: {owner: nosuch, group: nogroup}}\n"}))
    notes = entry(planned, "config/etc/a/x").notes
    assert [n.partition(" on this host")[0] for n in notes] == [
        "there is no user “nosuch”",
        "there is no group “nogroup”",
    ]
    assert not planned.blocked


EXCLUSIVE = {
    **OWNED,
    "services/a/service.yaml": "exclusive: true\n",
    "services/b/b.service": f"[Service]\nExecStart=/bin/true\nBindReadOnlyPaths=/etc/a/conf.d\n{INSTALL}",
}


def with_root(observed: Observed, *entries: RootEntry, problem: str = "") -> Observed:
    """The look with these entries below the exclusive root besides what is declared."""
    declared = RootEntry("/etc/a/x", "file")
    return msgspec.structs.replace(observed, roots=(RootState("/etc/a", (declared, *entries), problem),))


def test_what_nobody_declared_in_an_exclusive_root_is_deleted_with_the_reason() -> None:
    """Its users restart: those that name it or a directory above it, and no others."""
    desired = rendered(EXCLUSIVE)
    last, observed = settled(desired)
    stray = RootEntry("/etc/a/conf.d/y", "file")
    planned = plan(desired, last, with_root(observed, stray, RootEntry("/etc/a/hollow", "directory")))
    found = entry(planned, "config/etc/a/conf.d/y")
    assert (found.action, found.causes[0].kind) == ("delete", "drift")
    assert found.causes[0].summary == "nobody declared it, and /etc/a is exclusive"
    assert found.diff_summary == "removes /etc/a/conf.d/y"
    assert entry(planned, "config/etc/a/hollow").diff_summary == "removes the empty directory /etc/a/hollow"
    assert jobs(planned) == ["restart b.service"]
    assert entry(planned, "service/b").causes[0].source_object == found.object
    removed = [e.path for e in planned.effects if isinstance(e, RemoveUndeclared)]
    assert removed == ["/etc/a/conf.d/y", "/etc/a/hollow"]


@pytest.mark.parametrize(
    ("found", "problem", "says"),
    [
        (RootEntry("/etc/a/pipe", "special"), "", "a device, socket, FIFO or mount point stands at /etc/a/pipe"),
        (RootEntry("/etc/a/sub", "file"), "", "something that is no directory stands at /etc/a/sub"),
        (RootEntry("/etc/a/x", "file"), "it holds more than 10000 entries", "it holds more than 10000 entries"),
    ],
)
def test_what_can_not_be_removed_from_an_exclusive_root_blocks(found: RootEntry, problem: str, says: str) -> None:
    """The plan has no effect then, and names what is in the way."""
    desired = rendered({**EXCLUSIVE, "services/a/config/sub/z": "1\n"})
    last, observed = settled(desired)
    planned = plan(desired, last, with_root(observed, found, problem=problem))
    assert planned.effects == ()
    assert [says in e.causes[0].summary for e in planned.blocked] == [True]


def test_what_appears_in_an_exclusive_root_during_a_run_is_a_failure() -> None:
    """Success is seen: the root holds what is declared, or the run says what else."""
    desired = rendered(EXCLUSIVE)
    last, observed = settled(desired)
    planned = plan(desired, last, observed)
    seen = with_root(observed, RootEntry("/etc/a/new", "file"))
    details = [f.detail for f in judge(planned, desired, seen, frozenset())]
    assert details == ["/etc/a/new appeared in the exclusive /etc/a"]


def test_a_service_that_is_no_longer_exclusive_leaves_what_it_did_not_write() -> None:
    """Only owned files go with a service, an exclusive root or not."""
    desired = rendered({**EXCLUSIVE, "services/a/service.yaml": "exclusive: false\n"})
    assert desired.exclusive == ()
    assert subjects(desired, LastApplied()).roots == ()


def test_a_directory_in_the_way_blocks_everything() -> None:
    """What can't be replaced is named, and no effect is left in the plan."""
    desired = rendered({"services/a/a.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}"})
    host = FakeHost().observe(subjects(desired, LastApplied()))
    files = tuple(msgspec.structs.replace(f, kind="other") for f in host.files)
    planned = plan(desired, LastApplied(), Observed(files, host.units))
    assert [e.action for e in planned.blocked] == ["blocked"]
    assert planned.effects == ()


def test_a_config_directory_counts_as_its_files() -> None:
    """A container that mounts a directory uses every file below it, and no file of another service."""
    files = {
        "services/a/a.container": f"[Container]\nImage=x\nVolume=%E/a/site:/srv:ro\n{INSTALL}",
        "services/a/config/site/one/index.html": "1\n",
        "services/a/config/other": "1\n",
    }
    node = build(rendered(files)).nodes["a.service"]
    assert [c.object.name for c in node.configs] == ["etc/a/site/one/index.html"]


def test_a_service_name_of_its_own_is_respected() -> None:
    """`ServiceName=` names the unit that is started and waited for."""
    planned = first(rendered({"services/a/a.container": f"[Container]\nImage=x\nServiceName=web\n{INSTALL}"}))
    assert jobs(planned) == ["start web.service"]


def test_a_template_is_installed_but_not_started() -> None:
    """Only its instances can run."""
    planned = first(rendered({"services/a/a@.service": f"[Service]\nExecStart=/bin/true\n{INSTALL}"}))
    assert jobs(planned) == []
    assert "a@.service" not in subjects(rendered({"services/a/a@.service": "[Service]\n"}), LastApplied()).units


def test_an_unknown_unit_is_not_found() -> None:
    """The default state is that of a unit systemd never heard of."""
    assert UnitState("x.service").load == "not-found"
    assert FakeStore(Record(status=Status())).load().status == Status()


def test_a_pod_stops_with_a_container_that_a_cut_run_put_into_it() -> None:
    """Of a container without a record nobody knows its pod; one that keeps no other container may end with it."""
    host, whole, empty = FakeHost(), rendered(POD), rendered({"services/s/p.pod": POD["services/s/p.pod"]})
    before = plan(empty, LastApplied(), host.observe(subjects(empty, LastApplied())))
    host.carry_out(before.effects)
    last = LastApplied(empty, before.owned_after, before.started_after)
    cut = plan(whole, last, host.observe(subjects(whole, last)))
    host.carry_out(cut.effects)
    last = msgspec.structs.replace(last, owned=cut.owned, started=cut.started)
    planned = plan(empty, last, host.observe(subjects(empty, last)))
    assert jobs(planned)[-1] == "restart p-pod.service"
    host.carry_out(planned.effects)
    assert "p-pod.service" in host.running


def test_links_of_one_verb_change_in_one_batch() -> None:
    """Each call of systemctl looks at all unit files of a host, so a thousand units must not mean a thousand calls."""
    both = {f"services/s/{n}.service": f"[Service]\nExecStart=true\n{INSTALL}" for n in "ab"}
    links = [b for b in batches(first(rendered(both)).effects) if isinstance(b[0], SetEnablement)]
    assert [[e.unit for e in batch if isinstance(e, SetEnablement)] for batch in links] == [["a.service", "b.service"]]
