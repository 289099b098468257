"""Which container images a plan needs before it stops anything, and which of them have to be pulled.

What a plan starts, starts from an image. If that is neither here nor to be had, the unit would be stopped for nothing, so it is
looked for while everything still runs. Only what Podman would ask for in the same way is asked for: a unit with options of its
own for pulling (credentials, another platform) pulls by itself when it starts.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from core_ops.errors import HostError
from core_ops.reconcile.effects import started
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.planned import ImageNeed, Plan, PullPolicy
from core_ops.reconcile.quoting import unquoted
from core_ops.reconcile.unitfile import UnitText

_QUADLETS = (".image", ".build")
# Source: containers-transports(5). What is behind one of them is read by the unit itself and is in no registry.
_TRANSPORT = re.compile(r"(containers-storage|dir|docker|docker-archive|docker-daemon|oci|oci-archive|ostree|sif):")
# Options with which a unit may get an image that nobody else gets. Source: podman-run(1), podman-pull(1).
_OPTIONS = ("authfile", "arch", "cert-dir", "creds", "decryption-key", "os", "platform", "pull", "rootfs", "tls-verify")
_OWN_OPTION = re.compile(rf"(?:^|\s)[\"']?--({'|'.join(_OPTIONS)}|variant)(?![\w-])")
_OWN_ENVIRONMENT = re.compile(r"(REGISTRY_AUTH_FILE|CONTAINERS_\w+|STORAGE_\w+|HOME|XDG_\w+|\w+_proxy)=", re.IGNORECASE)
_OWN_KEYS = {
    "container": ("ContainersConfModule", "GlobalArgs", "Rootfs"),
    "image": (
        *("AllTags", "Arch", "AuthFile", "CertDir", "ContainersConfModule", "Creds", "DecryptionKey", "GlobalArgs"),
        *("OS", "PodmanArgs", "TLSVerify", "Variant"),
    ),
}
_POLICIES: dict[str, PullPolicy] = {"missing": "missing", "always": "always", "newer": "newer", "never": "never"}


def image_needs(graph: Graph, units: AbstractSet[str]) -> tuple[ImageNeed, ...]:
    """Return the images that the given units start from, as far as they can be asked for before.

    Source:
        Image= and Pull= in [Container], Image= and Policy= in [Image], podman-systemd.unit(5): an .image unit pulls always.
    """
    return tuple(need for unit in graph.order if unit in units for need in _of(graph.nodes[unit]))


def _of(node: Node) -> Iterator[ImageNeed]:
    match node.object.resource_type:
        case "container":
            yield from _named(node, "Container", _policy(node.text, "Container", "Pull", "missing"))
        case "image":
            yield from _named(node, "Image", _policy(node.text, "Image", "Policy", "always"))
        case _:
            return


def _policy(text: UnitText, section: str, key: str, default: str) -> str:
    return unquoted(text.last(section, key)) or default


def _named(node: Node, section: str, policy: str) -> Iterator[ImageNeed]:
    known = _POLICIES.get(policy)
    if known is None or _pulls_by_itself(node.text, section):
        return
    for line in node.text.effective(section, "Image")[-1:]:
        image = unquoted(line.value)
        if image and "%" not in image and not image.endswith(_QUADLETS) and not _TRANSPORT.match(image):
            yield ImageNeed(image, known, node.unit, node.object, line.place)


def _pulls_by_itself(text: UnitText, section: str) -> bool:
    if any(text.values(section, key) for key in _OWN_KEYS[section.lower()]):
        return True
    if any(_OWN_OPTION.search(value) for value in text.values(section, "PodmanArgs")):
        return True
    if text.values("Service", "EnvironmentFile"):  # podman itself reads its environment, and who knows what is in there
        return True
    return any(_OWN_ENVIRONMENT.search(value) for value in text.values("Service", "Environment"))


def needed(plan: Plan) -> tuple[ImageNeed, ...]:
    """Return what a plan needs of what it says, now that some of its jobs may have been left out."""
    units = started(plan.effects)
    return tuple(need for need in plan.images if need.unit in units)


def to_pull(needs: tuple[ImageNeed, ...], present: AbstractSet[str]) -> tuple[ImageNeed, ...]:
    """Return which images are pulled, each once.

    Args:
        needs: the images that are needed.
        present: those of them that are on the host.

    Raises:
        HostError: one is not on the host, and its unit forbids to pull it.
    """
    forbidden = [n for n in needs if n.policy == "never" and n.image not in present]
    if forbidden:
        first = forbidden[0]
        more = f" (and {len(forbidden) - 1} more)" if forbidden[1:] else ""
        raise HostError(
            f"start {first.unit}: the image {first.image} of {first.place} is not on this host, "
            f"and its unit says never to pull it{more}",
            code="image-missing",
            hint="nothing was stopped or changed; bring the image here, or correct Image= or Pull= and commit",
            details=tuple(f"{n.place}: {n.unit} needs {n.image}" for n in forbidden),
        )
    wanted = (n for n in needs if n.policy in {"always", "newer"} or n.image not in present)
    return tuple({n.image: n for n in wanted}.values())


def tolerates(need: ImageNeed, present: AbstractSet[str]) -> bool:
    """Whether the image that is here will do when no newer one can be had.

    Source:
        Pull=newer: an error is no error while there is an image, podman-run(1), --pull.
    """
    return need.policy == "newer" and need.image in present


def unpulled(need: ImageNeed, said: str) -> HostError:
    """Return the error of an image that could not be pulled, in podman's own words."""
    return HostError(
        f"start {need.unit}: the image {need.image} of {need.place} cannot be pulled: {said}",
        code="image-pull-failed",
        hint=f"nothing was stopped or changed; see `podman pull {need.image}`, or correct the image and commit",
    )
