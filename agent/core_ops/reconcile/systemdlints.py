"""Lints of what systemd would do with a unit: lines it ignores, and units it refuses to load.

systemd says these things in its journal, on the host, after the change has arrived; an author wants them before. Each is one
that systemd's own `systemd-analyze verify` reports, and a test compares the two.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from difflib import get_close_matches
from functools import cache, partial

from core_ops.reconcile.keys import INSTALL_KEYS, YES
from core_ops.reconcile.kinds import KINDS
from core_ops.reconcile.layers import Layer
from core_ops.reconcile.subject import Remark, Subject, Unit
from core_ops.reconcile.unitfile import Assignment

_CLOCK = ("OnClockChange", "OnTimezoneChange")  # these are switches, not times
_UNIT_SUFFIXES = frozenset(
    "service socket target device mount automount swap path timer slice scope".split()  # noqa: SIM905 - a list of words
)
_LIKE = 0.8  # `multiuser` is 0.95 like `multi-user`; a target of one's own is rarely above 0.7
_COMPARED = 200  # names of one unit with those that are known: a file of something else would take a minute

# Source: systemd.special(7), and the targets that systemd 257 ships beside them.
_TARGETS_TEXT = """
    basic blockdev@ bluetooth cryptsetup cryptsetup-pre ctrl-alt-del default emergency exit factory-reset final
    first-boot-complete getty getty-pre graphical graphical-session graphical-session-pre halt hibernate hybrid-sleep
    initrd initrd-fs initrd-root-device initrd-root-fs initrd-switch-root initrd-usr-fs integritysetup
    integritysetup-pre kbrequest kexec local-fs local-fs-pre machines multi-user network network-online network-pre
    nss-lookup nss-user-lookup paths poweroff printer reboot remote-cryptsetup remote-fs remote-fs-pre
    remote-integritysetup remote-veritysetup rescue rpcbind runlevel2 runlevel3 runlevel4 runlevel5 shutdown sigpwr
    sleep slices smartcard sockets soft-reboot sound ssh-access storage-target-mode suspend suspend-then-hibernate swap
    sysinit system-update system-update-pre time-set time-sync timers tpm2 umount usb-gadget veritysetup
    veritysetup-pre xdg-desktop-autostart
