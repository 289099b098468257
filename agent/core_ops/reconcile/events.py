"""Everything a run can report: a closed union, each member with the id under which the journal's readers find it.

The ids are random and fixed for ever (`journalctl MESSAGE_ID=...`); the field names are part of the contract.
"""

from typing import assert_never

from core_ops.reconcile.model import Value
from core_ops.reconcile.phases import Applying, PhaseChanged, Pulling
from core_ops.reconcile.planned import (
    Effect,
    Failure,
    ImageNeed,
    Plan,
    ReloadManager,
    RemoveFile,
    RemoveNetwork,
    RemoveUndeclared,
    Result,
    SetEnablement,
    UnitJob,
    WriteFile,
)
from core_ops.reconcile.retry import Diagnosis, words

_ERROR, _WARNING, _NOTICE, _INFO = 3, 4, 5, 6  # syslog priorities, as journald wants them


class RunStarted(Value, frozen=True):
    """A run holds the lock and begins."""

    verb: str
    host: str


class SourceUnavailable(Value, frozen=True):
    """The repository was not reached; the run goes on with what was authenticated before, if anything was."""

    repository: str
    code: str
    message: str
    hint: str


class Warned(Value, frozen=True):
    """Something was mended on the way that a person may want to know of."""

    message: str


class Doubted(Value, frozen=True):
    """Podman or systemd has a doubt about a revision that is going to be applied; `place` is empty when it is about no file."""

    revision: str
    place: str
    code: str
    message: str
    hint: str

    @property
    def words(self) -> str:
        """The place, if there is one, and what is said of it."""
        return f"{self.place}: {self.message}" if self.place else self.message


class RevisionAuthenticated(Value, frozen=True):
    """A revision was accepted for the first time."""

    revision: str
    ref: str
    signer: str
    key: str


class RevisionRefused(Value, frozen=True):
    """A revision was refused; the host stays on the last good one."""

    revision: str
    code: str
    message: str
    hint: str


class Planned(Value, frozen=True):
    """A plan with something to do is about to be carried out."""

    plan: Plan


class ImagePulled(Value, frozen=True):
    """An image that a plan needs was pulled, before anything was stopped."""

    revision: str
    need: ImageNeed


class Changed(Value, frozen=True):
    """One effect succeeded."""

    revision: str
    effect: Effect


class Failed(Value, frozen=True):
    """One object did not come out as planned."""

    revision: str
    failure: Failure


class ProgressStopped(Value, frozen=True):
    """A revision failed too often in the same way; it is not tried again by itself."""

    diagnosis: Diagnosis


class StoodStill(Value, frozen=True):
    """The host is detached; the run did nothing."""

    revision: str
    message: str


class RunFinished(Value, frozen=True):
    """A run is over. `message` sums it up; `succeeded` is what its exit status says; `result` is for whoever shows it."""

    revision: str
    outcome: str
    message: str
    succeeded: bool
    changed_count: int
    result: Result | None = None


JournalEvent = (
    RunStarted
    | SourceUnavailable
    | Warned
    | Doubted
    | RevisionAuthenticated
    | RevisionRefused
    | Planned
    | ImagePulled
    | Changed
    | Failed
    | ProgressStopped
    | StoodStill
    | RunFinished
)
Event = JournalEvent | PhaseChanged | Applying | Pulling


class JournalEntry(Value, frozen=True):
    """An event as journald takes it: `fields` are CORE_OPS_* names with their values."""

    message_id: str
    priority: int
    message: str
    fields: tuple[tuple[str, str], ...]


MESSAGE_IDS: dict[type, str] = {
    RunStarted: "3d760df54ee3438ab13f1a4a1191cfab",
    SourceUnavailable: "be84303dc79d4896b6ec72db8116fbce",
    Warned: "ec07eb9b18bc4b5588ff0810e8adf587",
    Doubted: "8b3baaaed2fe4ab0a217fd1d8643b728",
    RevisionAuthenticated: "56d5dfb9e170457ca9e0736654fca676",
    RevisionRefused: "ac14d59ee3ba465c82a91e83b0a850f7",
    Planned: "85022cb7bc9440b28e5ac6b49805894c",
    ImagePulled: "e7b24635e90201bbe44e4382d7703721",
    Changed: "ad48b8b6acf04ffba0730e41061176e3",
    Failed: "c8a18c76c1f84c0b96c87f2f95d6a91b",
    ProgressStopped: "d2d3b49197744d16a4ed92ad6e93a53b",
    StoodStill: "843112aae37f434c823c4f52ad3d7b6c",
    RunFinished: "5a64b3b58f4540a6a92b515df1d00658",
}


