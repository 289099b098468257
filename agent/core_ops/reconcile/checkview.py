"""What a check says, as a JSON view and as lines that editors and people can follow."""

from collections.abc import Iterator

from msgspec import UNSET, UnsetType

from core_ops.errors import printable
from core_ops.reconcile.check import Checked, Said
from core_ops.reconcile.contract import Count, View
from core_ops.reconcile.subject import Level

_HOSTS_SHOWN = 3


class FindingView(View, frozen=True):
    """One thing said of one place; `line` is left out when the whole file is meant."""

    path: str
    level: Level
    code: str
    message: str
    hint: str
    hosts: tuple[str, ...]
    line: int | UnsetType = UNSET


class HostView(View, frozen=True, omit_defaults=False):
    """One host, counted."""

    host: str
    object_count: Count
    error_count: Count
    warning_count: Count


class CheckSummary(View, frozen=True, omit_defaults=False):
    """The whole tree, counted; each place once, however many hosts it concerns."""

    error_count: Count
    warning_count: Count
    host_count: Count


class CheckView(View, frozen=True, tag_field="view_kind", tag="check"):
    """What is wrong with a source tree, or might be."""

    summary: CheckSummary
    findings: tuple[FindingView, ...]
    hosts: tuple[HostView, ...]


def check_view(checked: Checked) -> CheckView:
    """Return the view of a check."""
    levels = [said.level for said in checked.findings]
    return CheckView(
        summary=CheckSummary(levels.count("error"), levels.count("warning"), len(checked.hosts)),
        findings=tuple(_finding(said) for said in checked.findings),
        hosts=tuple(HostView(h.host, h.objects, h.errors, h.warnings) for h in checked.hosts),
    )


def _finding(said: Said) -> FindingView:
    return FindingView(said.path, said.level, said.code, said.message, said.hint, said.hosts, said.line or UNSET)


def check_lines(view: CheckView) -> Iterator[str]:
    """Yield two lines per finding (the place, then the next step), a line per host, and the sum."""
    for f in view.findings:
        place = f.path if f.line is UNSET else f"{f.path}:{f.line}"
        yield printable(f"{place}: {f.level} {f.code}: {f.message}{_hosts(f.hosts)}")
        yield printable(f"    next: {f.hint}")
    if view.findings:
        yield ""
    width = max((len(h.host) for h in view.hosts), default=0) + 1
    for h in view.hosts:
        objects, said = _count(h.object_count, "object"), _said(h.error_count, h.warning_count)
        yield printable(f"{h.host + ':':{width}} {objects}, {said}")
    s = view.summary
    yield f"{_count(s.host_count, 'host')}: {_said(s.error_count, s.warning_count)}"


def _hosts(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    more = len(names) - _HOSTS_SHOWN
    return f" [{', '.join(names[:_HOSTS_SHOWN])}{f' and {more} more' if more > 0 else ''}]"


def _said(errors: int, warnings: int) -> str:
    return f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
