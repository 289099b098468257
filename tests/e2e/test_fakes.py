"""The fake host is held to the real one: the same script, the same story."""

import json
from pathlib import Path

import pytest

from core_ops_verify.guest.api import Guest
from fakes import FakeHost
from host_contract import IMAGE, story

pytestmark = pytest.mark.e2e


def test_the_fake_host_tells_the_same_story_as_systemd(guest: Guest) -> None:
    """Starts, stops that spread, reloads, enablement, removals and images look the same through both."""
    script = Path(__file__).parents[1] / "host_contract.py"
    guest.copy_in(script, "/root/host_contract.py")
    guest.write_text("/root/run.py", _entry(guest) + "import host_contract\nhost_contract.main()\n")
    real = json.loads(guest.check("/opt/core-ops/runtime/usr/bin/python3.13", "-I", "-S", "-B", "/root/run.py"))
    fake = FakeHost()
    fake.images = {IMAGE}
    assert json.loads(json.dumps(story(fake))) == real


def _entry(guest: Guest) -> str:
    """The lines of the agent's own entry that find its packages, and the script's folder."""
    main = guest.check("cat", "/opt/core-ops/agent/main.py")
    lines = [line for line in main.splitlines() if line.startswith(("import sys", "sys.path"))]
    return "\n".join([*lines, "sys.path.insert(0, '/root')", ""])
