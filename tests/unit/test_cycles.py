"""Units that wait for each other: every group is refused at a line that a person can remove, however long it is."""

import random
import time
from collections.abc import Mapping

import pytest

from core_ops.reconcile.model import Desired, Finding
from trees import outcome, tree

EXEC = "[Service]\nExecStart=/bin/true\n"
CONTAINER = "[Container]\nImage=quay.io/x/web:1\n"
MOUNT = "[Mount]\nWhat=/dev/x\nWhere=/srv/a\n"
AFTER_A = "[Unit]\nAfter=a.service\n"
# Circles of two units, of which the first by name is the one whose reason to wait is looked for, and where it stands.
CIRCLES: Mapping[str, tuple[Mapping[str, str], str]] = {
    "after": ({"a.service": f"[Unit]\nAfter=x.service b.service\n{EXEC}", "b.service": AFTER_A + EXEC}, "a.service:2"),
    "said twice": (
        {
            "a.service": f"{EXEC}[Unit]\nAfter=x.service\nAfter=b.service\nAfter=b.service\n",
            "b.service": AFTER_A + EXEC,
        },
        "a.service:5",
    ),
    "after, by file": (
        {"a.container": f"[Unit]\nAfter=b.volume\n{CONTAINER}", "b.volume": f"{AFTER_A}[Volume]\n"},
        "a.container:2",
    ),
    "before": ({"a.service": EXEC, "b.service": f"{AFTER_A}Before=a.service\n{EXEC}"}, "b.service:3"),
    "before, by file": (
        {"a.container": CONTAINER, "b.container": f"[Unit]\nBefore=a.container\nAfter=a.service\n{CONTAINER}"},
        "b.container:2",
    ),
    "volume": (
        {"a.container": f"{CONTAINER}Volume=b.volume:/d\n", "b.volume": f"{AFTER_A}[Volume]\n"},
        "a.container:3",
    ),
    "pod": ({"a.container": f"{CONTAINER}Pod=b.pod\n", "b.pod": f"{AFTER_A}[Pod]\n"}, "a.container:3"),
    "timer": ({"a.service": EXEC, "b.timer": f"{AFTER_A}[Timer]\nOnBootSec=1\nUnit=a.service\n"}, "b.timer:5"),
    # That a timer comes before the service of its name is said nowhere, so the other half is named.
    "timer, by name": ({"a.service": EXEC, "a.timer": f"{AFTER_A}[Timer]\nOnBootSec=1\n"}, "a.timer:2"),
    "path of a mount": (
        {
            "a.service": f"{EXEC}[Unit]\nDocumentation=file:/srv/a\nRequiresMountsFor=/srv/b /srv/a/x\n",
            "srv-a.mount": AFTER_A + MOUNT,
        },
        "a.service:5",
    ),
    "directory of a service": (
        {
            "a.service": f"{EXEC}StateDirectory=a\n",
            "var-lib-a.mount": AFTER_A + MOUNT.replace("/srv/a", "/var/lib/a"),
        },
        "a.service:3",
    ),
    "mount in a mount": (
        {"srv-a-b.mount": MOUNT.replace("/srv/a", "/srv/a/b"), "srv-a.mount": f"[Unit]\nAfter=srv-a-b.mount\n{MOUNT}"},
        "srv-a-b.mount:3",
    ),
}


def refusals(files: Mapping[str, str]) -> list[Finding]:
    """What is refused of one host that has these files in a service."""
    refused = outcome(tree({f"services/web/{path}": text for path, text in files.items()}))
    return [] if isinstance(refused, Desired) else list(refused)


@pytest.mark.parametrize("circle", sorted(CIRCLES))
def test_a_circle_is_refused_at_a_line_that_closes_it(circle: str) -> None:
    """Whatever makes a unit wait for another, the line that says so is named, and without it nobody waits in vain."""
    files, place = CIRCLES[circle]
    (refused,) = refusals(files)
    assert (refused.code, f"{refused.path}:{refused.line}") == ("DependencyCycle", f"services/web/{place}")
    name = place.partition(":")[0]
    lines = files[name].split("\n")
    lines[refused.line - 1] = ""
    if circle == "said twice":
        lines[4] = lines[5] = ""
    if circle != "mount in a mount":  # its only line is the one a mount must have
        assert refusals({**files, name: "\n".join(lines)}) == []


def test_a_group_is_named_once_however_many_circles_are_in_it() -> None:
    """All of its units are named, in the order of the shortest circle and then by name, whatever order files come in."""
    names = "abcdefghijklmnop"
    files = {
        f"services/web/{name}.service": f"[Unit]\nAfter={' '.join(f'{o}.service' for o in names if o != name)}\n{EXEC}"
        for name in names
    }
    files["services/web/q.service"] = f"[Unit]\nAfter=a.service\n{EXEC}"
    expected = (
        "waits for itself: a.service -> b.service -> a.service; in circles with them: "
        + ", ".join(f"{name}.service" for name in "cdefghijk")
        + ", 5 more"
    )
    for seed in range(3):
        paths = list(files)
        random.Random(seed).shuffle(paths)  # noqa: S311 - a test's order
        refused = outcome(tree({path: files[path] for path in paths}))
        assert not isinstance(refused, Desired)
        assert [(f.path, f.line, f.message) for f in refused] == [("services/web/a.service", 2, expected)]


@pytest.mark.parametrize("closed", [False, True])
def test_a_long_chain_is_followed_in_no_time(*, closed: bool) -> None:
    """Ten thousand units in a row, and then the last one waits for the first."""
    count = 10_000
    files = {f"u{n:05}.service": f"[Unit]\nAfter=u{n + 1:05}.service\n{EXEC}" for n in range(count)}
    if closed:
        files[f"u{count:05}.service"] = f"[Unit]\nAfter=u00000.service\n{EXEC}"
    started = time.perf_counter()
    refused = refusals(files)
    assert time.perf_counter() - started < 10  # what looks at all of them once a unit takes minutes
    assert [(f.path, f.line) for f in refused] == ([("services/web/u00000.service", 2)] if closed else [])
    assert all(len(f.message) < 300 for f in refused)
