"""Odd unit files mean to systemd and to Podman's generator what they mean to the agent, and what is refused is misread."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core_ops.reconcile.quoting import split
from core_ops.reconcile.unitfile import UnitText, parse
from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import Assets

pytestmark = pytest.mark.e2e

FILES = sorted((Path(__file__).parents[2] / "fixtures" / "unitfile").glob("*/x.*"))
_BUS = "org.freedesktop.systemd1"
_PROPERTIES = {
    "Unit": ("LoadState", "Id", "Description", "Documentation", "After", "Wants"),
    "Service": ("Environment", "PassEnvironment", "ReadWritePaths", "ExecStartPre", "ExecStart"),
}
_OURS = "t-"  # the units that the files name; systemd and the generator add others
_WORD = "LOST"  # what a refused file says where it is not heard


class Meaning(NamedTuple):
    """What a reader takes from a file."""

    description: str
    documentation: tuple[str, ...]
    after: frozenset[str]
    wants: frozenset[str]
    environment: tuple[str, ...]
    passed: tuple[str, ...]
    writable: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


class Read(NamedTuple):
    """What systemd says of a unit: whether it took the file, what it read, and everything it said."""

    state: str
    meaning: Meaning
    said: str


_NOTHING = Read("not-found", Meaning("", (), frozenset(), frozenset(), (), (), (), ()), "")


def name_of(path: Path, reader: str) -> str:
    """The unit that a case's file becomes."""
    return f"{reader}-{path.parent.name}.service"


def is_quadlet(path: Path) -> bool:
    return path.suffix == ".container"


def expected(text: UnitText) -> Meaning:
    """What the agent reads."""
    return Meaning(
        text.last("Unit", "Description"),
        text.words("Unit", "Documentation"),
        frozenset(text.words("Unit", "After")),
        frozenset(text.words("Unit", "Wants")),
        text.words("Service", "Environment"),
        text.words("Service", "PassEnvironment"),
        text.words("Service", "ReadWritePaths"),
        tuple(split(value, "command").words for value in text.values("Service", "ExecStartPre")),
    )


def seen(values: Mapping[str, Any]) -> Read:
    """What systemd has read."""
    meaning = Meaning(
        "" if values["Description"] == values["Id"] else values["Description"],
        tuple(values["Documentation"]),
        frozenset(unit for unit in values["After"] if unit.startswith(_OURS)),
        frozenset(unit for unit in values["Wants"] if unit.startswith(_OURS)),
        tuple(e for e in values["Environment"] if not e.startswith("PODMAN_SYSTEMD_UNIT=")),
        tuple(values["PassEnvironment"]),
        tuple(values["ReadWritePaths"]),
        tuple(tuple(command[1]) for command in values["ExecStartPre"]),
    )
    return Read(values["LoadState"], meaning, json.dumps(dict(values)))


def squeezed(meaning: Meaning) -> list[str]:
    """The same with one space for several, wherever they stand."""
    ordered = (sorted(part) if isinstance(part, frozenset) else part for part in meaning)  # else as the hashes fall
    return [re.sub("[ \t]+", " ", repr(part)) for part in ordered]


def question(unit: str) -> str:
    """A line of shell that prints what systemd knows of a unit, one property a line."""
    path = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit)
    asked = (
        f"busctl --json=short get-property {_BUS} /org/freedesktop/systemd1/unit/{path} {_BUS}.{interface} "
        + " ".join(names)
        for interface, names in _PROPERTIES.items()
    )
    return f"echo '== {unit}'; {'; '.join(asked)}"


def answers(said: str) -> dict[str, Read]:
    """The units by name, from what the shell printed."""
    names = [name for names in _PROPERTIES.values() for name in names]
    found: dict[str, Read] = {}
    for part in said.split("== ")[1:]:
        unit, *lines = part.rstrip("\n").split("\n")
        values = [json.loads(line)["data"] for line in lines]
        if len(values) == len(names):  # there is no such unit where the generator made none
            found[unit] = seen(dict(zip(names, values, strict=True)))
    return found


@pytest.fixture(scope="module")
def readings(bare_assets: Assets) -> dict[str, Read]:
    """Return what a guest makes of every file: `n-` as systemd reads it itself, `g-` as the generator passes it on."""
    with Guest.create(bare_assets, options=Options()) as guest:
        for path in FILES:
            guest.path(f"/etc/systemd/system/{name_of(path, path.suffix[1:])}").write_bytes(path.read_bytes())
            if is_quadlet(path):
                # One file that is not understood makes the generator drop the others of its directory.
                directory = guest.path("/etc/containers/systemd") / path.parent.name
                directory.mkdir(parents=True)
                (directory / f"g-{path.parent.name}.container").write_bytes(path.read_bytes())
        guest.check("systemctl", "daemon-reload")
        units = [name_of(p, r) for p in FILES for r in ((p.suffix[1:], "g") if is_quadlet(p) else ("service",))]
        guest.write_text("/root/ask", "\n".join(map(question, units)))
        return answers(guest.check("sh", "/root/ask"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.suffix[1:]}")
def test_a_file_means_to_its_readers_what_it_means_here(path: Path, readings: dict[str, Read]) -> None:
    """Every reader of an accepted file reads the same; a refused one is misread by one of them, or not read at all."""
    text = parse(path.read_bytes(), path.name)
    direct = readings[name_of(path, path.suffix[1:])]
    passed = readings.get(name_of(path, "g"), _NOTHING) if is_quadlet(path) else direct
    if isinstance(text, UnitText):
        assert squeezed(direct.meaning) == squeezed(
            expected(text)
        )  # the generator drops indentation that systemd keeps
        assert passed.meaning == expected(text)
        assert passed.state == "loaded"
    else:
        unheard = _WORD in path.read_text("utf-8", "replace") and _WORD not in passed.said
        assert passed.state != "loaded" or passed.meaning != direct.meaning or unheard


def test_there_are_cases_of_every_sort() -> None:
    """The folder is not empty by accident, and both kinds of file are accepted and refused."""
    accepted = [p for p in FILES if not (p.parent / "expected").exists()]
    refused = [p for p in FILES if p not in accepted]
    assert len({p.parent for p in accepted}) >= 40
    assert {is_quadlet(p) for p in accepted} == {is_quadlet(p) for p in refused} == {True, False}
