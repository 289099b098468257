"""Mistakes that tools of this kind have made, each as a scenario that fails if it is made here.

The table in specs/002-reconcile says which other tests guard the rest of them.
"""

import json

import pytest

from e2e.site import THREE, Site, container

pytestmark = pytest.mark.e2e

HOST = "hosts/guest/host.yaml"
PICKY = """\
[Service]
ExecStartPre=/bin/test -e /run/ready
ExecStart=/bin/sleep inf

[Install]
WantedBy=multi-user.target
"""
WITH_DATA = container("one", more="Volume=data.volume:/data\n")


def test_a_list_cut_short_by_an_error_removes_nothing(site: Site) -> None:
    """What cannot be read is no removal, also later: the host still knows all it owns, and removes what really went."""
    good = site.start()
    before = site.fingerprint()
    site.commit({HOST: "host: guest\nservices: [net, one\n"})

    assert "HostManifestParse" in site.agent(status=1).stderr
    assert site.fingerprint() == before
    assert site.applied() == good

    kept = site.invocations("one", "two")
    site.commit({HOST: "host: guest\nservices: [net, one, two]\n"})
    site.agent()
    assert site.invocations("one", "two") == kept
    assert site.guest.show("three.service", "LoadState") == {"LoadState": "not-found"}


def test_a_start_that_failed_is_tried_again_though_nothing_is_new(site: Site) -> None:
    """The applied revision does not move before the work is done; once the cause is gone, the same revision applies."""
    good = site.start()
    revision = site.commit(
        {"services/picky/picky.service": PICKY, HOST: "host: guest\nservices: [net, one, two, three, picky]\n"}
    )
    for _ in range(2):
        assert "picky.service" in site.agent(status=1).stdout
        assert site.applied() == good

    site.guest.check("touch", "/run/ready")
    site.agent()

    assert site.applied() == revision
    assert site.guest.show("picky.service", "ActiveState") == {"ActiveState": "active"}


def test_apply_does_what_plan_showed(site: Site) -> None:
    """With changes of an author and of a hand at once, the result lists the entries of the plan, and no plan is left."""
    site.start()
    site.commit({"services/two/two.container": container("two", image=2), "services/one/config/index.html": "new\n"})
    site.guest.check("rm", "/etc/three/index.html")
    shown = site.core_ops("plan", "--json").json()["entries"]

    *_, result = site.core_ops("apply", "--json").stdout.splitlines()  # a stream, and the result is its last line
    done = json.loads(result)["entries"]

    def changes(entries: list[dict[str, object]]) -> list[tuple[object, ...]]:
        return sorted(
            (str(e["object"]), e["action"], e["causes"]) for e in entries if e.get("action", "no_op") != "no_op"
        )

    assert len(changes(shown)) == 5
    assert changes(done) == changes(shown)
    assert site.core_ops("plan", "--exit-code").status == 0


def test_a_plan_changes_nothing_whoever_runs_beside_it(site: Site) -> None:
    """With a change waiting, alone and while a run holds the lock, a plan leaves host and record as they are."""
    good = site.start()
    site.agent()
    site.commit({f"services/{n}/{n}.container": container(n, image=2) for n in ("one", "two", "three")})
    record = ("sh", "-c", "sha256sum /var/lib/core-ops/*.json /var/lib/core-ops/snapshots/*")
    before = site.fingerprint(), site.guest.check(*record)
    assert site.core_ops("plan", "--exit-code").status == 3
    assert (site.fingerprint(), site.guest.check(*record)) == before

    holder = site.guest.spawn("flock", "/run/core-ops/lock", "sleep", "61")
    site.guest.wait_until("sh", "-c", "! flock -n /run/core-ops/lock true")
    site.core_ops("plan")
    assert (site.fingerprint(), site.guest.check(*record)) == before
    assert site.applied() == good
    site.guest.exec("pkill", "-KILL", "-f", "sleep 61")
    holder.wait(timeout=10)


def test_a_volume_that_leaves_the_repository_keeps_its_data(site: Site) -> None:
    """The unit and its file go; what was written into the volume stays, and is there when it comes back."""
    site.commit({**THREE, "services/one/one.container": WITH_DATA, "services/one/data.volume": "[Volume]\n"})
    site.init()
    site.agent()
    site.guest.check("podman", "exec", "systemd-one", "sh", "-c", "echo precious > /data/file")

    site.commit({"services/one/one.container": container("one"), "services/one/data.volume": None})
    site.agent()
    assert site.guest.show("data-volume.service", "LoadState") == {"LoadState": "not-found"}
    site.commit({"services/one/one.container": WITH_DATA, "services/one/data.volume": "[Volume]\n"})
    site.agent()

    assert site.guest.check("podman", "exec", "systemd-one", "cat", "/data/file") == "precious\n"
