"""What a run needs from the world, as protocols: the real adapters and the fakes of the tests are held to the same shapes."""

from typing import Protocol

from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import Subjects
from core_ops.reconcile.complaints import Generated
from core_ops.reconcile.events import Event
from core_ops.reconcile.model import Desired, Observed, TreeFile, UntrustedRevision
from core_ops.reconcile.planned import Effect, Failure, Plan
from core_ops.reconcile.preflight import Examination
from core_ops.reconcile.record import Record
from core_ops.reconcile.snapshots import Snapshot


class Source(Protocol):
    """A repository, and the local store that keeps what was fetched from it.

    `warnings` holds what a person may want to know of the fetches so far (`store-rebuilt: ...`).
    """

    warnings: list[str]

    def fetch(self, repository: str, ref: str, anchor: str) -> UntrustedRevision:
        """Return what the remote says `ref` is, with all objects in the local store.

        Raises:
            SourceError: the remote can't be reached or has no such ref.
            RefusedRevisionError: what came breaks a limit or is no revision.
        """
        ...

    def tree(self, commit: str) -> tuple[TreeFile, ...]:
        """Return the entries below `services/` and `hosts/` of a commit in the local store."""
        ...


class Prover(Protocol):
    """Checks who signed; whether they may is not its question."""

    def prove(self, candidate: UntrustedRevision) -> Proof:
        """Return whose key signed the revision.

        Raises:
            RefusedRevisionError: unsigned, or the signature does not hold.
        """
        ...


class Machine(Protocol):
    """The programs of the machine that judge units, and which they are."""

    def examine(self, desired: Desired, sealed: str) -> Examination:
        """Return what this machine's own programs say of a state, changing nothing.

        Nobody is asked when `sealed` is the seal of the same state under the same programs. A program that gives no answer
        is named in what is returned, which then has no seal.
        """
        ...

    def generated(self, desired: Desired) -> tuple[Generated, ...]:
        """Return the units that this machine's generator makes of a state; none when it is not here or gives no answer."""
        ...

    def inputs(self) -> str:
        """Return in one line what a unit's fate depends on besides files: kernel, boot, systemd and podman."""
        ...


class Images(Protocol):
    """The container images of the machine, and its volumes."""

    def present(self, images: tuple[str, ...]) -> frozenset[str]:
        """Return which of these images are on the host, by the names that were asked for.

        Raises:
            HostError: podman is missing or gives no answer.
        """
        ...

    def volumes(self, names: tuple[str, ...]) -> frozenset[str]:
        """Return which of these volumes podman has.

        Raises:
            HostError: podman is missing or gives no answer.
        """
        ...

    def pull(self, image: str) -> str:
        """Pull an image as a unit that starts would, and return why it could not be had; nothing when it was.

        Raises:
            HostError: podman was not to be asked.
        """
        ...


class Host(Machine, Images, Protocol):
    """The machine: its files and units, its programs and its images."""

    def observe(self, subjects: Subjects) -> Observed:
        """Return what stands at the paths and what systemd says of the units."""
        ...

    def stage(self, plan: Plan) -> None:
        """Write every new content beside its target with its mode and owner, durably, before anything is stopped.

        Raises:
            HostError: a file is to belong to nobody on the host, or a file system is full, read-only or otherwise unwilling;
                nothing but hidden temporary files was made, and they are gone again.
        """
        ...

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        """Make one batch of changes of one kind and return what systemd refused.

        Raises:
            HostError: a file could not be changed; everything before it was.
        """
        ...


class Store(Protocol):
    """The agent's own memory, durable before it returns."""

    def load(self) -> Record:
        """Return what was saved last; a host never seen before gives the default record.

        Raises:
            StateError: what is there cannot be read or is newer than this program.
        """
        ...

    def salvage(self) -> Record:
        """Return what can still be read of a damaged record, so that starting again forgets no more than it must."""
        ...

    def save(self, record: Record) -> None:
        """Replace what was saved, atomically, part by part in an order that a cut can't turn into a lie."""
        ...

    def snapshot(self, snapshot: Snapshot) -> Desired:
        """Return the state of a snapshot that is kept.

        Raises:
            StateError: its file is gone or damaged.
        """
        ...


class Reporter(Protocol):
    """Whoever is told what happens while it happens."""

    def report(self, event: Event) -> None:
        """Pass one event on; never fails."""
        ...


class Clock(Protocol):
    """The wall clock."""

    def now_s(self) -> float:
        """Return seconds since 1970 in UTC."""
        ...

    def pause(self, duration_s: float) -> None:
        """Return after this time."""
        ...
