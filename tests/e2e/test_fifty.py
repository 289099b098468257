"""A host with fifty containers: what a change restarts is counted twice, by systemd's invocations and by its journal."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from e2e.site import Site

pytestmark = pytest.mark.e2e

STARTED = "39f53479d3a045ac8e11786248231fbf"  # sd-messages.h, SD_MESSAGE_UNIT_STARTED: a start job ended well
LIMIT_S = 90
NAMES = tuple(f"c{number:02}" for number in range(50))
NETWORKED, READERS = NAMES[10:20], NAMES[20:23]
PLAIN = """\
[Container]
Image=localhost/{image}
Pull=never
Network={network}
{more}
[Install]
WantedBy=multi-user.target
"""


def container(name: str, image: str = "sleeper:1") -> str:
    """A container that only runs; some are on the shared network, some read the shared config file."""
    network = "shared.network" if name in NETWORKED else "none"
    more = "Volume=/etc/shared/shared.conf:/shared.conf:ro\n" if name in READERS else ""
    return PLAIN.format(image=image, network=network, more=more)


def path(name: str) -> str:
    """Where a container's file is in the repository."""
    return f"services/{name}/{name}.container"


FIFTY: Mapping[str, str] = {
    "hosts/guest/host.yaml": f"host: guest\nservices: [shared, {', '.join(NAMES)}]\n",
    "services/shared/shared.network": "[Network]\nLabel=v=1\n",
    "services/shared/config/shared.conf": "v=1\n",
    **{path(name): container(name) for name in NAMES},
}


def invocations(site: Site) -> Mapping[str, str]:
    """When each container was started last, as an id, asked of systemd at once."""
    units = (f"{name}.service" for name in NAMES)
    shown = site.guest.check("systemctl", "show", "-P", "InvocationID", *units)
    return dict(zip(NAMES, shown.split(), strict=True))


def restarts(site: Site, files: Mapping[str, str]) -> Counter[str]:
    """Commit, run, and return how often the journal says that each container was started; systemd has to agree on whom."""
    before = invocations(site)
    _, _, cursor = site.guest.check("journalctl", "-n0", "--show-cursor").partition("-- cursor: ")
    site.commit(files)
    site.agent()
    site.guest.check("journalctl", "--sync")
    wanted = ("-o", "json", f"--after-cursor={cursor.strip()}", "_PID=1", f"MESSAGE_ID={STARTED}")
    events = [json.loads(line) for line in site.guest.check("journalctl", *wanted).splitlines()]
    told = Counter(name for event in events if (name := event["UNIT"].removesuffix(".service")) in NAMES)
    after = invocations(site)
    assert {name for name in NAMES if before[name] != after[name]} == set(told)
    return told


def once(names: Iterable[str]) -> Counter[str]:
    """Each of them one time, and no other."""
    return Counter(dict.fromkeys(names, 1))


def test_of_fifty_containers_a_change_restarts_its_users_once(site: Site) -> None:
    """An image concerns one, a network its ten, a config file its three; a comment and a run without news concern nobody."""
    began = time.monotonic()
    site.commit(FIFTY)
    site.init()
    site.agent()

    assert len(site.guest.check("podman", "ps", "-q").split()) == len(NAMES)
    assert restarts(site, {path("c05"): container("c05", "whoami:2")}) == once(["c05"])
    assert restarts(site, {"services/shared/shared.network": "[Network]\nLabel=v=2\n"}) == once(NETWORKED)
    labels = ("podman", "network", "inspect", "--format", "{{.Labels}}", "systemd-shared")
    assert site.guest.check(*labels) == "map[v:2]\n"
    assert restarts(site, {"services/shared/config/shared.conf": "v=2\n"}) == once(READERS)
    assert restarts(site, {path("c06"): f"# sleeps\n\n{container('c06')}"}) == once(())
    assert site.applied() == site.repo.head()
    assert restarts(site, {"README.md": "Fifty containers.\n"}) == once(())
    assert len(site.guest.check("podman", "ps", "-q").split()) == len(NAMES)
    assert time.monotonic() - began < LIMIT_S


def test_a_changed_comment_restarts_no_container(site: Site) -> None:
    """What a unit was started from is what its file says, not how it is written."""
    two = {
        "hosts/guest/host.yaml": "host: guest\nservices: [c00, c01]\n",
        **{path(name): container(name) for name in NAMES[:2]},
    }
    site.commit(two)
    site.init()
    site.agent()
    before = site.invocations("c00", "c01")
    revision = site.commit({path("c00"): f"# sleeps\n\n{container('c00')}"})
    site.agent()
    assert site.applied() == revision
    assert site.invocations("c00", "c01") == before
