"""A repository behind https, with a CA of its own: reached, lost, faked and found again."""

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import gitserver
from core_ops_verify.guest.api import Options
from core_ops_verify.guest.netns import NAMED
from e2e.conftest import MakeGuest
from e2e.site import Site, container
from gitserver import CertificateAuthority

pytestmark = pytest.mark.e2e


def web(image: int) -> str:
    """A container on the guest's own network: in a named namespace it has no CAP_NET_ADMIN to make another with."""
    return container("one", image).replace("Network=web.network", "Network=host")


FILES = {
    "hosts/guest/host.yaml": "host: guest\nservices: [one, two]\n",
    "services/one/one.container": web(image=1),
    "services/one/config/index.html": "<p>one</p>\n",
    "services/two/two.service": "[Service]\nExecStart=/bin/sleep inf\n[Install]\nWantedBy=multi-user.target\n",
}


@pytest.fixture
def space() -> Iterator[str]:
    """Return the name of a network namespace, which has to be gone after the test."""
    name = f"https-{os.getpid()}"
    yield name
    assert not (NAMED / name).exists()


@pytest.fixture
def site(space: str, make_guest: MakeGuest, tmp_path: Path) -> Site:
    """Return a guest in the namespace that sees the repository only through what is served there."""
    (tmp_path / "srv").mkdir()
    return Site(make_guest(options=Options(netns=space)), tmp_path / "srv")


@contextmanager
def serving(site: Site, ca: CertificateAuthority, port: int = 0) -> Generator[tuple[int, Path]]:
    """Run `git http-backend` beside the guest; yield its port and the log of what it was asked."""
    certificate, key = ca.issue("127.0.0.1")
    log = site.directory.parent / "requests.log"
    files = ("--root", str(site.directory), "--cert", str(certificate), "--key", str(key))
    command = site.guest.beside(sys.executable, gitserver.__file__, *files, "--port", str(port))
    with (
        log.open("w") as requests,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=requests, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            yield int(server.stdout.readline()), log
        finally:
            server.kill()


def test_a_repository_behind_https_is_followed_lost_and_found_again(site: Site, tmp_path: Path) -> None:
    """Without the right server the host is held to what it has, drift included; with it the newest revision is applied."""
    ca = CertificateAuthority(tmp_path / "ca")
    site.guest.copy_in(ca.file, "/etc/core-ops/ca.pem")
    site.guest.write_text("/etc/core-ops/config.d/ca.toml", 'ca_file = "/etc/core-ops/ca.pem"\n')
    first = site.commit(FILES)
    with serving(site, ca) as (port, log):
        site.init(f"https://127.0.0.1:{port}/hosts")
        site.agent()
        assert site.page("one") == "<p>one</p>\n"
        asked = len(log.read_text().splitlines())
        assert "3 unchanged" in site.agent().stdout
        assert len(log.read_text().splitlines()) == asked + 1  # an unchanged remote is one request
    assert site.applied() == first

    site.guest.check("systemctl", "stop", "two.service")
    site.guest.check("rm", "/etc/one/index.html")
    down = site.agent()
    assert "the repository was not reached" in down.stderr
    assert "(fetch-failed)" in down.stderr
    assert site.guest.show("two.service", "ActiveState") == {"ActiveState": "active"}
    assert site.page("one") == "<p>one</p>\n"
    assert site.core_ops("plan", "--exit-code").status == 0

    second = site.commit({"services/one/one.container": web(image=2)})
    before = site.fingerprint()
    with serving(site, CertificateAuthority(tmp_path / "other", "other-ca"), port) as (_, log):
        faked = site.agent()
        assert "(tls-failed)" in faked.stderr
        assert log.read_text() == ""  # not even the name of the repository was told
    assert site.fingerprint() == before
    assert site.applied() == first

    with serving(site, ca, port):
        assert site.agent().stderr == ""
    assert site.applied() == second
    assert site.guest.check("podman", "inspect", "-f", "{{.ImageName}}", "systemd-one") == "localhost/whoami:2\n"
    assert any(e.get("CORE_OPS_CODE") == "tls-failed" for e in site.events())
