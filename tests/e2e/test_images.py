"""Images are on the host before anything is stopped; when one can't be had, nothing is touched."""

import base64
import json

import pytest

from e2e.site import THREE, Site, container

pytestmark = pytest.mark.e2e

ONE = "services/one/one.container"
REGISTRY = "127.0.0.1:5000"
PULLED = f"{REGISTRY}/whoami:1"
SERVED = """\
version: 0.1
storage: {filesystem: {rootdirectory: /srv/registry}}
http: {addr: "127.0.0.1:5000"}
"""
INSECURE = f'[[registry]]\nlocation = "{REGISTRY}"\ninsecure = true\n'


WITH_LOGIN = "auth: {htpasswd: {realm: guests, path: /root/htpasswd}}\n"
LOGIN = "guest:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"  # the password is: secret
CREDENTIALS = "/root/.config/containers/auth.json"  # podman's own place, hidden from the shipped service


def serve(site: Site, more: str = "") -> None:
    """Start a registry on the guest's loopback that has the image, which podman then no longer has by that name."""
    guest = site.guest
    guest.write_text("/root/registry.yml", SERVED + more)
    guest.write_text("/etc/containers/registries.conf.d/50-loopback.conf", INSECURE)
    guest.check("systemd-run", "--unit=registry", "docker-registry", "serve", "/root/registry.yml")
    guest.wait_until("bash", "-c", "</dev/tcp/127.0.0.1/5000")
    guest.check("podman", "tag", "localhost/whoami:1", PULLED)
    guest.check("podman", "push", "--quiet", PULLED)
    guest.check("podman", "untag", PULLED, PULLED)
    assert not guest.exec("podman", "image", "exists", PULLED).ok


def named(image: str, more: str = "Pull=missing") -> str:
    """The first container with another image."""
    return container("one").replace("localhost/whoami:1\nPull=never", f"{image}\n{more}")


def journal(site: Site) -> list[tuple[int, str]]:
    """When what happened to a unit or an image, in microseconds, oldest first."""
    lines = site.guest.check("journalctl", "-b", "-o", "json").splitlines()
    entries = [json.loads(line) for line in lines]
    return [(int(e["__REALTIME_TIMESTAMP"]), str(e.get("MESSAGE", ""))) for e in entries]


def test_a_missing_image_touches_nothing_and_the_next_revision_applies(site: Site) -> None:
    """With Pull=never the run names image, unit and line; the old container runs on until a revision that can be had."""
    good = site.start()
    before = site.fingerprint()
    site.commit({ONE: container("one", image=9), "services/two/config/index.html": "<p>new</p>\n"})
    failed = site.agent(status=1)
    assert "start one.service: the image localhost/whoami:9 of services/one/one.container:2" in failed.stderr
    assert "is not on this host" in failed.stderr
    assert "nothing was stopped or changed" in failed.stderr
    assert site.fingerprint() == before
    assert site.page("one") == "<p>one</p>\n"
    assert site.applied() == good

    better = site.commit({ONE: container("one", image=2)})
    site.agent()
    assert site.applied() == better
    assert site.page("two") == "<p>new</p>\n"
    assert not [e for e in site.events() if e["MESSAGE"].startswith("pulled ")]


def test_an_image_is_pulled_from_a_registry_before_the_old_container_stops(site: Site) -> None:
    """The service pulls it while the old container serves; who looks on reads of it, and so does the journal."""
    site.start()
    serve(site)
    revision = site.commit({ONE: named(PULLED)})
    applied = site.core_ops("apply")
    assert applied.status == 0, applied.stderr
    said = applied.stdout.splitlines()
    assert said.index(f"  pulling {PULLED} for one.service ...") < said.index("  ✓ stop one.service")
    assert site.applied() == revision
    assert site.guest.check("podman", "inspect", "--format", "{{.ImageName}}", "systemd-one").strip() == PULLED

    entries = journal(site)
    (pulled,) = (when for when, what in entries if what == f"pulled {PULLED} for one.service")
    (stopping,) = (when for when, what in entries if what.startswith("Stopping one.service"))
    assert pulled < stopping
    told = [e for e in site.events() if e.get("CORE_OPS_IMAGE")]
    assert [(e["CORE_OPS_IMAGE"], e["CORE_OPS_UNIT"]) for e in told] == [(PULLED, "one.service")]