def effect_words(effect: Effect) -> tuple[str, str]:
    """Return (what is done, to what) in words: `("restart", "web.service")`."""
    match effect:
        case WriteFile():
            return ("create" if effect.expected.kind == "absent" else "replace"), effect.path
        case RemoveFile() | RemoveUndeclared():
            return "remove", effect.path
        case RemoveNetwork():
            return "remove network", effect.network
        case ReloadManager():
            return "daemon-reload", ""
        case SetEnablement():
            return ("enable" if effect.verb == "reenable" else effect.verb), effect.unit
        case UnitJob():
            return effect.verb, effect.unit
        case _:
            assert_never(effect)


def journal_entry(event: JournalEvent) -> JournalEntry:
    """Return how the journal is told."""
    priority, message, fields = _told(event)
    given = tuple((f"CORE_OPS_{key}", value) for key, value in fields.items() if value)
    return JournalEntry(MESSAGE_IDS[type(event)], priority, message, given)


def _told(event: JournalEvent) -> tuple[int, str, dict[str, str]]:
    match event:
        case RunStarted() | RunFinished() | Planned():
            return _told_of_run(event)
        case ProgressStopped() | StoodStill():
            return _told_of_standing(event)
        case SourceUnavailable() | Warned() | Doubted() | RevisionAuthenticated() | RevisionRefused():
            return _told_of_source(event)
        case ImagePulled():
            return _image_pulled(event)
        case Changed():
            return _changed(event)
        case Failed():
            return _failed(event)
        case _:
            assert_never(event)


def _told_of_run(event: RunStarted | Planned | RunFinished) -> tuple[int, str, dict[str, str]]:
    match event:
        case RunStarted():
            return _INFO, f"{event.verb} begins for host {event.host}", {"HOST": event.host}
        case Planned():
            entries = event.plan.entries
            changed = sum(1 for e in entries if e.action != "no_op")
            message = f"applying {event.plan.source.short}: {changed} of {len(entries)} change"
            return _INFO, message, {"REVISION": event.plan.source.revision}
        case RunFinished():
            fields = {"REVISION": event.revision, "OUTCOME": event.outcome, "CHANGED_COUNT": str(event.changed_count)}
            return (_NOTICE if event.succeeded else _ERROR), event.message, fields
        case _:
            assert_never(event)


def _told_of_standing(event: ProgressStopped | StoodStill) -> tuple[int, str, dict[str, str]]:
    match event:
        case ProgressStopped(diagnosis=found):
            fields = {"REVISION": found.revision, "OBJECTS": " ".join(found.objects), "HINT": found.lifted_by}
            return _ERROR, words(found), fields
        case StoodStill():
            return _INFO, event.message, {"REVISION": event.revision}
        case _:
            assert_never(event)


def _told_of_source(
    event: SourceUnavailable | Warned | Doubted | RevisionAuthenticated | RevisionRefused,
) -> tuple[int, str, dict[str, str]]:
    match event:
        case SourceUnavailable():
            return _WARNING, event.message, {"REPOSITORY": event.repository, "CODE": event.code, "HINT": event.hint}
        case Warned():
            return _WARNING, event.message, {}
        case Doubted():
            fields = {"REVISION": event.revision, "PLACE": event.place, "CODE": event.code, "HINT": event.hint}
            return _WARNING, event.words, fields
        case RevisionAuthenticated():
            message = f"authenticated {event.revision[:8]} ({event.ref}), signed by {event.signer or 'nobody'}"
            return _NOTICE, message, {"REVISION": event.revision, "SIGNER": event.signer, "KEY": event.key}
        case RevisionRefused():
            fields = {"REVISION": event.revision, "CODE": event.code, "HINT": event.hint}
            return _ERROR, f"refused {event.revision[:8] or 'the source'}: {event.message} ({event.code})", fields
        case _:
            assert_never(event)


def _image_pulled(event: ImagePulled) -> tuple[int, str, dict[str, str]]:
    need = event.need
    fields = {"REVISION": event.revision, "IMAGE": need.image, "OBJECT": need.object.display_id, "UNIT": need.unit}
    return _INFO, f"pulled {need.image} for {need.unit}", fields


def _changed(event: Changed) -> tuple[int, str, dict[str, str]]:
    action, target = effect_words(event.effect)
    fields = {"REVISION": event.revision, "ACTION": action}
    match event.effect:
        case UnitJob() | SetEnablement() | RemoveNetwork():
            fields |= {"OBJECT": event.effect.object.display_id, "UNIT": event.effect.unit}
        case WriteFile() | RemoveFile() | RemoveUndeclared():
            fields |= {"OBJECT": event.effect.object.display_id, "PATH": event.effect.path}
        case ReloadManager():
            pass
        case _:
            assert_never(event.effect)
    return _INFO, f"{action} {target}".strip(), fields


def _failed(event: Failed) -> tuple[int, str, dict[str, str]]:
    failure = event.failure
    name = failure.object.display_id if failure.object else failure.unit  # none for the run as a whole
    fields = {"REVISION": event.revision, "OBJECT": name, "UNIT": failure.unit, "PHASE": failure.phase}
    return _ERROR, f"{failure.name} failed during {failure.phase}: {failure.detail}", fields
