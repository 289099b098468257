"""An explanation as a JSON view and in human words."""

from collections.abc import Iterator
from typing import Literal

from msgspec import UNSET, UnsetType

from core_ops.errors import printable
from core_ops.reconcile.contract import (
    CauseView,
    DependencyView,
    DiffView,
    ObjectView,
    RevisionView,
    View,
    cause_views,
    diff_view,
    object_view,
    revision_view,
)
from core_ops.reconcile.explain import Explained
from core_ops.reconcile.layers import Line
from core_ops.reconcile.model import Obj, Source
from core_ops.reconcile.planned import Action, Entry

_OWN_SECTION = "X-CoreOps"
_NOTHING = "nothing starts it"


class LayerView(View, frozen=True, omit_defaults=False):
    """One file the object is made of."""

    source: str
    path: str


class LineView(View, frozen=True):
    """One line that counts, and the places of the lines it makes void."""

    source: str
    line: int
    section: str
    key: str
    value: str
    overrides: tuple[str, ...] = ()


class ExplainMetadata(View, frozen=True):
    """The file on the host and everything that is read from it."""

    host: str
    path: str
    mode: str
    layers: tuple[LayerView, ...]
    unit: str | UnsetType = UNSET
    lines: tuple[LineView, ...] = ()
    configs: tuple[ObjectView, ...] = ()
    starts: tuple[str, ...] = ()
    owner: str | UnsetType = UNSET
    group: str | UnsetType = UNSET


class ExplainView(View, frozen=True, kw_only=True, tag_field="view_kind", tag="explain"):
    """One object of a host's desired state."""

    revision_context: RevisionView
    object: ObjectView
    action_or_outcome: Action | Literal["desired"]
    causes: tuple[CauseView, ...]
    dependencies: tuple[DependencyView, ...]
    diff: DiffView | UnsetType = UNSET
    notes: tuple[str, ...] | UnsetType = UNSET
    metadata: ExplainMetadata
    x_coreops: dict[str, str] | UnsetType = UNSET
    summary: str


def explain_view(explained: Explained, host: str, source: Source, entry: Entry | None = None) -> ExplainView:
    """Return the view of an explanation.

    Args:
        explained: what is known of the object.
        host: the host it is for.
        source: the revision it comes from.
        entry: what the next run would do with it, where the host was looked at.
    """
    item = explained.item
    starts = explained.starts or ((_NOTHING,) if _startable(item.object) else ())
    return ExplainView(
        revision_context=revision_view(source),
        object=object_view(item.object),
        action_or_outcome=entry.action if entry else "desired",
        causes=(
            *(cause_views(entry) if entry else ()),
            *(CauseView("desired_change", f"declared by {layer}") for layer, _ in explained.layers),
        ),
        dependencies=(
            *(DependencyView("prerequisite", object_view(o)) for o in explained.requires),
            *(DependencyView("dependent", object_view(o)) for o in explained.required_by),
        ),
        diff=diff_view(entry) if entry else UNSET,
        notes=(entry.notes or UNSET) if entry else UNSET,
        metadata=ExplainMetadata(
            host=host,
            path=item.path,
            mode=f"{item.mode:04o}",
            layers=tuple(LayerView(layer, path) for layer, path in explained.layers),
            unit=item.unit or UNSET,
            lines=tuple(_line(line) for line in explained.lines),
            configs=tuple(object_view(o) for o in explained.uses),
            starts=starts,
            owner=item.owner or UNSET,
            group=item.group or UNSET,
        ),
        x_coreops={line.key: line.value for line in explained.lines if line.section == _OWN_SECTION} or UNSET,
        summary=f"{item.object.display_id} is {item.path} on {host}",
    )


def _startable(obj: Obj) -> bool:
    return obj.resource_type not in {"config", "dropin"}


def _line(line: Line) -> LineView:
    return LineView(line.source, line.line, line.section, line.key, line.value, line.overrides)


def explain_lines(view: ExplainView) -> Iterator[str]:
    """Yield an explanation for people; it says what the view says."""
    meta = view.metadata
    revision = view.revision_context.target_revision
    short = revision if revision.startswith("(") else revision[:8]
    yield printable(f"{view.object.display_id} for host {meta.host} @ {short}")
    fields = (
        ("next run", _next_run(view)),
        ("file", (f"{meta.path} ({', '.join(_access(meta))})",)),
        ("unit", () if meta.unit is UNSET else (meta.unit,)),
        ("from", tuple(layer.source for layer in meta.layers)),
        ("started", meta.starts),
        ("requires", _related(view, "prerequisite")),
        ("required by", _related(view, "dependent")),
        ("uses", tuple(o.display_id for o in meta.configs)),
    )
    for name, entries in fields:
        for place, entry in enumerate(entries):
            yield printable(f"  {'' if place else name:<12} {entry}")
    yield from _line_lines(meta.lines)


def _next_run(view: ExplainView) -> tuple[str, ...]:
    """Return what would be done and why, where the host was looked at."""
    if view.action_or_outcome == "desired":
        return ()
    declared = len(view.metadata.layers)
    causes = (f"{view.action_or_outcome}: {c.summary}" for c in view.causes[: len(view.causes) - declared])
    diff = (view.diff.summary,) if view.diff is not UNSET else ()
    return (*causes, *diff, *(view.notes if view.notes is not UNSET else ()))


def _access(meta: ExplainMetadata) -> Iterator[str]:
    yield f"mode {meta.mode}"
    if meta.owner is not UNSET:
        yield f"owner {meta.owner}"
    if meta.group is not UNSET:
        yield f"group {meta.group}"


def _related(view: ExplainView, relation: str) -> tuple[str, ...]:
    return tuple(d.object.display_id for d in view.dependencies if d.relation == relation)


def _line_lines(lines: tuple[LineView, ...]) -> Iterator[str]:
    sections = tuple(dict.fromkeys(line.section for line in lines))
    for section in sections:
        yield printable(f"  [{section}]")
        for line in lines:
            if line.section == section:
                overrides = f", overrides {', '.join(line.overrides)}" if line.overrides else ""
                yield printable(f"    {line.key}={line.value}  ({line.source}:{line.line}{overrides})")
