"""Kinds of units beyond the everyday ones, on real systemd and podman."""

from itertools import combinations

import pytest

from core_ops.reconcile.kinds import dropin_targets
from core_ops_verify.guest.api import Guest
from e2e.site import THREE, Site

pytestmark = pytest.mark.e2e

MEMBER = """\
[Container]
Image=app.image
Pod=shop.pod
Exec=sh -c "trap 'exit 0' TERM; sleep inf & wait"
Environment=V={version}
"""
UNITS = ("shop-pod", "one", "two", "app-image")
SHOP = {
    "hosts/guest/host.yaml": "host: guest\nservices: [shop, drop]\n",
    "services/shop/shop.pod": "[Pod]\nPodmanArgs=--label=v=1\n[Install]\nWantedBy=multi-user.target\n",
    "services/shop/app.image": "[Image]\nImage=docker-archive:/root/app.tar\nImageTag=localhost/whoami:1\n",
    "services/shop/one.container": MEMBER.format(version=1),
    "services/shop/two.container": MEMBER.format(version=1),
    "services/drop/drop.path": "[Path]\nPathExists=/run/drop\n[Install]\nWantedBy=multi-user.target\n",
    "services/drop/drop.service": "[Service]\nType=oneshot\nExecStart=/bin/mv /run/drop /run/taken\n",
}


def changed(site: Site, before: dict[str, str]) -> set[str]:
    """The units that were started again since."""
    after = site.invocations(*before)
    return {n for n in before if before[n] != after[n]}


def test_a_pod_its_image_and_a_path_converge(site: Site) -> None:
    """A pod brings up its containers from a Quadlet image; only what a change concerns restarts; a path starts its job."""
    site.guest.check("podman", "save", "-o", "/root/app.tar", "localhost/whoami:1")
    site.commit(SHOP)
    site.init()
    site.agent()
    assert site.guest.check("podman", "pod", "ps", "--format", "{{.Name}} {{.Status}}") == "systemd-shop Running\n"
    assert [site.guest.show(f"{u}.service", "ActiveState")["ActiveState"] for u in UNITS] == ["active"] * 4

    site.guest.write_text("/run/drop", "x")
    site.guest.wait_until("test", "-e", "/run/taken")

    before = site.invocations(*UNITS)
    site.commit({"services/shop/two.container": MEMBER.format(version=2)})
    site.agent()
    assert changed(site, before) == {"two"}

    before = site.invocations(*UNITS)
    site.commit({"services/shop/shop.pod": "[Pod]\nPodmanArgs=--label=v=2\n[Install]\nWantedBy=multi-user.target\n"})
    site.agent()
    assert changed(site, before) == {"shop-pod", "one", "two"}

    before = site.invocations(*UNITS)
    site.commit({f"services/shop/{n}.container": MEMBER.format(version=3) for n in ("one", "two")})
    site.agent()  # podman ends a pod with its last container, so the pod has to stop and start with them
    assert changed(site, before) == {"shop-pod", "one", "two"}


def test_the_only_container_of_a_pod_changes_with_it(site: Site) -> None:
    """Podman ends the pod a moment after its last container stopped; a start in that moment would fail."""
    site.guest.check("podman", "save", "-o", "/root/app.tar", "localhost/whoami:1")
    site.commit(SHOP)
    site.init()
    site.agent()
    for version in (2, 3, 4):
        gone = {"services/shop/two.container": None} if version == 2 else {}
        site.commit({"services/shop/one.container": MEMBER.format(version=version), **gone})
        site.agent()
        active = [site.guest.show(f"{u}.service", "ActiveState")["ActiveState"] for u in UNITS]
        assert active == ["active", "active", "inactive", "active"]
    before = site.invocations(*UNITS)
    site.agent()
    assert changed(site, before) == set()


def test_a_slice_takes_a_new_limit_while_its_units_run(site: Site) -> None:
    """A reload is enough: systemd has the new limit, and nothing was restarted."""
    files = {
        "hosts/guest/host.yaml": "host: guest\nservices: [web]\n",
        "services/web/web.slice": "[Slice]\nTasksMax=500\n",
        "services/web/web.service": "[Service]\nExecStart=sleep inf\nSlice=web.slice\n[Install]\nWantedBy=multi-user.target\n",
    }
    site.commit(files)
    site.init()
    site.agent()
    before = site.invocations("web")
    site.commit({"services/web/web.slice": "[Slice]\nTasksMax=600\n"})
    site.agent()
    assert site.guest.show("web.slice", "TasksMax") == {"TasksMax": "600"}
    assert changed(site, before) == set()


