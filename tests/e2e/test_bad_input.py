"""Whatever is wrong with repository, network or host: one clear error, nothing changed, and the next good run works."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core_ops_verify.guest.api import Options
from core_ops_verify.guest.box import Bind
from e2e.conftest import MakeGuest
from e2e.site import THREE, Site, container

pytestmark = pytest.mark.e2e

HOST = "hosts/guest/host.yaml"
HELD_LIMIT_S = 60  # glibc asks a silent server twice, 5 s each, before it gives up


def _symlink(site: Site) -> None:
    (site.repo.path / "services/one/config/link").symlink_to("/etc/shadow")
    site.commit({})


def _huge(site: Site) -> None:
    with (site.repo.path / "services/one/config/huge").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    site.commit({})


def _dotdot(site: Site) -> None:
    site.commit({"services/one/service.yaml": "config-root: ../../root\n"})


BAD: dict[str, tuple[Callable[[Site], object], str, str]] = {
    "unknown key": (lambda s: s.commit({HOST: THREE[HOST] + "sevrices: []\n"}), "HostManifestParse", f"{HOST}:3"),
    "missing service": (
        lambda s: s.commit({HOST: "host: guest\nservices: [net, one, two, three, db]\n"}),
        "MissingService",
        f"{HOST}:2",
    ),
    "orphan drop-in": (
        lambda s: s.commit({"services/one/db.container.d/a.conf": "[Unit]\n"}),
        "OrphanDropIn",
        "services/one/db.container.d/a.conf",
    ),
    "two sources": (
        lambda s: s.commit({"services/one/quadlet/one.container": container("one")}),
        "DestinationConflict",
        "services/one/one.container",
    ),
    "climbing out": (_dotdot, "ConfigEscape", "services/one/service.yaml:1"),
    "symbolic link": (_symlink, "SymlinkEscape", "services/one/config/link"),
    "100 MB file": (_huge, "Oversize", "services/one/config/huge"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_revision_is_refused_with_its_place(site: Site, name: str) -> None:
    """The refusal names code, file and line; what runs goes on; the next good revision applies."""
    spoil, code, place = BAD[name]
    good = site.start()
    before = site.fingerprint()
    spoil(site)

    refused = site.agent(status=1)

    assert code in refused.stderr
    assert place in refused.stderr
    assert "next:" in refused.stderr
    assert site.fingerprint() == before
    assert site.applied() == good

    bad = site.repo.head()
    site.repo.git("reset", "-q", "--hard", good)
    site.commit({"services/two/two.container": container("two", image=2)})
    # A branch that goes back is a rollback, so the way out of a bad revision is forward: a commit on top of it.
    healed = site.repo.commit_tree(site.repo.git("rev-parse", "HEAD^{tree}"), site.key, bad)
    site.agent()
    assert site.applied() == healed


SOURCES = {
    "not a repository": ("file:///srv/git/nothing", "main", "not-a-repository"),
    "ref missing": ("file:///srv/git/hosts", "nosuch", "ref-missing"),
    "server down": ("https://127.0.0.1:9/hosts", "main", "fetch-failed"),
    "name unknown": ("https://nowhere.invalid/x.git", "main", "fetch-failed"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_cannot_be_had_is_a_warning_once_something_was_applied(site: Site, name: str) -> None:
    """Before the first apply it is an error with its code; afterwards the host is held to the last good revision, exit 0."""
    repository, ref, code = SOURCES[name]
    site.commit(THREE)
    site.init(repository, ref)
    first = site.core_ops("agent")
    assert first.status == 1
    assert code in first.stderr
    assert "next:" in first.stderr

    site.init("file:///srv/git/hosts", "main", "--force")
    site.agent()
    site.repo.path.rename(site.repo.path.with_name("away"))
    site.guest.check("systemctl", "stop", "one.service")
    held = site.agent()
    assert "the repository was not reached" in held.stderr
    assert site.guest.show("one.service", "ActiveState") == {"ActiveState": "active"}


@pytest.mark.parametrize("names", ["refused", "unanswered"])
def test_a_host_is_held_while_no_name_can_be_resolved(site: Site, names: str) -> None:
    """Whether name servers refuse or keep silent: the name is told, drift is repaired, exit 0, and that soon."""
    good = site.start()
    site.init("https://nowhere.invalid/x.git", "main", "--force")
    if names == "unanswered":  # a socket that nobody reads from
        site.guest.write_text("/etc/resolv.conf", "nameserver 127.0.0.1\n")
        site.guest.check("systemd-run", "--unit=names", "--socket-property=ListenDatagram=127.0.0.1:53", "sleep", "inf")
    site.guest.check("systemctl", "stop", "one.service")
    site.guest.check("rm", "/etc/two/index.html")
    began = time.monotonic()

    held = site.agent()

    assert time.monotonic() - began < HELD_LIMIT_S
    assert "the repository was not reached" in held.stderr
    assert "nowhere.invalid" in held.stderr
    assert "(fetch-failed)" in held.stderr
    assert site.guest.show("one.service", "ActiveState") == {"ActiveState": "active"}
    assert site.page("two") == "<p>two</p>\n"
    assert site.applied() == good
    asked = site.guest.exec("systemctl", "is-active", "names.service").stdout
    assert asked == ("active\n" if names == "unanswered" else "inactive\n")


def test_a_commit_as_ref_and_other_transports_are_refused(site: Site) -> None:
    """`init` says at once what it can't accept, and leaves the host as it was."""
    revision = site.commit(THREE)
    site.guest.write_text("/root/signers", site.key.allowed())
    for repository, ref in (
        ("file:///srv/git/hosts", revision),
        ("git://example.com/x", "main"),
        ("http://example.com/x", "main"),
    ):
        said = site.core_ops("init", repository, ref, "--signers", "/root/signers")
        assert said.status in {1, 2}
        assert "next:" in said.stderr
    assert site.core_ops("agent").status == 1
    assert "core-ops init" in site.core_ops("agent").stderr


