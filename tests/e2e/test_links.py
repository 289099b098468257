"""Links of `systemctl enable` are changed for many units in one call, on real systemd."""

import json

import pytest

from core_ops_verify.guest.api import Guest

pytestmark = pytest.mark.e2e

PYTHON = ("/opt/core-ops/runtime/usr/bin/python3.13", "-I", "-S", "-B", "-c")
ENABLE = """\
import json, sys
sys.path[:0] = ["/opt/core-ops/agent", "/opt/core-ops/runtime/site"]
from core_ops.host import systemd
print(json.dumps(systemd.enablement("reenable", ("one.service", "gone.service", "two.service"))))
"""


def test_of_many_units_the_one_that_has_no_links_is_named(guest: Guest) -> None:
    """The others get theirs all the same."""
    for name in ("one", "two"):
        text = "[Service]\nExecStart=true\n[Install]\nWantedBy=multi-user.target\n"
        guest.write_text(f"/etc/systemd/system/{name}.service", text)
    refused = json.loads(guest.check(*PYTHON, ENABLE))
    assert list(refused) == ["gone.service"]
    assert "gone.service" in refused["gone.service"]
    linked = guest.check("ls", "/etc/systemd/system/multi-user.target.wants").split()
    assert {"one.service", "two.service"} <= set(linked)
