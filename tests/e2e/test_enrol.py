"""How a host begins to track a repository, and begins again."""

import json

import pytest

from e2e.site import THREE, Site, container
from repos import Repo, make_key

pytestmark = pytest.mark.e2e


def test_a_second_init_needs_force_and_keeps_what_is_owned(site: Site) -> None:
    """Another repository begins another history; what the old one put on the host is still removed."""
    site.start()
    other = Repo(site.directory / "other")
    files = {"hosts/guest/host.yaml": "host: guest\nservices: [one]\n"}
    files |= {"services/one/one.container": container("one").replace("Network=web.network\n", "")}
    files |= {"services/one/config/index.html": "<p>other</p>\n"}
    for path, text in files.items():
        other.write(path, text)
    revision = other.commit("other", site.key)
    arguments = ("file:///srv/git/other", "main", "--signers", "/root/signers")

    refused = site.core_ops("init", *arguments)
    assert refused.status == 1
    assert "--force" in refused.stderr
    assert site.core_ops("init", *arguments, "--force").status == 0
    site.agent()

    assert site.applied() == revision
    assert site.page("one") == "<p>other</p>\n"
    assert site.guest.exec("podman", "container", "exists", "systemd-two").status == 1


@pytest.mark.parametrize("spared", [True, False])
def test_a_corrupt_record_is_recovered_by_force(site: Site, spared: bool) -> None:  # noqa: FBT001 - both cases
    """With its record damaged the agent changes nothing; `init --force` takes the host over again, forgetting no more."""
    site.start()
    before = site.fingerprint()
    damaged = ("status.json",) if spared else ("status.json", "deterministic-state.json")
    for name in damaged:
        site.guest.write_text(f"/var/lib/core-ops/{name}", "{")
    failed = site.core_ops("agent")
    assert failed.status == 1
    assert "--force" in failed.stderr
    assert site.status()["lifecycle"] == "Corrupt"
    assert site.fingerprint() == before

    if spared:  # ownership was not lost: even a changed revision goes over what the old one wrote
        site.commit({"services/two/two.container": container("two", image=2)})
    site.init("file:///srv/git/hosts", "main", "--force")
    site.agent()
    assert site.core_ops("plan", "--exit-code").status == 0


def test_a_pin_alone_is_enough(site: Site) -> None:
    """A host that gets its pin from Ignition needs no `init`."""
    revision = site.commit(THREE)
    site.guest.write_text("/etc/core-ops/allowed_signers", site.key.allowed())
    site.guest.write_text(
        "/etc/core-ops/trust.json", json.dumps({"repository": "file:///srv/git/hosts", "ref": "main"})
    )
    site.agent()
    assert site.applied() == revision


def test_the_environment_alone_is_enough_but_may_not_contradict(site: Site) -> None:
    """CORE_OPS_REPO and CORE_OPS_REV serve drop-in installs; against a stored source they are refused."""
    revision = site.commit(THREE)
    site.guest.write_text("/etc/core-ops/allowed_signers", site.key.allowed())
    source = {"CORE_OPS_REPO": "file:///srv/git/hosts", "CORE_OPS_REV": "main"}
    done = site.guest.exec("core-ops", "agent", environment=source)
    assert done.status == 0, done.stderr
    assert site.applied() == revision

    site.init("file:///srv/git/hosts", "main", "--force")
    refused = site.guest.exec("core-ops", "agent", environment={**source, "CORE_OPS_REV": "other"})
    assert refused.status == 1
    assert "CORE_OPS_REV says other" in refused.stderr


def test_the_first_revision_must_descend_from_the_anchor(site: Site) -> None:
    """With --anchor a signed but older revision is refused at the first run already."""
    old = site.commit(THREE)
    newer = site.commit({"services/one/config/index.html": "<p>newer</p>\n"})
    site.repo.git("reset", "-q", "--hard", old)
    site.init("file:///srv/git/hosts", "main", "--anchor", newer)
    refused = site.core_ops("agent")
    assert refused.status == 1
    assert "not-a-descendant" in refused.stderr
    site.repo.git("reset", "-q", "--hard", newer)
    newest = site.commit({"services/one/config/index.html": "<p>newest</p>\n"})
    site.agent()
    assert site.applied() == newest


def test_a_signed_tag_is_tracked(site: Site) -> None:
    """A tag's own signature counts; its commit needs none; a tag of another name or an unsigned one is refused."""
    site.commit(THREE, signed=False)
    site.repo.tag("v1", site.key)
    site.init("file:///srv/git/hosts", "v1")
    site.agent()
    site.repo.git("tag", "-d", "v1")
    site.repo.tag("v1", make_key(site.directory.parent / "keys", "mallory"))
    refused = site.core_ops("agent")
    assert refused.status == 1
    assert "unknown-key" in refused.stderr


def test_no_signatures_is_spelled_out(site: Site) -> None:
    """Unsigned revisions are applied only when somebody said so, and every status tells of it."""
    revision = site.commit(THREE, signed=False)
    said = site.guest.check("core-ops", "init", "file:///srv/git/hosts", "main", "--insecure-no-signatures")
    assert "NOTHING IS AUTHENTICATED" in said
    site.agent()
    assert site.applied() == revision
    assert "signatures are not checked" in site.guest.check("core-ops", "status")


def test_a_missing_or_bad_signers_file_is_named(site: Site) -> None:
    """Nobody in the file, no file, or a line that is not understood: said at `init`, with the line."""
    site.commit(THREE)
    source = ("file:///srv/git/hosts", "main")
    missing = site.core_ops("init", *source)
    assert missing.status == 1
    assert "/etc/core-ops/allowed_signers" in missing.stderr
    site.guest.write_text("/root/bad", "alice ssh-ed25519 AAAA\n")
    bad = site.core_ops("init", *source, "--signers", "/root/bad")
    assert bad.status == 1
    assert "/root/bad:1: the key cannot be used" in bad.stderr
    assert site.status()["lifecycle"] == "Uninitialized"
    secret = site.core_ops("init", "https://user:token@127.0.0.1:9/x", "main", "--signers", "/root/bad")
    assert secret.status == 2
    assert "token" not in secret.stderr
