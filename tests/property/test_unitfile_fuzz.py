"""Unit files that nobody wrote: no bytes make a reader fail, what is read is printed and read again, and time is linear."""

import gc
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.kinds import KINDS, UnitName, unit_name
from core_ops.reconcile.layers import Layer, effective
from core_ops.reconcile.lints import LINTS
from core_ops.reconcile.meaning import differences
from core_ops.reconcile.model import NATIVE_TYPES, Desired, Directories, Item, Obj, Source
from core_ops.reconcile.mounts import automounts
from core_ops.reconcile.mounts import faults as mount_faults
from core_ops.reconcile.quadlet import Peers, Relations, host_paths, runtime_unit
from core_ops.reconcile.quoting import Reading, split
from core_ops.reconcile.references import faults, references
from core_ops.reconcile.render import Rendered
from core_ops.reconcile.subject import Subject, Unit
from core_ops.reconcile.unitfile import Assignment, UnitText, layered, parse
from core_ops.reconcile.unitprint import print_text, says_the_same
from fakes import relations

SEED = 20240229
FILES = 100_000
FIXTURES = Path(__file__).parents[2] / "fixtures"
_FILES = """
    x.container x.pod x.volume x.kube x.build x.image x.network x.service x.timer x.socket x.path x.slice x.target
    srv-d.mount srv-d.automount
"""
_NAMES = tuple(name for word in _FILES.split() if (name := unit_name(word)))
_PIECES = (
    *(
        b"\\",
        b"\\\n",
        b"\\\\\n",
        b"\\ \n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xc2\xa0",
        b"\xef\xbf\xbe",
    ),
    *(
        b"[",
        b"]",
        b"[Unit]\n",
        b"[Service]\n",
        b"[Container]\n",
        b"[x",
        b"=",
        b" = ",
        b"=\n",
        b"#",
        b"\n;",
        b"\n#\\\n",
        b"\f",
    ),
    *(
        b'"',
        b"'",
        b"\\x",
        b"\\u",
        b"\\777",
        b"\\x2f",
        b" ",
        b"\t",
        b"%E/",
        b"/etc/",
        b"%%",
        b"-",
        b":",
        b",",
        b"@",
        b"\x85",
    ),
    *(
        b"After=",
        b"Exec=",
        b"ExecStart=",
        b"Mount=",
        b"Volume=",
        b"Environment=",
        b"Network=",
        b"Image=",
        b"Pod=",
        b"x.pod",
    ),
    *(
        b"[Mount]\n",
        b"[Automount]\n",
        b"[X-CoreOps]\n",
        b"Where=",
        b"What=",
        b"Options=",
        b"CreateMountpoint=",
        b"RequiresMountsFor=",
        b"/srv/d",
    ),
)
_PEERS = Peers({"srv.mount": "srv.mount"}, {}, {"/srv": "srv.mount"})  # below it is srv-d.mount


def seeds() -> tuple[bytes, ...]:
    """Real unit files: those of the fixtures."""
    suffixes = tuple(f".{name.suffix}" for name in _NAMES)
    found = (p for p in sorted(FIXTURES.rglob("*")) if p.name.endswith((*suffixes, ".conf")) and p.is_file())
    return tuple(dict.fromkeys(content for p in found if len(content := p.read_bytes()) < 400))


def mutated(random_: random.Random, known: tuple[bytes, ...]) -> bytes:
    """One of the files with a few pieces put in, taken out, doubled, or taken from another."""
    content = random_.choice(known)
    for _ in range(random_.randrange(1, 5)):
        at = random_.randrange(len(content) + 1)
        end = min(len(content), at + random_.randrange(12))
        match random_.randrange(5):
            case 0 | 1:
                content = content[:at] + random_.choice(_PIECES) + content[at:]
            case 2:
                content = content[:at] + content[end:]
            case 3:
                content = content[:end] + content[at:]
            case _:
                other = random_.choice(known)
                content = content[:at] + other[random_.randrange(len(other) + 1) :]
    return content


def layer(text: UnitText) -> tuple[Layer, ...]:
    return (Layer("services/x", "/etc/x", text),)


def subject(name: UnitName, text: UnitText, unit: str, related: Relations) -> Subject:
    """A host that has this unit and a config file, for the lints to look at."""
    kind, source = KINDS[name.suffix], f"services/x/{name.file_name}"
    path = Directories().unit_path(name.file_name, kind.form)
    item = Item(Obj(kind.type, name.stem), path, b"", 0o644, unit, (source,))
    config = Item(Obj("config", "etc/x/a"), "/etc/x/a", b"", 0o644, "", ("services/x/config/a",))
    installs = bool(text.values("Install", "WantedBy"))
    native = kind.type in NATIVE_TYPES
    node = Node(
        *(unit, item, (), (), related, native),
        template=False,
        installs=installs,
        wanted=installs,
        inputs="",
        text=text,
    )
    desired = Desired(Source("x"), "h1", Directories(), 1, (item, config))
    files = (Layer(source, path, text),)
    return Subject(Rendered(desired, Graph({unit: node}, (unit,))), (Unit(node, files),), "digest")


