"""Everything that is wrong, or might be, with a source tree: for every host at once, each place once.

A refusal of a service or host stops the hosts that select it. What concerns no host today, such as a service nobody selects,
is still said, as a warning: it would stop the next host that selects it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

import msgspec

from core_ops.errors import CoreOpsError
from core_ops.reconcile.flood import MORE_HINT, listed, more
from core_ops.reconcile.layout import Layout, ServiceTree, read_layout
from core_ops.reconcile.lints import lint
from core_ops.reconcile.model import Desired, Directories, Finding, Source, TreeFile, Value
from core_ops.reconcile.preflight import DOUBT_CODES, UNDONE, Examination, judge
from core_ops.reconcile.render import resolve, unit_text
from core_ops.reconcile.subject import Level
from core_ops.reconcile.unitfile import parse

_SOURCE = Source("(stateless)")
_NOTHING: Mapping[str, Examination] = MappingProxyType({})


class Said(Value, frozen=True, order=True):
    """One thing to be said of one place. `line` is 0 when the whole file is meant; `hosts` are those it concerns."""

    path: str
    line: int
    code: str
    message: str
    level: Level
    hint: str
    hosts: tuple[str, ...] = ()


class HostCount(Value, frozen=True):
    """One host: how many objects it would get (none when it is refused), and what was said of it."""

    host: str
    objects: int
    errors: int
    warnings: int


class Checked(Value, frozen=True):
    """What a check came to, sorted by place and by host."""

    findings: tuple[Said, ...]
    hosts: tuple[HostCount, ...]

    @property
    def refused(self) -> bool:
        """Whether there is an error."""
        return any(said.level == "error" for said in self.findings)


def check(
    files: Iterable[TreeFile], only: tuple[str, ...] = (), examined: Mapping[str, Examination] = _NOTHING
) -> Checked:
    """Return all that is to be said of a tree.

    Args:
        files: the entries below `services/` and `hosts/`, in any order.
        only: hosts to look at, and nothing that does not concern one of them; all hosts and the whole tree when empty.
        examined: what a machine's own programs said of each host's state; see `states`.
    """
    layout = read_layout(files)
    gathered = _Gathered(examined)
    hosts = tuple(sorted(only or _hosts(layout)))
    objects = {host: gathered.look(layout, host) for host in hosts}
    if not only:
        gathered.rest(layout, bare=not hosts)
    findings = gathered.sorted()
    return Checked(findings, tuple(_counted(host, objects[host], findings) for host in hosts))


def states(files: Iterable[TreeFile], only: tuple[str, ...] = ()) -> Iterator[Desired]:
    """Yield the state of every host that is not refused, by name."""
    layout = read_layout(files)
    for host in sorted(only or _hosts(layout)):
        found = resolve(layout, host, _SOURCE, Directories())
        if not found.refusals:
            yield found.desired


def unreadable(problem: CoreOpsError) -> Checked:
    """Return what a check came to when the tree breaks a rule before anything in it can be looked at."""
    said = Said(problem.place or ".", 0, problem.code, problem.message, "error", problem.hint)
    return Checked((said,), ())


def _hosts(layout: Layout) -> frozenset[str]:
    """Return the names of all hosts, also of those whose manifest can't be read."""
    broken = (f.path.split("/")[1] for f in layout.findings if f.code == "HostManifestParse")
    return frozenset((*(h.name for h in layout.hosts), *broken))


def _images(layout: Layout, host: str) -> str:
    return next((h.manifest.images for h in layout.hosts if h.name == host), "any")


def _counted(host: str, objects: int, findings: tuple[Said, ...]) -> HostCount:
    levels = [said.level for said in findings if host in said.hosts]
    return HostCount(host, objects, levels.count("error"), levels.count("warning"))


class _Gathered:
    """What was said so far, with the hosts it was said of."""

    def __init__(self, examined: Mapping[str, Examination]) -> None:
        self._said: dict[Said, list[str]] = {}
        self._examined = examined

    def look(self, layout: Layout, host: str) -> int:
        """Take in what concerns one host; return how many objects it would get."""
        found = resolve(layout, host, _SOURCE, Directories())
        for finding in found.refusals:
            self._add(finding, "error", host)
        for row, remark in lint(found, _images(layout, host)):
            said = Said(remark.path, remark.line, row.code, remark.message, remark.level or row.level, remark.hint)
            self._said.setdefault(said, []).append(host)
        refused = bool(found.refusals) or self._refused(found.desired, host)
        return 0 if refused else len(found.desired.items)

    def _refused(self, desired: Desired, host: str) -> bool:
        """Take in what the machine's programs said of a host; return whether they refuse it."""
        if host not in self._examined:
            return False
        verdict = judge(desired, self._examined[host])
        for finding in verdict.refusals:
            self._add(finding, "error", host)
        linted = {(said.path, said.line) for said in self._said if said.line and said.code not in DOUBT_CODES}
        for d in (d for d in verdict.doubts if (d.path, d.line) not in linted):
            level: Level = "note" if d.code == UNDONE.code else "warning"
            self._said.setdefault(Said(d.path, d.line, d.code, d.message, level, d.hint), []).append(host)
        return bool(verdict.refusals)

    def rest(self, layout: Layout, *, bare: bool) -> None:
        """Take in what concerns no host."""
        known = {(said.path, said.line, said.code) for said in self._said}
        selected = {name for h in layout.hosts for name, _ in h.manifest.services}
        idle = tuple(s for s in layout.services if s.name not in selected)
        roots = tuple(f"services/{s.name}/" for s in idle)
        for finding in (*layout.findings, *(f for s in idle for f in _in_service(s))):
            if (finding.path, finding.line, finding.code) not in known:
                self._add(finding, "warning" if finding.path.startswith(roots) else "error")
        if bare:
            hint = "add hosts/<name>/host.yaml, or name the directory that holds services/ and hosts/"
            self._add(Finding("hosts", 0, "MissingHost", "no host is described here", hint), "error")

    def _add(self, finding: Finding, level: Level, *hosts: str) -> None:
        said = Said(finding.path, finding.line, finding.code, finding.message, level, finding.hint)
        self._said.setdefault(said, []).extend(hosts)

    def sorted(self) -> tuple[Said, ...]:
        """Return everything by place, each thing once, and of each file as many errors and doubts as somebody would read."""
        found = listed(sorted(self._said), lambda said: (said.path, said.level))
        return tuple(sorted(self._merged(said, rest) for said, rest in found))

    def _merged(self, said: Said, rest: Sequence[Said]) -> Said:
        """Return one thing with its hosts; for several in one line, with the hosts of all of them."""
        hosts = tuple(dict.fromkeys(host for each in (rest or (said,)) for host in self._said[each]))
        if rest:
            return msgspec.structs.replace(said, message=more(len(rest)), hint=MORE_HINT, hosts=hosts)
        return msgspec.structs.replace(said, hosts=hosts)


def _in_service(service: ServiceTree) -> Iterator[Finding]:
    """Yield what is wrong with the files of a service by themselves."""
    for unit in service.units:
        text = unit_text(unit)
        yield from text if isinstance(text, tuple) else ()
    for dropin in service.dropins:
        text = parse(dropin.content, dropin.path)
        yield from text if isinstance(text, tuple) else ()
