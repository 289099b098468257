"""What any host port must do, as a script of changes and looks: the fake and the real machine have to tell the same story.

Runs inside a test with the fake, and by itself inside a guest with the real adapters; it may import nothing but the agent.
"""

import json

from core_ops.errors import HostError
from core_ops.ports import Host
from core_ops.reconcile.compare import Subjects
from core_ops.reconcile.model import Desired, Directories, FileState, Item, Obj, Observed, Owned, Source
from core_ops.reconcile.planned import (
    Effect,
    Plan,
    ReloadManager,
    RemoveFile,
    RemoveUndeclared,
    SetEnablement,
    UnitJob,
    WriteFile,
)
from core_ops.reconcile.preflight import judge

UNITS = "/etc/systemd/system"
ROOT = "/etc/contract"
CONFIG, STRAY = f"{ROOT}/app.conf", f"{ROOT}/below/stray.conf"
MOUNT = "var-srv-my\\x2dcontract.mount"
WHERE = "/var/srv/my-contract"
PATHS = (
    *(CONFIG, f"{UNITS}/{MOUNT}"),
    *(f"{UNITS}/contract-{n}" for n in ("a.service", "b.service", "m.service", "o.service", "t.timer")),
)
NAMES = tuple(p.rpartition("/")[2] for p in PATHS[1:])
TEXTS = {
    "contract-a.service": "[Service]\nEnvironmentFile=/etc/contract/app.conf\nExecStart=/bin/sleep inf\n"
    "[Install]\nWantedBy=multi-user.target\n",
    "contract-b.service": "[Unit]\nRequires=contract-a.service\nAfter=contract-a.service\n"
    "[Service]\nExecStart=/bin/sleep inf\n",
    "contract-m.service": f"[Unit]\nRequiresMountsFor={WHERE}/x\n[Service]\nExecStart=/bin/sleep inf\n",
    MOUNT: f"[Mount]\nWhat=/var/lib/contract\nWhere={WHERE}\nOptions=bind\n",
    "contract-o.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "contract-t.timer": "[Timer]\nOnCalendar=yearly\nUnit=contract-o.service\n[Install]\nWantedBy=timers.target\n",
}
IMAGE, NOWHERE = "localhost/whoami:1", "127.0.0.1:1/nothing:1"
_OBJECT = Obj("service", "contract")


def _write(path: str, content: bytes, expected: FileState, owner: str = "") -> WriteFile:
    return WriteFile(_OBJECT, path, content, 0o644, expected, owner, owner)


def _plan(effects: tuple[Effect, ...]) -> Plan:
    owned = tuple(Owned(p, _OBJECT, "") for p in PATHS)
    return Plan(Source("x"), None, "h", (), effects, (), owned, owned, (), ())


def _job(verb: str, *names: str) -> tuple[Effect, ...]:
    return tuple(UnitJob(verb, n, _OBJECT) for n in names)  # type: ignore[arg-type]  # one of the contract's verbs


def _told(observed: Observed) -> dict[str, list[object]]:
    files: dict[str, list[object]] = {
        f.path: [f.kind, f.content.decode(), f.mode, f.uid, f.gid] for f in observed.files
    }
    roots: dict[str, list[object]] = {r.path: [[e.path, e.kind] for e in r.entries] for r in observed.roots}
    units: dict[str, list[object]] = {
        u.unit: [u.load, u.active, u.enabled == "enabled", u.needs_reload, u.result] for u in observed.units
    }
    mounts: dict[str, list[object]] = {p.path: [p.mounted] for p in observed.mounts}
    return files | units | roots | mounts


def _examined(host: Host) -> list[object]:
    """What is said of a state that every systemd takes, of the same again, and of one with a unit that it does not take."""
    good = tuple(Item(Obj("service", n[:-8]), f"{UNITS}/{n}", t.encode(), 0o644, n, (n,)) for n, t in _services())
    bad = Item(
        Obj("service", "contract-x"), f"{UNITS}/contract-x.service", b"[Service]\n", 0o644, "contract-x.service", ("x",)
    )
    fine, broken = (Desired(Source("x"), "h", Directories(), 1, items) for items in (good, (*good, bad)))
    first = host.examine(fine, "")
    again = host.examine(fine, first.seal)
    said: list[object] = [judge(fine, first).refusals, again.seal == first.seal, again.complaints]
    said.append(list(host.generated(fine)))  # no Quadlet file, nothing to be made
    return [*said, [f.path for f in judge(broken, host.examine(broken, first.seal)).refusals]]