def lints(looked: Subject) -> tuple[str, ...]:
    """The codes of what is said of a host, each with its words."""
    said = tuple((row.code, remark) for row in LINTS for remark in row.look(looked))
    assert all(remark.path and remark.message and remark.hint for _, remark in said)
    return tuple(code for code, _ in said)


# What at least so many of the files come to, so that none of the readers looks at nothing.
_REACHED = {"hangs on srv.mount": 2000, "BadUnit of srv-d.mount": 1000, "BadUnit of srv-d.automount": 1000} | {
    "MountStem of srv-d.mount": 50,
    **{row.code: 0 for row in LINTS},
}


def looked_at(name: UnitName, content: bytes) -> Iterator[str]:
    """Put one file through everything that reads units; yield what was seen of it, nothing if it is none."""
    text = parse.__wrapped__(content, name.file_name)
    if not isinstance(text, UnitText):
        assert text
        assert all(f.message and f.hint and f.code == "BadUnit" for f in text)
        return
    yield "unit"
    again = parse.__wrapped__(print_text(text), f"hosts/h1/overrides/{name.file_name}.d/a.conf")
    assert isinstance(again, UnitText), again
    assert says_the_same(again, text)
    assert differences(text, again) == ()
    found = (*faults(name, text, "x"), *mount_faults(name, text, "x"), *mount_faults(name, layered((text, again)), "x"))
    assert all(f.message and f.hint for f in found)
    yield from (f"{f.code} of {name.file_name}" for f in found)
    tuple(automounts({name.file_name: (name, text, "x")}, (name.file_name,)))
    references(name, text)
    unit = runtime_unit(name, text)
    related = relations(name, text, unit, _PEERS)
    yield from (f"hangs on {other}" for other in related.strong if other in _PEERS.units)
    yield from lints(subject(name, text, unit, related))
    effective(layer(text))
    assert all(path.startswith("/") for path in host_paths(text))


def test_mutated_unit_files_never_make_a_reader_fail() -> None:
    """A hundred thousand of them, the same in every run, and enough of them are still units to prove something."""
    random_, known = random.Random(SEED), seeds()  # noqa: S311
    seen: Counter[str] = Counter()
    for number in range(FILES):
        content, name = mutated(random_, known), random_.choice(_NAMES)
        try:
            seen.update(set(looked_at(name, content)))
        except Exception as error:
            raise AssertionError(f"seed {SEED}, file {number}, {name.file_name}: {content!r}") from error
    assert FILES * 0.2 < seen["unit"] < FILES * 0.9
    assert all(seen[what] > least for what, least in _REACHED.items()), seen


@given(
    st.text(max_size=80), st.sampled_from(["names", "text", "strings", "assignments", "command", "list", "arguments"])
)
@settings(max_examples=1500, deadline=None)
def test_any_value_has_words(value: str, reading: Reading) -> None:
    """No value makes splitting fail, and a word is never larger than what it was read from."""
    found = split(value, reading)
    assert sum(map(len, found.words)) <= len(value)


def _found_before(text: UnitText) -> Iterator[str]:
    """What a split at white space, quotes and separators alone finds."""
    for a in text.assignments:
        for word in re.split(r"""[\s:,="']+""", a.value):
            path = word.lstrip("-+!@|")
            path = f"/etc{path[2:]}" if path.startswith("%E/") else path
            if path.startswith("/") and "//" not in path and "/./" not in path and "%%" not in path:
                yield path.rstrip("/").removesuffix("/.")


_VALUES = st.text(alphabet="/ab%E:,=\"'\\ -x2f;|.", max_size=40)


@given(_VALUES)
@example("/etc/a;b:/c")
@example("-/etc/a")
@settings(max_examples=2000, deadline=None)
def test_taking_words_apart_finds_every_plain_path(value: str) -> None:
    """Whatever the quotes and escapes, a path that stands there as it is counts."""
    text = UnitText((Assignment("Service", "X", value, 1),), ("Service",))
    assert {p for p in _found_before(text) if p} <= set(host_paths(text))


# --- time -------------------------------------------------------------------------------------------------------------

