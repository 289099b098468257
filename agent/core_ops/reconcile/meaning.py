"""Whether two unit texts mean the same, and which settings differ when they do not.

Comments, empty lines, repeated headers, the order of different settings and white space between words mean nothing; the
order of the lines of one setting does. Where a setting is unknown, or its readers disagree on what an empty line does, all
of its lines count: a difference too many is looked at, one too few is a unit that runs on what was changed.
"""

from collections.abc import Iterator

from core_ops.reconcile.keys import adding, family, ordered, reading, taken_in
from core_ops.reconcile.model import Value, sha256_hex
from core_ops.reconcile.quoting import split
from core_ops.reconcile.unitfile import UnitText

_Key = tuple[str, str]  # section and setting
_EMPTY_IS_A_VALUE = frozenset({"CapabilityBoundingSet"})  # systemd.exec(5): no capabilities, where none of it means all


class Difference(Value, frozen=True):
    """One setting that means something else, with what counts of it on either side; empty where it is not set."""

    section: str
    key: str
    old: tuple[str, ...]
    new: tuple[str, ...]


def fingerprint(text: UnitText) -> str:
    """Return a digest that two texts share exactly when a unit that was started from one need not start from the other."""
    counts = ((place, values) for place, values in meaning(text).items() if not taken_in(*place))
    said = sorted((*place, repr(_compared(place, values))) for place, values in counts)
    return sha256_hex(repr((said, sorted(_addresses(text).items()))).encode())


def differences(old: UnitText, new: UnitText) -> tuple[Difference, ...]:
    """Return the settings that differ between two texts, drop-ins layered, by section and name.

    The addresses of a socket are passed on in the order of their lines. When that order is all that differs, the first
    setting out of place is named, with `Key=value` for every address.
    """
    before, after = meaning(old), meaning(new)
    found = [
        Difference(*place, before.get(place, ()), after.get(place, ()))
        for place in sorted(before.keys() | after.keys())
        if _compared(place, before.get(place, ())) != _compared(place, after.get(place, ()))
    ]
    return (*found, *(d for d in _out_of_order(old, new) if not any(ordered(f.key) for f in found)))


def meaning(text: UnitText) -> dict[_Key, tuple[str, ...]]:
    """Return what counts of each setting, by section and name: its lines, or its words where they only add up."""
    found = {place: _said(place, lines) for place, lines in _lines(text).items()}
    return {place: values for place, values in found.items() if values}


def _lines(text: UnitText) -> dict[_Key, list[str]]:
    """Return the lines of each setting, without those of a list that an empty line takes back."""
    found: dict[_Key, list[str]] = {}
    kin: dict[_Key, dict[_Key, None]] = {}
    for a in text.assignments:
        place = (a.section, a.key)
        lines = found.setdefault(place, [])
        group = kin.setdefault((a.section, family(a.key)), {})
        group[place] = None
        if not a.value and adding(a.key, a.section) == "list":
            for other in group:
                found[other].clear()
            group.clear()
            lines += [""] if a.key in _EMPTY_IS_A_VALUE else []
        else:
            lines.append(a.value)
    return found


def _said(place: _Key, lines: list[str]) -> tuple[str, ...]:
    section, key = place
    match adding(key, section):
        case "text":
            return tuple(line for line in lines[-1:] if line)
        case "single":
            last = next((line for line in reversed(lines) if line), None)
            return (last,) if last is not None and lines[-1] else (*([] if last is None else [last]), "")
        case "unknown":
            return tuple(lines)
        case "list" | "dependency":
            how = reading(section, key)
            if how is None or how == "command":
                return tuple(lines)
            return tuple(word for line in lines for word in split(line, how).words)


def _compared(place: _Key, values: tuple[str, ...]) -> tuple[object, ...]:
    """Return values as they are compared: a command is its words, however they are written."""
    how = reading(*place)
    if how is None or (how != "command" and adding(place[1], place[0]) in {"list", "dependency"}):
        return values
    return tuple(split(value, how).words for value in values)


def _out_of_order(old: UnitText, new: UnitText) -> Iterator[Difference]:
    before, after = _addresses(old), _addresses(new)
    for section in sorted(before.keys() | after.keys()):
        one, other = tuple(before.get(section, ())), tuple(after.get(section, ()))
        moved = next((a for a, b in zip(one, other, strict=False) if a != b), None)
        if moved is not None:
            yield Difference(section, moved.partition("=")[0], one, other)


def _addresses(text: UnitText) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for a in text.assignments:
        if ordered(a.key):
            lines = found.setdefault(a.section, [])
            if a.value:
                lines.append(f"{a.key}={a.value}")
            else:
                lines.clear()
    return found