def test_a_read_only_etc_is_named_and_nothing_is_stopped(site: Site) -> None:
    """The run fails before the first unit is stopped, says which file system, and works once it is writable."""
    site.start()
    before = site.invocations("one", "two", "three")
    revision = site.commit({"services/two/two.container": container("two", image=2)})
    failed = site.guest.run("core-ops", "agent", properties=("ReadOnlyPaths=/etc",))
    assert failed.status == 1
    assert "Read-only file system" in failed.stderr
    assert "/etc/containers/systemd/two.container" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert site.invocations("one", "two", "three") == before
    site.agent()
    assert site.applied() == revision


def test_a_full_disk_is_named_and_the_next_run_goes_on(make_guest: MakeGuest, tmp_path: Path) -> None:
    """With no space for the record nothing on the host changes; with space again the run goes on from there."""
    (tmp_path / "srv").mkdir()
    options = Options(var_size_bytes=200 * 1024 * 1024, binds=(Bind(tmp_path / "srv", "/srv/git"),))
    site = Site(make_guest(options=options), tmp_path / "srv")
    site.start()
    before = site.invocations("one", "two", "three")
    revision = site.commit({"services/two/two.container": container("two", image=2)})
    site.guest.exec("sh", "-c", "mkdir /var/full; cat /dev/zero > /var/full/0")
    site.guest.exec("sh", "-c", "i=1; while head -c 900 /dev/zero > /var/full/$i; do i=$((i+1)); done; sync")

    failed = site.core_ops("agent")

    assert failed.status == 1
    assert "No space left on device" in failed.stderr
    assert "next:" in failed.stderr
    assert site.invocations("one", "two", "three") == before
    site.guest.check("rm", "-r", "/var/full")
    site.agent()
    assert site.applied() == revision
