"""Lints of what runs inside containers: is it the program that the revision names, and stays so?

How much is asked of an image is the host's choice (`images:` in `host.yaml`), committed where everybody sees it.
"""

from collections.abc import Iterator

from core_ops.reconcile.quoting import unquoted
from core_ops.reconcile.subject import Remark, Subject, Unit
from core_ops.reconcile.unitfile import Assignment

_BUILT = (".image", ".build")  # names of Quadlet files, not of images
# Images that no registry is asked for. Source: containers-transports(5), podman-build(1) for localhost/.
_LOCAL = ("localhost/", "containers-storage:", "dir:", "docker-archive:", "docker-daemon:", "oci:", "oci-archive:")
_AUTO_UPDATE_LABEL = "io.containers.autoupdate="  # what AutoUpdate= becomes; podman-auto-update(1)
_UPDATED = ("registry", "image")  # `image` is the older word for the same


def floating_images(subject: Subject) -> Iterator[Remark]:
    """Yield the images that may be another program tomorrow, as far as the host's manifest asks."""
    if subject.images == "any":
        return
    for unit in subject.units:
        for line in _image(unit):
            image = unquoted(line.value)
            if subject.images == "digest" and _without_digest(image):
                message = f"the image {image} has no digest, which “images: digest” of this host asks for"
                hint = f"write {_untagged(image)}@sha256:..., as `podman image inspect` shows it"
                yield Remark(line.path, line.line, message, hint, "error")
            elif _floats(image):
                message = f"the image {image} is whatever its registry says today"
                yield Remark(line.path, line.line, message, "name a version, or better a digest: image@sha256:...")


def _image(unit: Unit) -> tuple[Assignment, ...]:
    """Return the line that names the image of a .container or .image, or of a .volume that is filled from one."""
    match unit.node.object.resource_type:
        case "container":
            return unit.text.effective("Container", "Image")[-1:]
        case "image":
            return unit.text.effective("Image", "Image")[-1:]
        case "volume" if unquoted(unit.text.last("Volume", "Driver")) == "image":
            return unit.text.effective("Volume", "Image")[-1:]
        case _:
            return ()


def _fixed(image: str) -> bool:
    return "@" in image or image.endswith(_BUILT) or image.startswith(_LOCAL)


def _without_digest(image: str) -> bool:
    return not _fixed(image)


def _floats(image: str) -> bool:
    if _fixed(image) or "%" in image:
        return False
    tag = _tag(image)
    return not tag or tag == "latest"


def _tag(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[2]


def _untagged(image: str) -> str:
    return image.removesuffix(f":{_tag(image)}")


def updated_behind(subject: Subject) -> Iterator[Remark]:
    """Yield containers that podman-auto-update replaces without a commit."""
    if subject.images == "any":
        return
    for unit in subject.units:
        for line in _auto_update(unit):
            message = f"{line.key}={line.value} lets podman-auto-update put another program here without a commit"
            hint = "remove it and change Image= in the repository, or write “images: any” in host.yaml if that is meant"
            yield Remark(line.path, line.line, message, hint)


def _auto_update(unit: Unit) -> Iterator[Assignment]:
    section = {"container": "Container", "kube": "Kube"}.get(unit.node.object.resource_type, "")
    for line in unit.text.effective(section, "AutoUpdate"):
        if unquoted(line.value).rpartition("/")[2] in _UPDATED:  # a .kube may write name/registry
            yield line
    for line in unit.text.effective(section, "Label"):
        if line.value.strip("\"'").startswith(tuple(f"{_AUTO_UPDATE_LABEL}{word}" for word in _UPDATED)):
            yield line
