"""What real podman keeps beside a unit: networks that are made anew, volumes that are not."""

import json

import pytest

from e2e.site import THREE, Site

pytestmark = pytest.mark.e2e

NETWORK = "services/net/web.network"
ALONE = "[Container]\nImage=localhost/whoami:1\nPull=never\nNetwork=none\n{more}[Install]\nWantedBy=multi-user.target\n"


def network(site: Site, name: str = "systemd-web") -> str:
    """The subnet of a network that podman has."""
    found = json.loads(site.guest.check("podman", "network", "inspect", name))
    return str(found[0]["subnets"][0]["subnet"])


def test_a_changed_network_is_made_anew_and_only_its_users_restart(site: Site) -> None:
    """Podman has the new subnet; a stranger in the network stops the change, and everything is as it was."""
    alone = {"services/alone/alone.container": ALONE.format(more="")}
    site.commit({**THREE, **alone, "hosts/guest/host.yaml": "host: guest\nservices: [net, one, two, three, alone]\n"})
    site.init()
    site.agent()
    names = ("one", "two", "three", "alone")
    before = site.invocations(*names)

    site.commit({NETWORK: "[Network]\nSubnet=10.77.1.0/24\n"})
    plan = site.core_ops("plan").stdout
    assert "podman keeps the network systemd-web as it was made, so it is removed and made anew" in plan
    site.agent()
    assert network(site) == "10.77.1.0/24"
    after = site.invocations(*names)
    assert {n for n in names if after[n] != before[n]} == {"one", "two", "three"}
    assert site.page("one") == "<p>one</p>\n"

    stranger = ("podman", "run", "--detach", "--name", "stranger", "--network", "systemd-web", "localhost/whoami:1")
    site.guest.check(*stranger)
    revision = site.applied()
    site.commit({NETWORK: "[Network]\nSubnet=10.77.2.0/24\n"})
    failed = site.agent(1)
    assert "remove network systemd-web" in failed.stdout
    assert "podman ps --all --filter network=systemd-web" in failed.stdout
    assert (site.applied(), network(site)) == (revision, "10.77.1.0/24")
    assert "10.77.2.0" not in site.guest.read_text("/etc/containers/systemd/web.network")
    assert site.page("one") == "<p>one</p>\n"

    site.guest.check("podman", "rm", "--force", "--time", "0", "stranger")
    site.agent()
    assert network(site) == "10.77.2.0/24"
    assert site.page("one") == "<p>one</p>\n"

    site.commit({NETWORK: "[Network]\nNetworkName=shared\nSubnet=10.77.3.0/24\n"})
    site.agent()
    listed = site.guest.check("podman", "network", "ls", "--format", "{{.Name}}").split()
    assert sorted(listed) == ["podman", "shared"]

    gone = {p: None for p in THREE if p.startswith("services/")}
    site.commit({**gone, "hosts/guest/host.yaml": "host: guest\nservices: [alone]\n"})
    site.agent()
    assert site.guest.check("podman", "network", "ls", "--format", "{{.Name}}").split() == ["podman"]


def test_a_changed_volume_keeps_its_data_until_somebody_decides(site: Site) -> None:
    """The run succeeds, nothing restarts, every plan says what to do, and doing it brings the new volume."""
    volume = "services/v/data.volume"
    site.commit(
        {
            "hosts/guest/host.yaml": "host: guest\nservices: [v]\n",
            volume: "[Volume]\nLabel=v=1\n",
            "services/v/alone.container": ALONE.format(more="Volume=data.volume:/data\n"),
        }
    )
    site.init()
    site.agent()
    site.guest.check("podman", "exec", "systemd-alone", "sh", "-c", "echo kept >/data/file")
    before = site.invocations("alone", "data-volume")

    site.commit({volume: "[Volume]\nLabel=v=2\n"})
    site.agent()
    assert site.invocations("alone", "data-volume") == before
    label = ("podman", "volume", "inspect", "--format", "{{.Labels}}", "systemd-data")
    assert site.guest.check(*label) == "map[v:1]\n"
    plan = site.core_ops("plan").stdout
    assert "skipped  volume/data" in plan
    assert "`systemctl stop data-volume.service`, `podman volume rm systemd-data` and `core-ops apply`" in plan
    assert site.guest.check("podman", "exec", "systemd-alone", "cat", "/data/file") == "kept\n"

    site.guest.check("systemctl", "stop", "data-volume.service")
    site.guest.check("podman", "volume", "rm", "systemd-data")
    site.agent()
    assert site.guest.check(*label) == "map[v:2]\n"
    assert site.guest.check("podman", "exec", "systemd-alone", "ls", "/data") == ""
    assert "volume/data" not in site.core_ops("plan").stdout