"""
_TARGETS = frozenset(f"{name}.target" for name in _TARGETS_TEXT.split())


# --- sections ---------------------------------------------------------------------------------------------------------


def unknown_sections(subject: Subject) -> Iterator[Remark]:
    """Yield the first setting of each section that nobody reads."""
    for unit in subject.units:
        for layer in unit.layers:
            known = _sections_of(layer)
            seen: set[str] = set()
            for a in layer.text.assignments:
                if a.section not in known and a.section not in seen and not a.section.startswith("X-"):
                    seen.add(a.section)
                    message = f"[{a.section}] is no section of this file: {a.key}= and what follows it there is ignored"
                    yield Remark(layer.source, a.line, message, _section_hint(a.section, known, len(seen)))


def _sections_of(layer: Layer) -> tuple[str, ...]:
    """Return the sections that are read from a file or drop-in, by the suffix of the unit it is for."""
    *_, directory, name = layer.path.split("/")
    suffix = (directory.removesuffix(".d") if directory.endswith(".d") else name).rpartition(".")[2]
    own = suffix.capitalize()
    if KINDS[suffix].form == "quadlet":
        return ("Unit", own, "Quadlet", "Service", "Install")
    return ("Unit", own, "Install")


def _section_hint(section: str, known: tuple[str, ...], number: int) -> str:
    near = get_close_matches(section.capitalize(), known, 1) if number <= _COMPARED else ()
    if near:
        return f"write [{near[0]}]"
    return f"move it to one of {' '.join(f'[{name}]' for name in known)}, or name the section X-... if it is a note"


# --- [Install] --------------------------------------------------------------------------------------------------------


def install_targets(subject: Subject) -> Iterator[Remark]:
    """Yield names in [Install] that are no unit, or look like a target that systemd has under another name."""
    units = {node.unit for node in subject.rendered.graph.nodes.values()}
    files = {unit.name.file_name: unit.node.unit for unit in subject.units}
    stems = {unit.rpartition(".")[0]: unit for unit in (*sorted(units), *sorted(_TARGETS))}
    probably = cache(partial(_meant, known=stems))
    for unit in subject.units:
        for line, word in _unknown_words(unit, units):
            if meant := files.get(word) or probably(word):
                message = f"{line.key}={word} names no unit that is known here, so that nothing starts this one"
                yield Remark(line.path, line.line, message, f"write a unit with its suffix, such as {meant}")


def _unknown_words(unit: Unit, units: AbstractSet[str]) -> Iterator[tuple[Assignment, str]]:
    """Yield the names in [Install] that are no units of the host, up to a number of different ones."""
    seen: set[str] = set()
    for line in (line for key in INSTALL_KEYS for line in unit.text.effective("Install", key)):
        for word in line.value.split():
            if word not in units and (word in seen or len(seen) < _COMPARED):
                seen.add(word)
                yield line, word


def _meant(word: str, known: Mapping[str, str]) -> str:
    """Return what a name was probably meant to be, or nothing when there may well be such a unit on the host.

    Args:
        word: the name.
        known: units by what stands before the last dot; the ends of names are all alike, and say nothing.
    """
    stem, _, suffix = word.rpartition(".")
    if "%" in word or "@" in word or word in _TARGETS:
        return ""
    for target in (f"{stem}.target", f"{word}.target"):  # multi-user.service, multi-user
        if target in _TARGETS:
            return target
    if suffix in _UNIT_SUFFIXES and suffix != "target":
        return ""
    near = get_close_matches(stem or word, known, 1, _LIKE)
    if near:
        return known[near[0]]
    return "" if suffix == "target" else "multi-user.target"


# --- units that systemd refuses ---------------------------------------------------------------------------------------


def refused_units(subject: Subject) -> Iterator[Remark]:
    """Yield units that systemd would not load.

    Source:
        systemd.service(5) for Type=, Restart=, ExecStart=, BusName=; systemd.timer(5), systemd.socket(5), systemd.path(5).
    """
    for unit in subject.units:
        for line, message, hint in (*_service(unit), *_trigger(unit)):
            path = unit.node.item.sources[0] if not line else line.rpartition(":")[0]
            yield Remark(path, int(line.rpartition(":")[2]) if line else 0, f"systemd refuses it: {message}", hint)


def _service(unit: Unit) -> Iterator[tuple[str, str, str]]:
    kind = KINDS[unit.name.suffix]
    oneshot = unit.text.last("Service", "Type") == "oneshot"
    for line in unit.text.effective("Service", "Restart")[-1:]:
        if oneshot and line.value in {"always", "on-success"}:
            yield line.place, f"Restart={line.value} with Type=oneshot", "write Restart=on-failure, or remove the line"
    if kind.type != "service":
        return
    starts = unit.text.effective("Service", "ExecStart")
    if len(starts) > 1 and not oneshot:
        hint = "keep one, with an empty ExecStart= before it in a drop-in, or write Type=oneshot"
        yield starts[1].place, "more than one ExecStart= without Type=oneshot", hint
    if not starts and not _does_without(unit):
        yield "", "no ExecStart=", "add ExecStart= to [Service]"
    if unit.text.last("Service", "Type") == "dbus" and not unit.text.last("Service", "BusName"):
        yield "", "Type=dbus without BusName=", "add BusName= to [Service]"


def _does_without(unit: Unit) -> bool:
    """Whether a service needs no ExecStart=: it stays up to be stopped, or its end is what counts."""
    if unit.text.last("Unit", "SuccessAction") not in {"", "none"}:
        return True
    stays = unit.text.last("Service", "RemainAfterExit").lower() in YES
    return stays and bool(unit.text.last("Service", "ExecStop"))


def _trigger(unit: Unit) -> Iterator[tuple[str, str, str]]:
    match unit.name.suffix:
        case "timer" if not _any(unit, "Timer", _elapses):
            yield "", "no time is given", "add OnCalendar=, or OnBootSec= and OnUnitActiveSec=, to [Timer]"
        case "socket" if not _any(unit, "Socket", lambda key: key.startswith("Listen")):
            yield "", "nothing to listen on", "add ListenStream= to [Socket]"
        case "path" if not _any(unit, "Path", lambda key: key.startswith("Path") or key == "DirectoryNotEmpty"):
            yield "", "no path to watch", "add PathExists=, PathChanged= or DirectoryNotEmpty= to [Path]"
        case _:
            pass


def _any(unit: Unit, section: str, triggers: Callable[[str], bool]) -> bool:
    """Whether a trigger is left: an empty one resets all of them, whatever their key."""
    left = False
    for a in (a for layer in unit.layers for a in layer.text.assignments if a.section == section):
        if triggers(a.key):
            left = bool(a.value)
        elif a.key in _CLOCK:
            left = left or a.value.lower() in YES
    return left


def _elapses(key: str) -> bool:
    return key == "OnCalendar" or (key.startswith("On") and key.endswith("Sec"))