_HEAD = "[Container]\n"
_SHAPES: dict[str, Callable[[int], str]] = {
    "backslashes": lambda n: f"{_HEAD}X=" + "\\" * n,
    "lines that go on": lambda n: f"{_HEAD}X=" + "a \\\n" * (n // 4),
    "comments that do not end a line": lambda n: f"{_HEAD}X=a \\\n" + "#\\\n" * (n // 3),
    "opening brackets": lambda n: f"{_HEAD}" + "[" * n,
    "sections": lambda n: "".join(f"[{i}]\n" for i in range(n // 9)),
    "equals signs": lambda n: f"{_HEAD}X" + "=" * n,
    "one quoted word": lambda n: f'{_HEAD}Exec="' + "a" * n + '"',
    "quotes": lambda n: f"{_HEAD}PodmanArgs=" + "'a'\"b\"" * (n // 6),
    "empty words": lambda n: "[Service]\nExecStart=" + "'' " * (n // 3),
    "escapes": lambda n: "[Service]\nExecStart=" + "\\x41" * (n // 4),
    "words": lambda n: "[Service]\nEnvironment=" + "A=/x " * (n // 5),
    "environments": lambda n: "[Service]\n" + "Environment=A\n" * (n // 14),
    "volumes": lambda n: f"{_HEAD}Image=x\n" + "Volume=v.volume:/a\n" * (n // 19),
    "mounts": lambda n: f"{_HEAD}Image=x\nMount=" + "type=bind,source=/a " * (n // 20),
    "dependencies and resets": lambda n: "[Unit]\n" + "After=a.service\nAfter=\n" * (n // 23),
    "lists and resets": lambda n: "[Service]\n" + "ExecStart=/a\nExecStart=\n" * (n // 24),
    "single settings": lambda n: "[Service]\n" + "Type=simple\n" * (n // 12),
    "many settings": lambda n: "[Service]\n" + "".join(f"X{i}=/{i}\n" for i in range(n // 14)),
    "slashes": lambda n: "[Service]\nX=" + "/" * n,
    "white space": lambda n: "[Service]\nX=a" + " \t" * (n // 2) + "b",
    "options of a mount": lambda n: "[Mount]\nWhat=/a\nWhere=/srv/d\nOptions=" + "bind,_netdev," * (n // 13),
    "places of a mount": lambda n: "[Mount]\n" + "Where=/srv/d\nWhere=\n" * (n // 20),
    "a long place of a mount": lambda n: "[Mount]\nWhere=/srv" + "/a" * (n // 2),
    "settings of our own": lambda n: "[Mount]\nWhere=/a\n[X-CoreOps]\n" + "CreateMountpoint=x\n" * (n // 19),
    "paths to be mounted": lambda n: "[Unit]\nRequiresMountsFor=" + "/srv/a " * (n // 7),
    "changing sections": lambda n: "[A]\nx=1\n[B]\nx=1\n" * (n // 16),
}
_SMALL, _LARGE = 256 * 1024 - 64, 1024 * 1024 - 64


def timed(content: bytes) -> dict[str, float]:
    """Seconds for each of the readers; what cannot be read is only parsed."""
    spent: dict[str, float] = {}

    def spend(what: str, call: Callable[[], object]) -> None:
        began = time.process_time()
        call()
        spent[what] = time.process_time() - began

    name = UnitName("srv-d", "mount") if content.startswith(b"[Mount]") else UnitName("x", "container")
    spend("parse", lambda: parse.__wrapped__(content, "x.unknown"))
    text = parse.__wrapped__(content, "x.service")
    if isinstance(text, UnitText):
        first = text.assignments[0] if text.assignments else Assignment("A", "B", "", 1)
        spend("words", lambda: text.words(first.section, first.key))
        spend("split", lambda: split(first.value, "command"))
        spend("layered", lambda: layered((text, text)))
        spend("print", lambda: print_text(text))
        spend("effective", lambda: effective(layer(text)))
        spend("differences", lambda: differences(text, text))
        spend("paths", lambda: host_paths(text))
        spend("references", lambda: (references(name, text), tuple(faults(name, text, "x"))))
        spend("mount faults", lambda: tuple(mount_faults(name, text, "x")))
        spend("relations", lambda: relations(name, text, "x.service", _PEERS))
    return spent


def slow(shape: str) -> frozenset[str]:
    """The readers that took more than eight times as long for four times the bytes, without the collector's own work."""
    gc.disable()
    try:
        small, large = (timed(_SHAPES[shape](size).encode()) for size in (_SMALL, _LARGE))
    finally:
        gc.enable()
    return frozenset(what for what in large if large[what] > 8 * max(small.get(what, 0.0), 0.02))


@pytest.mark.parametrize("shape", _SHAPES)
def test_four_times_the_bytes_take_about_four_times_as_long(shape: str) -> None:
    """A megabyte of anything is read in linear time by every reader of units; a busy machine gets three looks."""
    found = slow(shape)
    for _ in range(2):
        found = found and found & slow(shape)
    assert found == frozenset()
