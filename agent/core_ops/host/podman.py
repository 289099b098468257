"""Podman: its Quadlet generator, run dry over a directory as systemd itself does at every reload, and its images.

An image is pulled by a transient unit, not by a child of this program: so podman finds the proxies, the credentials and the
directories that a container's own unit finds, and none of the restrictions that this program's service is under.
"""

import os

from core_ops.errors import HostError
from core_ops.host import process
from core_ops.reconcile.complaints import Answer, Generated, generated, generator_answer

# Source: podman-systemd.unit(5); Fedora and Debian have the program in the first place, others in the second.
_PLACES = (
    "/usr/libexec/podman/quadlet",
    "/usr/lib/podman/quadlet",
    "/usr/local/libexec/podman/quadlet",
    "/usr/lib/systemd/system-generators/podman-system-generator",
)
_TIMEOUT_S = 10.0
_PODMAN = "podman"
_IMAGES_TIMEOUT_S = 60.0
_PULL_TIMEOUT_S = 900
_AFTER_S = 15.0  # systemd ends the unit, and its answer takes a moment
_WORDS_LIMIT = 600
_OUTPUT_LIMIT_BYTES = 1024 * 1024
_ENDS = (0, 1)  # 1: it complained of a file


def generator() -> str:
    """Return the path of the generator, or nothing when it is not here."""
    return next((path for path in _PLACES if os.access(path, os.X_OK)), "")


def generate(program: str, directory: str) -> tuple[tuple[Generated, ...], Answer]:
    """Return the units that the generator makes of the Quadlet files in a directory, and what it says of them.

    Raises:
        HostError: it gives no answer that can be understood.
    """
    argv = (program, "-dryrun", "-no-kmsg-log")
    done = process.run(argv, _TIMEOUT_S, environment={"QUADLET_UNIT_DIRS": directory})
    answer = generator_answer(done.stderr, directory)
    made = generated(done.stdout)
    heard = answer.understood and (made or any(c.fatal for c in answer.complaints))
    if done.status not in _ENDS or not heard:
        raise HostError(
            f"run {program}: exit status {done.status} and no answer that is understood",
            code="exec-failed",
            hint=f"try `{program} -dryrun`",
        )
    return made, answer


def present(images: tuple[str, ...]) -> frozenset[str]:
    """Return which of these images podman finds here, by the names that were asked for.

    One question is enough when all are here, as they mostly are; its answer does not reliably tell which ones are not.

    Raises:
        HostError: podman is missing or does not answer.

    Source:
        podman-image-exists(1): 0 when it is here, 1 when not.
    """
    if _ask("inspect", "--format", "{{.Id}}", "--", *images).status == 0:
        return frozenset(images)
    return frozenset(image for image in images if _exists(image))


def _exists(image: str) -> bool:
    done = _ask("exists", "--", image)
    if done.status not in {0, 1}:
        raise HostError(
            f"ask podman for {image}: {_last_words(done.stderr) or f'exit status {done.status}'}",
            code="podman-failed",
            hint=f"nothing was stopped or changed; see `podman image exists {image}`",
        )
    return done.status == 0


def _ask(*arguments: str) -> process.Completed:
    return process.run((_PODMAN, "image", *arguments), _IMAGES_TIMEOUT_S, output_limit_bytes=_OUTPUT_LIMIT_BYTES)


def pull(image: str) -> str:
    """Pull an image and return why it could not be had, in podman's own words; nothing when it was.

    Raises:
        HostError: systemd-run is missing or podman says far too much.
    """
    unit = ("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--description=Pull an image for core-ops")
    argv = (*unit, f"--property=RuntimeMaxSec={_PULL_TIMEOUT_S}", "--", _PODMAN, "pull", "--quiet", "--", image)
    done = process.run(argv, _PULL_TIMEOUT_S + _AFTER_S, output_limit_bytes=_OUTPUT_LIMIT_BYTES)
    if done.status == 0:
        return ""
    return _last_words(done.stderr) or f"it did not end within {_PULL_TIMEOUT_S} s, or was killed"


def volumes(names: tuple[str, ...]) -> frozenset[str]:
    """Return which of these volumes podman has.

    Raises:
        HostError: podman is missing or does not answer.

    Source:
        podman-volume-exists(1): 0 when it is there, 1 when not.
    """
    found: set[str] = set()
    for name in names:
        done = process.run((_PODMAN, "volume", "exists", "--", name), _IMAGES_TIMEOUT_S)
        if done.status not in {0, 1}:
            raise HostError(
                f"ask podman for the volume {name}: {_last_words(done.stderr) or f'exit status {done.status}'}",
                code="podman-failed",
                hint=f"nothing was changed; see `podman volume exists {name}`",
            )
        found |= {name} if done.status == 0 else set()
    return frozenset(found)


def remove_network(name: str) -> str:
    """Have podman forget a network, and return why it does not, in words; nothing when it is gone or never was there.

    Source:
        podman-network-rm(1): 1 when there is no such network, 2 when a container or pod uses it.
    """
    try:
        done = process.run((_PODMAN, "network", "rm", "--", name), _IMAGES_TIMEOUT_S)
    except HostError as error:
        if error.code == "program-missing":
            return ""  # nothing has a network then
        return f"{error.message} ({error.hint})"
    if done.status in {0, 1}:
        return ""
    words = _last_words(done.stderr) or f"exit status {done.status}"
    return f"remove network {name}: {words}; see who uses it with `podman ps --all --filter network={name}`"


def _last_words(stderr: str) -> str:
    """Return the line in which podman says what was wrong, or the last one there is."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    return (errors or lines or [""])[-1][:_WORDS_LIMIT]
