"""Source trees to measure with: N services, each a unit with a drop-in and a config file."""

from collections.abc import Mapping

_SERVICE = (
    "[Unit]\nStartLimitIntervalSec=0\n"  # rounds restart it more often than systemd would let them
    "[Service]\nType=oneshot\nRemainAfterExit=yes\nEnvironmentFile=/etc/{name}/app.conf\nExecStart=/bin/true\n"
    "[Install]\nWantedBy=multi-user.target\n"
)
_CONTAINER = (
    "[Container]\nImage=registry.example.com/{name}:1\nVolume=/etc/{name}/app.conf:/app.conf:ro\nNetwork=web.network\n"
    "HealthCmd=/bin/true\n[Service]\nRestart=always\n[Install]\nWantedBy=multi-user.target\n"
)
CHANGED_UNIT = "s0000.service"
OVERRIDDEN = 20  # every 20th service is changed by a host: 5 %


def one_host(services: int) -> Mapping[str, str]:
    """Return a tree whose host `guest` selects that many native one-shot services."""
    names = _names(services)
    files = {"hosts/guest/host.yaml": _manifest("guest", names)}
    for name in names:
        files |= _service(name, "service", _SERVICE)
    return files


def changed_everywhere(services: int) -> Mapping[str, str]:
    """Return the same files as `one_host` has, with another description, unit and config file for every service."""
    files: dict[str, str] = {}
    for name in _names(services):
        files |= _service(name, "service", _SERVICE.replace("/bin/true", "/bin/echo"))
        files[f"services/{name}/{name}.service.d/d.conf"] = f"[Unit]\nDescription={name} again\n"
        files[f"services/{name}/config/app.conf"] = f"NAME={name}\nAGAIN=yes\n"
    return files


def changed_config(text: str) -> Mapping[str, str]:
    """Return the config file of the one unit that `CHANGED_UNIT` names, with another content."""
    return {f"services/{CHANGED_UNIT.removesuffix('.service')}/config/app.conf": f"NAME={text}\n"}


def installed(services: int) -> Mapping[str, str]:
    """Return the files of `one_host` where they belong on a host, to be written there without an agent."""
    files: dict[str, str] = {}
    for name in _names(services):
        source = _service(name, "service", _SERVICE)
        files[f"/etc/systemd/system/{name}.service"] = source[f"services/{name}/{name}.service"]
        files[f"/etc/systemd/system/{name}.service.d/d.conf"] = source[f"services/{name}/{name}.service.d/d.conf"]
        files[f"/etc/{name}/app.conf"] = source[f"services/{name}/config/app.conf"]
    return files


def many_hosts(services: int, hosts: int) -> Mapping[str, str]:
    """Return a tree whose hosts all select all services, half of them containers on one network; each changes 5 %."""
    names = _names(services)
    kinds = {name: ("container", "service")[place % 2] for place, name in enumerate(names)}
    files = {"services/web/web.network": "[Network]\n"}
    for name, kind in kinds.items():
        files |= _service(name, kind, _CONTAINER if kind == "container" else _SERVICE)
    for place in range(hosts):
        host = f"h{place:02}"
        files[f"hosts/{host}/host.yaml"] = _manifest(host, ("web", *names))
        for name in names[place % OVERRIDDEN :: OVERRIDDEN]:
            files[f"hosts/{host}/overrides/{name}.{kinds[name]}.d/h.conf"] = f"[Service]\nEnvironment=HOST={host}\n"
    return files


def _names(services: int) -> tuple[str, ...]:
    return tuple(f"s{number:04}" for number in range(services))


def _manifest(host: str, services: tuple[str, ...]) -> str:
    return f"host: {host}\nservices: [{', '.join(services)}]\n"


def _service(name: str, kind: str, text: str) -> Mapping[str, str]:
    base = f"services/{name}"
    return {
        f"{base}/{name}.{kind}": text.format(name=name),
        f"{base}/{name}.{kind}.d/d.conf": f"[Unit]\nDescription={name}\n",
        f"{base}/config/app.conf": f"NAME={name}\n",
    }
