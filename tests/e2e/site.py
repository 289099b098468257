"""A guest, the signed repository it tracks, and what tests do with both."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from core_ops_verify.guest.api import Guest
from core_ops_verify.guest.inside import Finished
from repos import Key, Repo, make_key

UNITS = Path(__file__).parents[2] / "units" / "systemd"

WHOAMI = """\
[Container]
Image=localhost/whoami:{image}
Pull=never
Network=web.network
Volume=%E/{name}/index.html:/www/index.html:ro
{more}
[Service]
Restart=always

[Install]
WantedBy=multi-user.target
"""


def container(name: str, image: int = 1, more: str = "") -> str:
    """A container that answers with its page on port 8080."""
    return WHOAMI.format(name=name, image=image, more=more)


THREE: Mapping[str, str] = {
    "hosts/guest/host.yaml": "host: guest\nservices: [net, one, two, three]\n",
    "services/net/web.network": "[Network]\n",
    **{
        path: text
        for name in ("one", "two", "three")
        for path, text in {
            f"services/{name}/{name}.container": container(name),
            f"services/{name}/config/index.html": f"<p>{name}</p>\n",
        }.items()
    },
}


class Site:
    """The guest tracks `main` of a repository that is bound into it at /srv/git/hosts."""

    def __init__(self, guest: Guest, directory: Path) -> None:
        self.guest = guest
        self.directory = directory
        self.repo = Repo(directory / "hosts")
        self.key: Key = make_key(directory.parent / "keys", "alice")
        guest.write_text("/etc/core-ops/config.d/host.toml", 'host = "guest"\n')

    def commit(self, files: Mapping[str, str | None], *, key: Key | None = None, signed: bool = True) -> str:
        """Commit changed files (None removes one) and return the revision."""
        for path, text in files.items():
            if text is None:
                self.repo.remove(path)
            else:
                self.repo.write(path, text)
        return self.repo.commit("change", (key or self.key) if signed else None)

    def init(self, repository: str = "file:///srv/git/hosts", ref: str = "main", *options: str) -> None:
        """Make the guest track the repository."""
        self.guest.write_text("/root/signers", self.key.allowed())
        self.guest.check("core-ops", "init", repository, ref, "--signers", "/root/signers", *options)

    def start(self) -> str:
        """Commit three containers, track them and converge; return the revision."""
        revision = self.commit(THREE)
        self.init()
        self.agent()
        return revision

    def core_ops(self, *arguments: str) -> Finished:
        """Run the agent's program in the guest."""
        finished = self.guest.exec("core-ops", *arguments)
        assert "Traceback" not in finished.stderr + finished.stdout, finished.stderr
        return finished

    def agent(self, status: int = 0) -> Finished:
        """Make one unattended run and expect its exit status."""
        finished = self.core_ops("agent")
        assert finished.status == status, finished.stdout + finished.stderr
        return finished

    def install_timer(self, every_s: int = 1) -> None:
        """Install the units as they are shipped, with a timer that fires often."""
        for unit in ("core-ops.service", "core-ops.timer"):
            self.guest.write_text(f"/etc/systemd/system/{unit}", (UNITS / unit).read_text())
        often = (
            f"[Timer]\nOnBootSec=\nOnCalendar=\nOnCalendar=*:*:0/{every_s}\nRandomizedDelaySec=0\nAccuracySec=50ms\n"
        )
        self.guest.write_text("/etc/systemd/system/core-ops.timer.d/often.conf", often)
        self.guest.check("systemctl", "daemon-reload")
        self.guest.check("systemctl", "enable", "--now", "core-ops.timer")

    def status(self) -> dict[str, object]:
        """The persisted status."""
        found: dict[str, object] = json.loads(self.guest.check("core-ops", "status", "--json"))
        return found

    def applied(self) -> str:
        """The revision that the status says is applied."""
        return str(
            json.loads(self.guest.read_text("/var/lib/core-ops/status.json"))["reconciliation"]["last_applied_revision"]
        )

    def wait_applied(self, revision: str) -> None:
        """Wait until the timer has brought the guest to a revision."""
        wanted = f'"last_applied_revision": "{revision}"'
        self.guest.wait_until("grep", "-q", wanted, "/var/lib/core-ops/status.json", timeout_s=30)

    def invocations(self, *names: str) -> dict[str, str]:
        """When each unit was started last, as an id."""
        return {n: self.guest.show(f"{n}.service", "InvocationID")["InvocationID"] for n in names}

    def page(self, name: str) -> str:
        """What a container answers over HTTP, asked from inside it."""
        return self.guest.check("podman", "exec", f"systemd-{name}", "wget", "-qO-", "http://127.0.0.1:8080/")

    def fingerprint(self) -> str:
        """Everything that a refused revision must not change: /etc, units with their invocations, containers."""
        files = self.guest.check("sh", "-c", "find /etc -xdev -type f -o -type l | sort | xargs ls -ln --full-time; ")
        sums = self.guest.check("sh", "-c", "find /etc -xdev -type f | sort | xargs sha256sum")
        units = self.guest.check("systemctl", "list-units", "--plain", "--no-legend", "--all", "*.service", "*.timer")
        units = "\n".join(line for line in units.splitlines() if "core-ops" not in line)
        ids = self.invocations("one", "two", "three")
        return hashlib.sha256("\0".join([files, sums, units, str(ids)]).encode()).hexdigest()

    def events(self) -> list[dict[str, str]]:
        """What the agent told the journal in this boot, oldest first."""
        lines = self.guest.check("journalctl", "-b", "-o", "json", "SYSLOG_IDENTIFIER=core-ops")
        return [json.loads(line) for line in lines.splitlines()]
