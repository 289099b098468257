"""What differs: each file against the disk and the last apply, each unit against what it was started from.

Three states decide together. A file that differs from the disk but not from the last apply has drifted; one that differs
from both was changed by an author; one that stands where this agent never wrote is somebody else's and is left alone.
"""

from typing import Literal

from core_ops.reconcile.changes import Changes, FileChange, judged
from core_ops.reconcile.escape import where
from core_ops.reconcile.exclusive import Undeclared, undeclared
from core_ops.reconcile.graph import Graph, Node
from core_ops.reconcile.kinds import is_template
from core_ops.reconcile.made import Made
from core_ops.reconcile.model import Desired, FileState, LastApplied, Observed, Owned, UnitState, Value
from core_ops.reconcile.mountstops import remounted, with_mounts
from core_ops.reconcile.outlasting import Volumes, abandoned_networks, outdated_networks, volumes
from core_ops.reconcile.ownership import names
from core_ops.reconcile.reach import reached

UP = frozenset({"active", "reloading", "activating", "refreshing"})
ENABLED = frozenset({"enabled", "enabled-runtime"})


class Subjects(Value, frozen=True):
    """What has to be looked at on the host, sorted: paths, units, users and groups, exclusive roots, and mount points.

    `closely` are units of which everything is wanted, also while they are simply up.
    """

    paths: tuple[str, ...]
    units: tuple[str, ...]
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    mount_points: tuple[str, ...] = ()
    closely: frozenset[str] = frozenset()


class UnitChange(Value, frozen=True):
    """One desired unit: what systemd says of it and which jobs it needs.

    `stop` is carried out while the old definition is still on disk, `job` afterwards; `networks` are what podman forgets in
    between. `left` says why a unit that runs from older inputs is not touched, `obstacle` what on the host forbids a mount,
    `note` what its author may want to know, `decision` what only a person can decide.
    """

    node: Node
    state: UnitState
    stop: bool
    job: Literal["", "start", "restart", "reload"]
    reset: bool
    enablement: Literal["", "reenable", "disable"]
    stale: Literal["", "unknown", "older"]
    left: str = ""
    obstacle: str = ""
    note: str = ""
    networks: tuple[str, ...] = ()
    decision: str = ""

    @property
    def acts(self) -> bool:
        """Whether anything is done to the unit."""
        return self.stop or bool(self.job) or bool(self.enablement) or bool(self.networks)


class Comparison(Value, frozen=True):
    """Everything that differs on one host. `gone` is owned but no longer desired; `reload` says systemd must reread.

    `undeclared` is what stands in exclusive roots without having been declared, `networks` what removed files leave at podman.
    `standing` is what is at the paths of `gone`, by path.
    """

    files: dict[str, FileChange]
    units: dict[str, UnitChange]
    gone: tuple[Owned, ...]
    standing: dict[str, FileState]
    gone_units: tuple[tuple[Owned, UnitState], ...]
    touched: frozenset[str]
    reload: bool
    undeclared: Undeclared = Undeclared()
    networks: tuple[tuple[Owned, str], ...] = ()
    volumes: Volumes = Volumes((), {}, frozenset())


def subjects(desired: Desired, last: LastApplied) -> Subjects:
    """Return the paths and units whose present state a plan depends on."""
    paths = {i.path for i in desired.items} | {o.path for o in last.owned}
    units = {i.unit for i in desired.items} | {o.unit for o in last.owned}
    users, groups = names(desired.items)
    return Subjects(
        paths=tuple(sorted(paths)),
        units=tuple(sorted(u for u in units if u and not is_template(u))),
        users=tuple(sorted(users)),
        groups=tuple(sorted(groups)),
        roots=tuple(sorted(desired.exclusive)),
        mount_points=tuple(sorted({where(u) for u in units if u.endswith(".mount")})),
    )


def compare(
    desired: Desired, graph: Graph, before_graph: Graph | None, last: LastApplied, observed: Observed, made: Made
) -> Comparison:
    """Return what differs between what a host should have, what it was given last and what it has.

    Args:
        desired: what it should have.
        graph: the units of that.
        before_graph: the units of the state that was applied last, if it was another.
        last: the record.
        observed: what it has.
        made: what the generator makes of the Quadlet files.
    """
    seen = {f.path: f for f in observed.files}
    states = {u.unit: u for u in observed.units}
    owned = {o.path: o for o in last.owned}
    before = {i.path: i for i in last.desired.items} if last.desired else {}
    files: dict[str, FileChange] = {}
    for item in desired.items:
        state = seen.get(item.path, FileState(item.path, "absent"))
        change = FileChange(item, state, before.get(item.path), "write", observed.accounts)
        files[item.path] = judged(change, owned=item.path in owned)
    gone = tuple(o for o in last.owned if o.path not in files)
    renamed = tuple(o for o in last.owned if o.path in files and o.unit != files[o.path].item.unit)
    stray = undeclared(desired, gone, observed.roots)
    started = {s.unit: s.inputs for s in last.started}
    up = {unit for unit, state in states.items() if state.active in UP}
    old = before_graph or graph
    changes = Changes(files, gone, stray, old, seen, made, started)
    kept = volumes(graph, last.volumes, observed.missing_volumes, up)
    reach = reached(graph, changes, started, up, kept.anew)
    networks = outdated_networks(graph, changes, started, reach.fresh, owned.keys())
    redefined = reach.redefined | networks.keys()
    redefined |= remounted(graph, before_graph or graph, up - reach.fresh, frozenset(o.unit for o in gone) & up)
    stopping = with_mounts(graph, graph.strong_dependents(redefined), up)
    emptied = _emptied(graph, before_graph or graph, up, up & (reach.fresh - stopping), _unknown(last, up))
    stopping = with_mounts(graph, graph.strong_dependents(redefined | emptied), up)
    units = {
        unit: _unit(
            node,
            states.get(unit, UnitState(unit)),
            started.get(unit),
            _Context(
                touched=unit in reach.hard,
                stopping=unit in stopping,
                known=node.item.path in owned,
                reload=unit in reach.mild,
                relinked=unit in reach.relinked,
                decision=kept.undecided.get(unit, ""),
                networks=networks.get(unit, ()),
                calm=unit in reach.calm,
            ),
        )
        for unit, node in graph.nodes.items()
    }
    reload = _must_reload(files, units, gone)
    abandoned = abandoned_networks(graph, changes, gone)
    ended = _gone_units((*gone, *renamed), graph, states)
    standing = {o.path: seen.get(o.path, FileState(o.path, "absent")) for o in gone}
    return Comparison(files, units, gone, standing, ended, reach.touched, reload, stray, abandoned, kept)