def _images(host: Host) -> list[object]:
    """What is said of an image that every guest has and of one that nobody has."""
    here = host.present((IMAGE,))
    some = host.present((IMAGE, NOWHERE))
    assert host.volumes(("nothing",)) == frozenset()
    return [sorted(here), sorted(some), host.pull(NOWHERE) != "", sorted(host.present((NOWHERE,)))]


def _refused(host: Host, effect: Effect) -> str:
    """Return the code with which an effect is refused, or nothing."""
    try:
        host.carry_out((effect,))
    except HostError as error:
        return error.code
    return ""


def _services() -> list[tuple[str, str]]:
    return [(n, t) for n, t in TEXTS.items() if n.endswith(".service")]


def story(host: Host) -> list[object]:
    """Play the script on a host that has none of these units, and return what was seen after each step."""
    seen: list[object] = [_examined(host), _images(host)]

    def look() -> Observed:
        observed = host.observe(Subjects((*PATHS, STRAY), NAMES, roots=(ROOT,), mount_points=(WHERE,)))
        seen.append(_told(observed))
        return observed

    def do(*effects: Effect) -> None:
        host.stage(_plan(effects))
        for effect in effects:
            failures = host.carry_out((effect,))
            seen.append([[f.unit, f.phase] for f in failures])

    before = {f.path: f for f in look().files}
    do(
        _write(CONFIG, b"V=1\n", before[CONFIG], "1234"),
        _write(STRAY, b"", before[STRAY]),
        *(_write(f"{UNITS}/{n}", t.encode(), before[f"{UNITS}/{n}"]) for n, t in TEXTS.items()),
    )
    look()
    do(RemoveUndeclared(_OBJECT, STRAY, "file", ROOT))
    do(SetEnablement("reenable", "contract-a.service", _OBJECT), ReloadManager(NAMES))
    look()
    seen.append([f.unit for f in host.carry_out(_job("start", "contract-a.service", "contract-b.service"))])
    host.carry_out(_job("start", "contract-t.timer"))
    look()
    host.carry_out(_job("start", "contract-o.service"))
    look()
    host.carry_out(_job("stop", "contract-a.service"))  # takes b down, which requires it
    look()
    host.carry_out(_job("restart", "contract-b.service"))  # brings both up
    host.carry_out(_job("start", "contract-m.service"))  # mounts what it needs
    look()
    host.carry_out(_job("stop", MOUNT))  # takes its user down
    look()
    host.carry_out(_job("restart", MOUNT, "contract-m.service"))
    now = {f.path: f for f in look().files}
    path = f"{UNITS}/contract-a.service"
    do(_write(path, TEXTS["contract-a.service"].encode() + b"# changed\n", now[path]))
    look()
    do(ReloadManager(NAMES))
    last = {f.path: f for f in look().files}
    host.carry_out(_job("stop", MOUNT, "contract-t.timer", "contract-b.service", "contract-a.service"))
    seen.append(_refused(host, RemoveFile(_OBJECT, path, now[path])))
    do(
        SetEnablement("disable", "contract-a.service", _OBJECT),
        *(RemoveFile(_OBJECT, p, last[p]) for p in PATHS),
        RemoveFile(_OBJECT, path, last[path]),
    )
    do(ReloadManager(()))
    look()
    seen.append([f.unit for f in host.carry_out(_job("start", "contract-b.service"))])  # there is no such unit any more
    return seen


def main() -> None:
    """Play the script on this machine and print what was seen."""
    from core_ops.wiring import LocalHost  # noqa: PLC0415 - only by itself

    print(json.dumps(story(LocalHost(Directories(), "/run/core-ops"))))


if __name__ == "__main__":
    main()
