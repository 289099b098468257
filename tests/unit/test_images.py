"""Which images a plan needs, which are pulled, and that nothing is touched when one can't be had."""

import io

import pytest

from core_ops.errors import HostError
from core_ops.host.terminal import Progress, Terminal
from core_ops.reconcile import narrow
from core_ops.reconcile.compare import subjects
from core_ops.reconcile.events import ImagePulled
from core_ops.reconcile.images import needed, to_pull, tolerates
from core_ops.reconcile.model import Desired, LastApplied, Obj
from core_ops.reconcile.phases import Pulling
from core_ops.reconcile.plan import plan
from core_ops.reconcile.planned import ImageNeed, PullPolicy
from fakes import FakeHost
from scenes import Scene
from trees import INSTALL, rendered

WEB = Obj("container", "web")


def need(image: str, policy: PullPolicy = "missing") -> ImageNeed:
    """What web.service needs."""
    return ImageNeed(image, policy, "web.service", WEB, "services/web/web.container:2")


def web(lines: str, **files: str) -> Desired:
    """A host whose service has one container, and whatever else."""
    more = {f"services/web/{name}": text for name, text in files.items()}
    return rendered({"services/web/web.container": f"[Container]\n{lines}\n{INSTALL}", **more})


def needs(desired: Desired) -> list[tuple[str, str, str, str]]:
    """What the first plan of a state needs."""
    planned = plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))
    return [(n.image, n.policy, n.unit, n.place) for n in planned.images]


def test_the_last_image_counts_and_its_place_is_known() -> None:
    """A drop-in's image replaces that of the unit; the policy is podman's own default."""
    found = needs(web("Image=quay.io/x/web:1", **{"web.container.d/v.conf": "[Container]\nImage=quay.io/x/web:2\n"}))
    assert found == [("quay.io/x/web:2", "missing", "web.service", "services/web/web.container.d/v.conf:2")]


def test_every_policy_is_read() -> None:
    """What Pull= says is kept."""
    for policy in ("missing", "always", "newer", "never"):
        assert [p for _, p, _, _ in needs(web(f"Image=x:1\nPull={policy}"))] == [policy]


def test_an_image_unit_is_pulled_as_podman_does() -> None:
    """A .image asks its registry at every start; the container that names it needs nothing of its own."""
    found = needs(web("Image=base.image", **{"base.image": "[Image]\nImage=quay.io/x/base:1\n"}))
    assert found == [("quay.io/x/base:1", "always", "base-image.service", "services/web/base.image:2")]


def test_quotes_around_a_value_are_no_part_of_it() -> None:
    """Podman takes the quotes off an image, a policy and the name of an .image."""
    found = needs(web('Image="docker.io/library/alpine:1"\nPull="never"'))
    assert [(image, policy) for image, policy, _, _ in found] == [("docker.io/library/alpine:1", "never")]
    found = needs(web('Image="a.image"', **{"a.image": '[Image]\nImage="quay.io/x/a:1"\nPolicy="newer"\n'}))
    assert found == [("quay.io/x/a:1", "newer", "a-image.service", "services/web/a.image:2")]
    assert [policy for _, policy, _, _ in needs(web('Image=x:1\nPull=""'))] == ["missing"]


def test_what_only_the_unit_itself_can_have_is_left_to_it() -> None:
    """Specifiers, other transports, and options or an environment that decide where an image comes from."""
    own = (
        *(
            "Image=x:%i",
            "Image=docker-archive:/root/x.tar",
            "Image=oci:/srv/x",
            "Image=x:1\nPodmanArgs=--authfile=/etc/a",
        ),
        *("Image=x:1\nPodmanArgs=-v /a:/b --pull never", "Image=x:1\nGlobalArgs=--log-level=debug"),
        "Image=x:1\n[Service]\nEnvironment=REGISTRY_AUTH_FILE=/etc/auth.json",
        "Image=x:1\n[Service]\nEnvironmentFile=/etc/web.env",
        "Rootfs=/srv/root",
    )
    assert [needs(web(lines)) for lines in own] == [[]] * len(own)
    common = ("Image=x:1\nPodmanArgs=--pull-limit=1 --osd=2", "Image=x:1\n[Service]\nEnvironment=A=b")
    assert [len(needs(web(lines))) for lines in common] == [1, 1]
    image = "[Image]\nImage=quay.io/x/base:1\nAuthFile=/etc/auth.json\n"
    assert needs(web("Image=base.image", **{"base.image": image})) == []