def _unknown(last: LastApplied, up: set[str]) -> set[str]:
    """Return the containers that are up without a record: a run that was cut may have put them into any pod."""
    known = {s.unit for s in last.started}
    return {o.unit for o in last.owned if o.object.resource_type == "container" and o.unit in up - known}


def _emptied(graph: Graph, before: Graph, up: set[str], kept: set[str], unknown: set[str]) -> frozenset[str]:
    """Return the pods that lose their last running container: they have to be stopped and started with it.

    Podman ends a pod with its last container a moment later, and a start job of that moment fails with the pod. A pod that is
    not known to keep a container counts as losing its last one when a container that may be in it stops.

    Source:
        podman-pod-create(1), --exit-policy=stop, which the Quadlet generator sets.
    """
    found: set[str] = set()
    for unit, node in graph.nodes.items():
        if node.object.resource_type == "pod" and unit in up:
            bound = {u for u, n in before.nodes.items() if unit in n.relations.strong}
            if (unknown or bound & up) and not bound & kept:
                found.add(unit)
    return frozenset(found)


class _Context(Value, frozen=True):
    """What the rest of the host means for one unit."""

    touched: bool
    stopping: bool
    known: bool
    reload: bool
    relinked: bool
    decision: str
    networks: tuple[str, ...]
    calm: bool  # older inputs are accounted for: somebody it depends on takes them in by a reload


def _unit(node: Node, state: UnitState, started: str | None, context: _Context) -> UnitChange:
    touched, stopping, known = context.touched, context.stopping, context.known
    stale: Literal["", "unknown", "older"] = "" if started == node.inputs else "older" if started else "unknown"
    if stale == "older" and (context.reload or context.calm):
        stale = ""
    up = state.active in UP
    enablement = _enablement(node, state, changed=stopping or stale == "unknown" or context.relinked, known=known)
    if up and not node.wanted and state.type == "oneshot" and state.active == "activating":
        left = "it is running a job that a timer or a person started; it ends with what it began with"
        return UnitChange(node, state, stop=False, job="", reset=False, enablement=enablement, stale=stale, left=left)
    if node.object.resource_type == "slice":  # it takes changes at a reload, and its stop would be that of its units
        return UnitChange(node, state, stop=False, job="", reset=False, enablement=enablement, stale=stale)
    job: Literal["", "start", "restart", "reload"] = ""
    if up and (touched or stopping or stale):
        job = "restart"
    elif up and context.reload:
        job = "reload"
    elif node.wanted and not up and (touched or stopping or stale or not converged(state)):
        job = "start"
    return UnitChange(
        node,
        state,
        stop=stopping
        and (up or state.active == "deactivating"),  # one that crashed may come up again from its old file
        job=job,
        reset=bool(job) and state.active in {"failed", "activating"},  # a spent start limit refuses the job
        enablement=enablement,
        stale=stale,
        networks=context.networks,
        decision=context.decision,
    )


def _enablement(node: Node, state: UnitState, *, changed: bool, known: bool) -> Literal["", "reenable", "disable"]:
    if not node.native or node.template:
        return ""
    enabled = state.enabled in ENABLED
    if node.installs:
        return "reenable" if changed or not enabled else ""
    # While its file is away systemd can't say whether links to it remain, and they would count again once it is back.
    return "disable" if enabled or (known and state.load == "not-found") else ""


def converged(state: UnitState) -> bool:
    """Whether a unit that should be up is: active, or a one-shot that ran to success, or held back by its own conditions.

    Source:
        systemd.service(5), Type=oneshot: it is inactive again after a successful run unless RemainAfterExit= is set.
    """
    if state.active in {"active", "reloading", "refreshing"}:
        return True
    done = state.active == "inactive" and state.result == "success"
    return done and (not state.condition_met or (state.type == "oneshot" and bool(state.invocation_id)))


def _gone_units(
    gone: tuple[Owned, ...], graph: Graph, states: dict[str, UnitState]
) -> tuple[tuple[Owned, UnitState], ...]:
    mains = (o for o in gone if o.unit and o.object.resource_type != "dropin" and o.unit not in graph.nodes)
    return tuple((o, states.get(o.unit, UnitState(o.unit))) for o in mains)


def _must_reload(files: dict[str, FileChange], units: dict[str, UnitChange], gone: tuple[Owned, ...]) -> bool:
    if any(o.object.resource_type != "config" for o in gone):
        return True
    if any(c.item.object.resource_type != "config" and c.differs for c in files.values()):
        return True
    loadable = [c for c in units.values() if not c.node.template]
    if any(c.enablement for c in loadable):
        return True  # systemd (257) says NeedDaemonReload=yes of every unit once a link to one was made or removed
    return any(c.stale == "unknown" or c.state.needs_reload or c.state.load == "not-found" for c in loadable)
