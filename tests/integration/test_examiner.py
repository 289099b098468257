"""What programs of this machine say is remembered only when they said it."""

from pathlib import Path

import pytest

from core_ops.examiner import examine
from trees import rendered

WEB = {
    "services/web/web.container": "[Container]\nImage=localhost/a:1\n",
    "services/web/a.service": "[Service]\nExecStart=/bin/true\n",
}
ANSWERS = {
    "generator": "printf 'quadlet-generator[1]: Loading\\n' >&2; printf -- '---web.service---\\n[Service]\\nExecStart=a\\n'",
    "systemd": "exit 0",
    "dead": "kill -9 $$",
}


def program(path: Path, does: str) -> str:
    """Make a shell script of one line and return where it is."""
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("generator", "systemd", "sealed"),
    [
        ("generator", "systemd", True),
        ("", "systemd", True),
        ("generator", "", True),
        ("dead", "systemd", False),
        ("generator", "dead", False),
        ("", "dead", False),
    ],
)
def test_a_look_that_failed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, generator: str, systemd: str, *, sealed: bool
) -> None:
    """A program that is absent is part of the seal; one that gave no answer leaves none."""
    for place, does in (("podman.generator", generator), ("analyze.program", systemd)):
        path = program(tmp_path / place, ANSWERS[does]) if does else ""
        monkeypatch.setattr(f"core_ops.host.{place}", lambda path=path: path)
    said = examine(rendered(WEB), "", str(tmp_path))
    assert len(said.undone) == (generator, systemd).count("") + (generator, systemd).count("dead")
    assert bool(said.seal) == sealed


def test_a_look_without_a_directory_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody was asked, so nothing is remembered."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: f"{tmp_path}/none")
    said = examine(rendered(WEB), "", f"{tmp_path}/none")
    assert (said.seal, len(said.undone)) == ("", 1)
