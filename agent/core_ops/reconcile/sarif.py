"""A check as SARIF, the format in which code hosts take findings and show them beside the lines they are about.

Source:
    SARIF 2.1.0 (OASIS, 2020): 3.13 sarifLog, 3.14 run, 3.19 toolComponent, 3.27 result, 3.29 physicalLocation, 3.30 region,
    3.49 reportingDescriptor. URIs are RFC 3986 references relative to the tree that was checked.
"""

from collections.abc import Mapping

import msgspec

from core_ops.reconcile.check import Checked, Said
from core_ops.reconcile.rules import Rule, rules

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_TREE = "%SRCROOT%"
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/")


def sarif(checked: Checked, version: str) -> bytes:
    """Return one SARIF log; the same check always gives the same bytes.

    Args:
        checked: what was found.
        version: this program's version.
    """
    table = rules()
    places = {rule.code: place for place, rule in enumerate(table)}
    driver = {"name": "core-ops", "version": version, "rules": [_rule(rule) for rule in table]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(said, places) for said in checked.findings],
    }
    return msgspec.json.encode({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule) -> Mapping[str, object]:
    first, stop, _ = rule.text.partition(". ")
    return {
        "id": rule.code,
        "shortDescription": {"text": first + stop.strip()},
        "fullDescription": {"text": rule.text},
        "help": {"text": rule.text},
        "defaultConfiguration": {"level": rule.level},
    }


def _result(said: Said, places: Mapping[str, int]) -> Mapping[str, object]:
    known = {"ruleIndex": places[said.code]} if said.code in places else {}
    return {
        "ruleId": said.code,
        **known,
        "level": said.level,
        "message": {"text": f"{said.message} -> {said.hint}" if said.hint else said.message},
        "locations": [{"physicalLocation": _location(said)}],
        "properties": {"hosts": said.hosts},
    }


def _location(said: Said) -> Mapping[str, object]:
    artifact = {"uri": _uri(said.path), "uriBaseId": _TREE}
    if said.line:
        return {"artifactLocation": artifact, "region": {"startLine": said.line}}
    return {"artifactLocation": artifact}


def _uri(path: str) -> str:
    return "".join(c if c in _UNRESERVED else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
