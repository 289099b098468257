"""Config files on a real host: mode and owner, exclusive roots, bytes that are no text, manifests in TOML."""

import hashlib

import pytest

from e2e.site import Site

pytestmark = pytest.mark.e2e

HOST = 'host = "guest"\nservices = ["app"]\n'
MANIFEST = """\
exclusive = true

[files]
"key.pem" = { mode = 0o640, owner = "app", group = 4242 }
"run.sh".group = "app"
"""
SERVICE = "[Service]\nExecStart=sleep inf\n{more}\n[Install]\nWantedBy=multi-user.target\n"
APP = {
    "hosts/guest/host.toml": HOST,
    "services/app/service.toml": MANIFEST,
    "services/app/app.service": SERVICE.format(more="BindReadOnlyPaths=/etc/app"),
    "services/app/other.service": SERVICE.format(more=""),
    "services/app/config/key.pem": "secret\n",
    "services/app/config/site/index.html": "<p>base</p>\n",
    "hosts/guest/app/config/site/index.html": "<p>this host</p>\n",
}
BINARY = b"\x00\xff\xfe\r\n\x80" * 100


def start(site: Site) -> str:
    """Converge to the files above, an executable and a binary file."""
    site.guest.check("useradd", "--system", "--user-group", "app")
    for path, content, mode in (("run.sh", b"#!/bin/sh\n", 0o755), ("blob.bin", BINARY, 0o644)):
        target = site.repo.path / "services/app/config" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(mode)
    revision = site.commit(APP)
    site.init()
    site.agent()
    return revision


def facts(site: Site, *names: str) -> list[str]:
    """Mode, owner and group of files below the root."""
    return site.guest.check("stat", "-c", "%a %U %g", *(f"/etc/app/{n}" for n in names)).splitlines()


def listing(site: Site) -> list[str]:
    """All that stands below the root."""
    return sorted(site.guest.check("find", "/etc/app", "-mindepth", "1", "-printf", "%P\n").splitlines())


DECLARED = ["blob.bin", "key.pem", "run.sh", "site", "site/index.html"]


def test_config_files_have_their_bytes_mode_and_owner(site: Site) -> None:
    """What the manifests say is what stat(1) says; a host's own file counts whole; bytes arrive as they were committed."""
    start(site)
    group = site.guest.check("id", "-g", "app").strip()
    assert facts(site, "key.pem", "run.sh", "site/index.html") == ["640 app 4242", f"755 root {group}", "644 root 0"]
    assert site.guest.read_text("/etc/app/site/index.html") == "<p>this host</p>\n"
    assert site.guest.check("sha256sum", "/etc/app/blob.bin").split()[0] == hashlib.sha256(BINARY).hexdigest()
    assert site.core_ops("plan", "--exit-code").status == 0


def test_drift_of_owner_and_mode_is_repaired_and_its_user_restarts(site: Site) -> None:
    """The plan says what was changed by hand, one run puts it right, and who reads the file starts again."""
    start(site)
    before = site.invocations("app", "other")
    site.guest.check("chown", "root:root", "/etc/app/key.pem")

    planned = site.core_ops("plan").stdout
    assert "was given another mode or owner on the host (mode 0640, owner root:root)" in planned
    assert "owner root:root -> app:4242" in planned
    site.agent()

    assert facts(site, "key.pem") == ["640 app 4242"]
    after = site.invocations("app", "other")
    assert (after["app"] != before["app"], after["other"] != before["other"]) == (True, False)
    explained = site.core_ops("explain", "config/etc/app/key.pem").stdout
    assert "/etc/app/key.pem (mode 0640, owner app, group 4242)" in explained
    assert "next run     no_op: in sync" in explained


def test_an_unknown_user_is_refused_and_nothing_changes(site: Site) -> None:
    """The plan warns, the run names the user, and files and units are as they were; with the user it goes on."""
    good = start(site)
    before = site.fingerprint()
    wanted = {
        "services/app/service.toml": MANIFEST.replace('"app", group = 4242', '"nosuch"'),
        "services/app/app.service": APP["services/app/app.service"] + "# changed\n",
    }
    revision = site.commit(wanted)

    assert "no user “nosuch” on this host" in site.core_ops("plan").stdout
    refused = site.agent(status=1)

    assert "unknown-owner" in refused.stderr
    assert "nosuch" in refused.stderr
    assert "next:" in refused.stderr
    assert (site.fingerprint(), site.applied()) == (before, good)
    site.guest.check("useradd", "--system", "nosuch")
    site.agent()
    assert (site.applied(), facts(site, "key.pem")) == (revision, ["640 nosuch 0"])


def test_an_exclusive_root_holds_what_is_declared_and_no_more(site: Site) -> None:
    """Files and links that nobody declared go, what links lead to and what lies outside stays, and its user restarts."""
    start(site)
    before = site.invocations("app", "other")
    site.guest.check(
        "sh",
        "-c",
        "mkdir -p /etc/app/extra/deep /etc/app/hollow /etc/app2 /srv/outside; echo x > /etc/app/extra/deep/x.conf; "
        "echo x > /etc/app/site/x; ln -s /srv/outside /etc/app/link; echo x > /srv/outside/x; echo x > /etc/app2/x",
    )

    planned = site.core_ops("plan").stdout
    for name in ("extra/deep/x.conf", "site/x", "link", "hollow"):
        assert f"- delete   config/etc/app/{name}\n" in planned
    assert "nobody declared it, and /etc/app is exclusive" in planned
    site.agent()

    assert listing(site) == DECLARED
    assert site.guest.check("cat", "/srv/outside/x", "/etc/app2/x") == "x\nx\n"
    after = site.invocations("app", "other")
    assert (after["app"] != before["app"], after["other"] != before["other"]) == (True, False)
    assert site.core_ops("plan", "--exit-code").status == 0

    site.guest.check("mkfifo", "/etc/app/pipe")
    blocked = site.agent(status=1)
    assert "/etc/app/pipe" in blocked.stderr
    site.guest.check("rm", "/etc/app/pipe")
    site.commit({"services/app/service.toml": MANIFEST.replace("true", "false")})
    site.guest.write_text("/etc/app/mine", "x")
    site.agent()
    assert listing(site) == sorted([*DECLARED, "mine"])