def test_the_service_pulls_with_the_hosts_own_credentials(site: Site) -> None:
    """Under the restrictions of the shipped service podman still finds what it finds for every unit."""
    site.start()
    login = base64.b64encode(b"guest:secret").decode()
    site.guest.write_text(CREDENTIALS, json.dumps({"auths": {REGISTRY: {"auth": login}}}))
    site.guest.write_text("/root/htpasswd", LOGIN)
    serve(site, WITH_LOGIN)
    site.guest.write_text("/root/nobody.json", "{}")
    anonymous = site.guest.exec("podman", "pull", "--authfile=/root/nobody.json", PULLED)
    assert "authentication required" in anonymous.stderr
    site.install_timer()
    revision = site.commit({ONE: named(PULLED, "Pull=always")})
    site.wait_applied(revision)
    assert site.guest.check("podman", "inspect", "--format", "{{.ImageName}}", "systemd-one").strip() == PULLED


def test_a_registry_that_does_not_answer_touches_nothing(site: Site) -> None:
    """Podman's words are in the message, in the result and in the status; with the registry back the same revision applies."""
    site.start()
    serve(site)
    site.guest.check("systemctl", "stop", "registry.service")
    before = site.fingerprint()
    revision = site.commit({ONE: named(PULLED)})
    failed = site.core_ops("apply", "--json")
    assert failed.status == 1
    assert f"the image {PULLED} of services/one/one.container:2 cannot be pulled" in failed.stderr
    assert "connection refused" in failed.stderr
    lines = [json.loads(line) for line in failed.stdout.splitlines()]
    pulls = [e["state"] for line in lines for e in line.get("events", ()) if e["event_kind"] == "pull"]
    assert pulls == ["started"]
    assert lines[-1]["outcome"] == "failed"
    assert site.fingerprint() == before
    assert site.page("one") == "<p>one</p>\n"

    site.guest.check("systemd-run", "--unit=registry", "docker-registry", "serve", "/root/registry.yml")
    site.agent()
    assert site.applied() == revision


def test_an_image_that_the_registry_does_not_have_touches_nothing(site: Site) -> None:
    """The registry answers, but has no such tag; an .image unit is asked for in the same way."""
    site.start()
    serve(site)
    before = site.fingerprint()
    site.commit({ONE: named("base.image"), "services/one/base.image": f"[Image]\nImage={REGISTRY}/whoami:9\n"})
    failed = site.agent(status=1)
    assert f"start base-image.service: the image {REGISTRY}/whoami:9 of services/one/base.image:2" in failed.stderr
    assert "manifest unknown" in failed.stderr
    assert site.fingerprint() == before
    site.commit({"services/one/base.image": f"[Image]\nImage={PULLED}\n"})
    site.agent()
    assert site.guest.check("podman", "inspect", "--format", "{{.ImageName}}", "systemd-one").strip() == PULLED


def test_a_plan_that_starts_no_container_asks_no_podman(site: Site) -> None:
    """Drift of a native unit is repaired on a host whose podman does not work."""
    native = "[Service]\nExecStart=sleep inf\n[Install]\nWantedBy=multi-user.target\n"
    site.commit({"hosts/guest/host.yaml": "host: guest\nservices: [s]\n", "services/s/a.service": native})
    site.init()
    site.guest.write_text("/root/broken", "#!/bin/sh\necho x >> /root/asked\nexit 125\n", mode=0o755)
    site.guest.check("mount", "--bind", "/root/broken", "/usr/bin/podman")
    site.agent()
    assert not site.guest.exec("test", "-e", "/root/asked").ok

    site.commit({**THREE, "services/s/a.service": None})
    failed = site.agent(status=1)
    assert "ask podman for localhost/whoami:1: exit status 125" in failed.stderr
    assert site.guest.show("a.service", "ActiveState") == {"ActiveState": "active"}


def test_podman_tells_which_images_are_here(site: Site) -> None:
    """A short name, a digest and an id mean the image that podman means by them."""
    digest = site.guest.check("podman", "image", "inspect", "--format", "{{.Digest}}", "localhost/whoami:1").strip()
    files = {
        "services/one/one.container": named("whoami:1", "Pull=never"),
        "services/two/two.container": container("two").replace("whoami:1", f"whoami@{digest}"),
    }
    site.commit({**THREE, **files})
    site.init()
    site.agent()
    assert site.page("one") == "<p>one</p>\n"
    assert site.page("two") == "<p>two</p>\n"
