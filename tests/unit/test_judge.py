"""What a look after an apply finds wrong, beyond what systemd calls failed."""

import msgspec
import pytest

from core_ops.reconcile.judge import judge
from core_ops.reconcile.plan import plan
from trees import rendered
from unit.test_plan import settled

INSTALL = "[Install]\nWantedBy=multi-user.target\n"
QUADLET, NATIVE = "/etc/containers/systemd/a.container", "/etc/systemd/system/b.service"
FILES = {
    "services/s/a.container": f"[Container]\nImage=x:1\n{INSTALL}",
    "services/s/b.service": f"[Service]\nExecStart=/bin/b\n{INSTALL}",
}


@pytest.mark.parametrize(
    ("unit", "fragment", "source", "wrong"),
    [
        ("a.service", "/run/systemd/generator/a.service", QUADLET, ""),
        ("a.service", "/etc/systemd/system/a.service", "", "/etc/systemd/system/a.service"),
        ("a.service", "/run/systemd/generator/a.service", "/usr/share/containers/systemd/a.container", "/usr/share"),
        ("b.service", NATIVE, "", ""),
        ("b.service", "/run/systemd/transient/b.service", "", "/run/systemd/transient/b.service"),
        ("b.service", NATIVE, "/somewhere/else", ""),
    ],
)
def test_a_unit_is_loaded_from_the_file_that_was_written(unit: str, fragment: str, source: str, wrong: str) -> None:
    """A unit of the same name in a place that counts more runs something else, however active it is."""
    desired = rendered(FILES)
    last, observed = settled(desired)
    units = tuple(
        msgspec.structs.replace(u, fragment_path=fragment, source_path=source) if u.unit == unit else u
        for u in observed.units
    )
    looked = msgspec.structs.replace(observed, units=units)
    found = judge(plan(desired, last, looked), desired, looked, frozenset())
    assert [f.unit for f in found] == ([unit] if wrong else [])
    assert all(wrong in f.detail and "not from /etc/" in f.detail for f in found)