@pytest.mark.parametrize("unit", ["a-b-c.service", "a-b@1-2.service", "a--b.service", "a-.socket", "a.timer"])
def test_systemd_reads_drop_ins_in_the_order_that_is_planned(bare_guest: Guest, unit: str) -> None:
    """Of two drop-ins with one name, systemd reads the one from the directory that the plan says counts more."""
    targets = dropin_targets(unit)
    pairs = [f"{one}-over-{other}" for one, other in combinations(range(len(targets)), 2)]
    for place, target in enumerate(targets):
        bare_guest.write_text(f"/etc/systemd/system/{target}.d/alone-{place}.conf", "[Unit]\nDescription=x\n")
        for pair in pairs:
            if str(place) in pair.split("-"):
                bare_guest.write_text(f"/etc/systemd/system/{target}.d/{pair}.conf", "[Unit]\nDescription=x\n")
    body = {"service": "[Service]\nExecStart=true\n", "socket": "[Socket]\nListenStream=9\n"}
    template = unit.replace("1-2", "")
    bare_guest.write_text(
        f"/etc/systemd/system/{template}", body.get(unit.rpartition(".")[2], "[Timer]\nOnBootSec=9h\n")
    )
    bare_guest.check("systemctl", "daemon-reload")
    read = bare_guest.show(unit, "DropInPaths")["DropInPaths"].split()
    chosen = [f"/etc/systemd/system/{targets[int(pair[0])]}.d/{pair}.conf" for pair in pairs]
    alone = [f"/etc/systemd/system/{target}.d/alone-{place}.conf" for place, target in enumerate(targets)]
    own = [p for p in read if p.startswith("/etc/systemd/system/")]
    assert own == sorted((*alone, *chosen), key=lambda path: path.rpartition("/")[2])


def test_what_a_change_means_decides_what_happens(site: Site) -> None:
    """A reload takes in a config file, a comment changes nothing, and a new setting restarts; on real systemd."""
    listens = "trap 'cat /etc/web/app.conf >/run/seen' HUP; while :; do sleep 0.1; done"
    unit = (
        f'[Service]\nExecStart=/bin/sh -c "{listens}"\nExecReload=/bin/kill -HUP $MAINPID\n'
        "[Install]\nWantedBy=multi-user.target\n"
    )
    files = {
        "hosts/guest/host.yaml": "host: guest\nservices: [web]\n",
        "services/web/web.service": unit,
        "services/web/config/app.conf": "one\n",
    }
    site.commit(files)
    site.init()
    site.agent()
    before = site.invocations("web")

    site.commit({"services/web/config/app.conf": "two\n"})
    site.agent()
    site.guest.wait_until("grep", "-q", "two", "/run/seen")
    assert changed(site, before) == set()

    site.commit({"services/web/web.service": f"# a comment\n{unit}"})
    plan = site.core_ops("plan")
    assert "comments or layout only" in plan.stdout
    site.agent()
    assert "comment" not in site.guest.read_text("/etc/systemd/system/web.service")
    assert site.guest.show("web.service", "NeedDaemonReload") == {"NeedDaemonReload": "no"}
    assert changed(site, before) == set()

    site.commit({"services/web/web.service": unit.replace("[Install]", "Nice=5\n[Install]")})
    assert "Nice=" in site.core_ops("plan").stdout
    site.agent()
    assert changed(site, before) == {"web"}


def test_a_unit_that_somebody_put_in_front_is_not_taken_for_ours(site: Site) -> None:
    """A file in /etc/systemd/system counts more than what Quadlet generates; the run says which one systemd has loaded."""
    site.guest.write_text("/etc/systemd/system/one.service", "[Service]\nExecStart=sleep inf\n")
    site.commit(THREE)
    site.init()
    failed = site.agent(1)
    assert "systemd has loaded one.service from /etc/systemd/system/one.service" in failed.stdout
    assert "not from /etc/containers/systemd/one.container" in failed.stdout
    site.guest.check("rm", "/etc/systemd/system/one.service")
    site.agent()
    assert site.page("one") == "<p>one</p>\n"
