"""Hosts, what happened to them before, and what one more run shall make of them: invented from a number, always the same."""

import random
from collections.abc import Iterator, Mapping

import msgspec

from core_ops.reconcile.graph import build
from core_ops.reconcile.model import Desired, Directories, Value
from trees import INSTALL, by_hand, rendered

COUNT = 50

KINDS = (
    "first run",
    "update",
    "removal",
    "transition",
    "drop-ins",
    "configs",
    "modes",
    "drift",
    "failed unit",
    "after a killed run",
)


class ByHand(Value, frozen=True):
    """Somebody does something to a path: new content, another mode, or None to remove it."""

    path: str
    content: bytes | None = None
    mode: int = 0o644


class Restarted(Value, frozen=True):
    """Somebody has systemd read its files again and restarts what runs, so that it runs what was changed by hand."""


class World(Value, frozen=True):
    """One scenario. `history` comes first, then the run to `desired`, in which the units of `refuses` do not start."""

    name: str
    top: str
    desired: Desired
    history: tuple[Desired | ByHand | Restarted, ...] = ()
    refuses: tuple[str, ...] = ()
    foreign: tuple[ByHand, ...] = ()

    @property
    def number(self) -> int:
        """What it was invented from."""
        return int(self.top.rpartition("/")[2])

    @property
    def directories(self) -> Directories:
        """Where its files go."""
        return directories(self.top)


def directories(top: str) -> Directories:
    """Return where files go in a host below a directory."""
    return Directories(f"{top}/quadlet", f"{top}/systemd", f"{top}/config")


def world(number: int, base: str) -> World:
    """Return the scenario of a number; its host lives below `base`."""
    dice = random.Random(number)  # noqa: S311 - repeatable
    kind = KINDS[number % len(KINDS)]
    top = f"{base}/{number}"
    make = _Maker(dice, directories(top))
    before, after = make.desired(), make.desired()
    foreign = tuple(ByHand(f"{top}/{p}", b"theirs\n", 0o600) for p in _foreign(dice))
    base_world = World(f"{number}: {kind}", top, after, (before,), foreign=foreign)
    return msgspec.structs.replace(base_world, **dict(_varied(kind, make, base_world, before)))


def _foreign(dice: random.Random) -> Iterator[str]:
    yield "config/other/theirs.conf"
    if dice.random() < 0.5:
        yield "config/a/theirs.conf"  # in a directory that would be empty without it
    if dice.random() < 0.5:
        yield "quadlet/other.container"


def _varied(kind: str, make: "_Maker", found: World, before: Desired) -> Iterator[tuple[str, object]]:
    match kind:
        case "first run":
            yield "history", ()
        case "update" | "drop-ins" | "configs" | "removal":
            yield "desired", make.changed(kind)
        case "modes":
            items = tuple(msgspec.structs.replace(i, mode=0o600) for i in before.items)
            yield "desired", msgspec.structs.replace(before, items=items)
        case "drift":
            yield "desired", before
            restarted = (Restarted(),) if found.number % 3 else ()
            yield "history", (before, *make.drift(before), *restarted)
        case "failed unit":
            yield "refuses", tuple(u for u, n in build(found.desired).nodes.items() if n.wanted)[-1:]
        case "after a killed run":
            yield "history", (before, *_leftovers(found))
        case _:  # a transition to anything
            pass


def _leftovers(found: World) -> Iterator[ByHand]:
    """What a run leaves that is killed while it stages and while it saves."""
    for item in found.desired.items:
        head, _, name = item.path.rpartition("/")
        if any(i.path == item.path for h in found.history if isinstance(h, Desired) for i in h.items):
            yield ByHand(f"{head}/.{name}.core-ops-new", item.content[:3])
    for name in ("status.json", "deterministic-state.json", "trust-state.json", "trust-state.bak"):
        yield ByHand(f"{found.top}/state/.{name}.new", b"{")


def _another(path: str) -> str:
    """What makes a unit another one: with which a network is another too."""
    return "[Network]\nLabel=another=1" if path.endswith(".network") else "[Unit]\nConditionPathExists=/another"


class _Maker:
    """Makes desired states of one host."""

    def __init__(self, dice: random.Random, where: Directories) -> None:
        self._dice = dice
        self._where = where
        self._files: dict[str, str] = {}

    def desired(self) -> Desired:
        """Return another state."""
        self._files = {}
        names = sorted(self._dice.sample("abc", self._dice.randint(1, 2)))
        for name in names:
            self._service(name)
        if any(p.endswith(".container") for p in self._files):
            self._files["services/z/z.network"] = f"[Network]\nLabel=n={self._dice.randint(1, 3)}\n"
        return self._rendered(self._files)

    def changed(self, kind: str) -> Desired:
        """Return the state made last, with one kind of file changed or the half of it removed."""
        files = dict(self._files)
        if kind == "removal":
            kept = min(p.split("/")[1] for p in files)
            files = {p: t for p, t in files.items() if p.split("/")[1] in {kept, "z"} and ".d/" not in p}
            return self._rendered(files)
        for path in self._files:
            is_kind = ("configs" if "/config/" in path else "drop-ins" if ".d/" in path else "update") == kind
            if is_kind or kind == "update":
                files[path] += "# another\n" if "/config/" in path else f"\n{_another(path)}\n"
        return self._rendered(files)

    def drift(self, before: Desired) -> Iterator[ByHand]:
        """Yield what a person does to a host by hand."""
        configs = tuple(i for i in before.items if not i.unit)
        items = configs if self._dice.random() < 0.6 else before.items
        for item in self._dice.sample(items, min(3, len(items))):
            what = self._dice.choice(["edit", "remove", "mode"])
            content = None if what == "remove" else by_hand(item) if what == "edit" else item.content
            yield ByHand(item.path, content, 0o600 if what == "mode" else 0o644)

    def _rendered(self, files: Mapping[str, str]) -> Desired:
        return rendered(files, directories=self._where)

    def _service(self, name: str) -> None:
        base, config = f"services/{name}", f"/etc/{name}"
        number = self._dice.randint(1, 9)
        self._files[f"{base}/config/app.conf"] = f"v={number}\n"
        if self._dice.random() < 0.5:
            self._files[f"{base}/config/sub/more.conf"] = f"v={number}\n" * self._dice.choice([1, 3000])
        kind = self._dice.choice(["container", "service"])
        text = f"[Service]\nEnvironmentFile={config}/app.conf\nExecStart=/bin/sleep {number}\n"
        if kind == "container":
            text = f"[Container]\nImage=x:{number}\nNetwork=z.network\nVolume={config}:/c\n"
        self._files[f"{base}/{name}.{kind}"] = text + INSTALL
        if self._dice.random() < 0.7:
            self._files[f"{base}/{name}.{kind}.d/x.conf"] = f"[Unit]\nConditionPathExists=/d{number}\n"