def test_only_what_is_started_needs_its_image() -> None:
    """A unit that is left alone, because nothing of it changed or because only files are written, needs no image."""
    desired = web("Image=x:1", **{"idle.container": "[Container]\nImage=y:1\n"})
    assert [i for i, _, _, _ in needs(desired)] == ["x:1"]
    planned = plan(desired, LastApplied(), FakeHost().observe(subjects(desired, LastApplied())))
    assert needed(planned) == planned.images
    assert needed(narrow.files_only(planned)) == ()


def test_policies_decide_what_is_pulled_once() -> None:
    """Missing ones and those that may be newer are pulled, each once; the others are not."""
    given = (need("a"), need("b"), need("b"), need("c", "always"), need("d", "newer"), need("e", "never"))
    assert [n.image for n in to_pull(given, frozenset("acde"))] == ["b", "c", "d"]
    assert tolerates(need("d", "newer"), frozenset("d"))
    assert not tolerates(need("d", "newer"), frozenset())
    assert not tolerates(need("c", "always"), frozenset("c"))


def scene(*here: str, pullable: tuple[str, ...] = ()) -> Scene:
    """A host with these images."""
    host = FakeHost()
    host.images, host.pullable = set(here), set(pullable)
    return Scene(host)


def test_an_image_that_is_not_there_touches_nothing() -> None:
    """Neither a file nor a unit changes, the image and the unit are named, and the record can be gone on from."""
    stage = scene("x:1")
    stage.converge(web("Image=x:1"))
    before, log = dict(stage.host.files), list(stage.host.log)
    for lines, word in (("Image=x:2\nPull=never", "is not on this host"), ("Image=x:2", "connection refused")):
        result = stage.converge(web(lines))
        assert result.outcome == "failed"
        assert "start web.service: the image x:2 of services/web/web.container:2" in result.message
        assert word in result.message
        assert stage.host.files == before
        assert [e for e in stage.host.log if e != "pull x:2"] == log
        assert "web.service" in stage.host.running
    assert stage.host.images is not None
    stage.host.images.add("x:2")
    assert stage.converge(web("Image=x:2")).outcome == "converged"


def test_images_are_pulled_before_anything_stops() -> None:
    """The pull comes first, is told as it begins and ends, and stands in the stream."""
    stage = scene("x:1", pullable=("x:2",))
    stage.converge(web("Image=x:1"))
    done = len(stage.host.log)
    assert stage.converge(web("Image=x:2")).outcome == "converged"
    assert stage.host.log[done : done + 2] == ["pull x:2", "stop web.service"]
    told = [type(e) for e in stage.recorder.events if isinstance(e, Pulling | ImagePulled)]
    assert told == [Pulling, ImagePulled]
    shown = io.StringIO()
    progress = Progress(Terminal(shown, colour=False), "lines")
    for event in stage.recorder.events:
        progress.report(event)
    assert "  pulling x:2 for web.service ...\n" in shown.getvalue()
    progress.report(Pulling(next(e.need for e in stage.recorder.events if isinstance(e, Pulling)), 2, 5))
    assert shown.getvalue().endswith("  pulling x:2 for web.service (2 of 5) ...\n")
    events = [e for line in stage.lines() for e in line.events if e.event_kind == "pull"]
    assert [(e.object.display_id, e.state, e.detail) for e in events] == [
        ("container/web", "started", "x:2"),
        ("container/web", "succeeded", "x:2"),
    ]


def test_an_image_that_is_here_will_do_when_no_newer_one_can_be_had() -> None:
    """Pull=newer is a wish, Pull=always is a demand."""
    assert scene("x:1").converge(web("Image=x:1\nPull=newer")).outcome == "converged"
    assert scene("x:1").converge(web("Image=x:1\nPull=always")).outcome == "failed"


def test_every_missing_image_is_named_at_once() -> None:
    """A person mends them all in one go."""
    with pytest.raises(HostError) as told:
        to_pull((need("a", "never"), need("b"), need("c", "never")), frozenset())
    assert told.value.code == "image-missing"
    assert [d.rpartition(" ")[2] for d in told.value.details] == ["a", "c"]
