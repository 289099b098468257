"""Builds the real ports from settings: the only module that knows every adapter."""

import contextlib
import time
from pathlib import Path

from core_ops import __version__
from core_ops.enrol import Enrolment, begun, pin_of, without_secrets
from core_ops.errors import HostError, SettingsError
from core_ops.examiner import examine, generated
from core_ops.host import accounts, directory, files, machine, mountinfo, podman, roots, systemd, trust
from core_ops.host.git import GitStore
from core_ops.host.journal import Journal
from core_ops.host.signatures import prove
from core_ops.host.store import Store, scope
from core_ops.outlook import Goal, Ports
from core_ops.ports import Reporter
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.compare import Subjects
from core_ops.reconcile.complaints import Generated
from core_ops.reconcile.events import Event
from core_ops.reconcile.model import Desired, Directories, Observed, TreeFile, UntrustedRevision
from core_ops.reconcile.model import Source as Origin
from core_ops.reconcile.mountpoints import advice
from core_ops.reconcile.pin import Pin, Trust
from core_ops.reconcile.planned import (
    Effect,
    Failure,
    Plan,
    ReloadManager,
    RemoveFile,
    RemoveNetwork,
    RemoveUndeclared,
    SetEnablement,
    UnitJob,
    WriteFile,
)
from core_ops.reconcile.preflight import Examination
from core_ops.reconcile.record import Controller, Record
from core_ops.settings import Settings


class LocalHost:
    """This machine's files and units; `run_directory` holds for a moment what the machine's programs look at."""

    def __init__(self, directories: Directories, run_directory: str) -> None:
        self._keep = frozenset({directories.quadlet, directories.systemd, directories.config})
        self._unit_directories = (directories.systemd, directories.quadlet)
        self._run_directory = run_directory

    def observe(self, subjects: Subjects) -> Observed:
        """Look at paths and units; see `core_ops.ports.Host`."""
        seen = files.observe_all(subjects.paths)
        return Observed(
            seen,
            systemd.observe(subjects.units, subjects.closely, self._unit_directories),
            accounts.observe(subjects.users, subjects.groups, seen),
            tuple(roots.observe(r) for r in subjects.roots),
            mountinfo.observe(subjects.mount_points),
        )

    def examine(self, desired: Desired, sealed: str) -> Examination:
        """Ask the generator and systemd; see `core_ops.ports.Host`."""
        return examine(desired, sealed, self._run_directory)

    def present(self, images: tuple[str, ...]) -> frozenset[str]:
        """Ask podman what it has; see `core_ops.ports.Host`."""
        _need_systemd()
        return podman.present(images)

    def volumes(self, names: tuple[str, ...]) -> frozenset[str]:
        """Ask podman; see `core_ops.ports.Images`."""
        return podman.volumes(names)

    def pull(self, image: str) -> str:
        """Have podman pull; see `core_ops.ports.Host`."""
        return podman.pull(image)

    def stage(self, plan: Plan) -> None:
        """Write new contents beside their targets; see `core_ops.ports.Host`."""
        if any(not isinstance(e, WriteFile | RemoveFile | RemoveUndeclared) for e in plan.effects):
            _need_systemd()
        owners = {e.path: accounts.owners(e) for e in plan.effects if isinstance(e, WriteFile)}
        files.sweep(o.path for o in plan.owned)
        staged: list[str] = []
        made: tuple[str, ...] = ()
        try:
            for effect in plan.effects:
                if isinstance(effect, WriteFile):
                    made += files.stage(effect, owners[effect.path], self._keep)
                    staged.append(effect.path)
        except HostError:
            files.sweep(staged)
            files.unmake(made)
            raise

    def generated(self, desired: Desired) -> tuple[Generated, ...]:
        """Ask the generator; see `core_ops.ports.Machine`."""
        return generated(desired, self._run_directory)

    def inputs(self) -> str:
        """Return kernel, boot, systemd and podman; see `core_ops.ports.Host`."""
        return machine.inputs()

    def carry_out(self, effects: tuple[Effect, ...]) -> tuple[Failure, ...]:
        """Carry out one batch; see `core_ops.ports.Host`."""
        first = effects[0]
        match first:
            case WriteFile():
                files.commit(first)
            case RemoveFile():
                files.remove(first, self._keep)
            case RemoveUndeclared():
                roots.remove(first)
            case ReloadManager():
                systemd.reload()
            case SetEnablement():
                return _links(first.verb, tuple(e for e in effects if isinstance(e, SetEnablement)))
            case RemoveNetwork():
                said = podman.remove_network(first.network)
                return (Failure(first.object, first.unit, "applying", said),) if said else ()
            case UnitJob():
                return _jobs(first.verb, tuple(e for e in effects if isinstance(e, UnitJob)))
        return ()


def _need_systemd() -> None:
    if not systemd.running():
        raise HostError(
            "apply: systemd is not running here",
            code="no-systemd",
            hint="`core-ops plan` works anywhere; apply needs a host that booted with systemd",
        )


def _links(verb: str, changes: tuple[SetEnablement, ...]) -> tuple[Failure, ...]:
    objects = {c.unit: c.object for c in changes}
    refused = systemd.enablement(verb, tuple(objects))
    return tuple(Failure(objects[u], u, "applying", f"{verb}: {said}") for u, said in refused.items())


def _jobs(verb: str, jobs: tuple[UnitJob, ...]) -> tuple[Failure, ...]:
    objects = {j.unit: j.object for j in jobs}
    refused = systemd.job(verb, tuple(objects))
    return tuple(
        Failure(objects[u], u, "applying", f"{verb}: {said}{advice(verb, u)}", dependency=said == systemd.DEPENDENCY)
        for u, said in refused.items()
    )


class SignatureProver:
    """Checks signatures with `cryptography`."""

    def prove(self, candidate: UntrustedRevision) -> Proof:
        """Return whose key signed; see `core_ops.ports.Prover`."""
        return prove(candidate)


class SystemClock:
    """The machine's clock."""

    def now_s(self) -> float:
        """Return seconds since 1970 in UTC."""
        return time.time()  # noqa: TID251 - the one clock

    def pause(self, duration_s: float) -> None:
        """Sleep."""
        time.sleep(duration_s)


class Everybody:
    """Passes every event on to several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        self._reporters = reporters

    def report(self, event: Event) -> None:
        """Tell all of them."""
        for reporter in self._reporters:
            reporter.report(event)


def controller() -> Controller:
    """Return which program this is."""
    return Controller(version=__version__)


def store(settings: Settings) -> Store:
    """Return the memory of the tracked repository."""
    return Store(settings.path("state_file"), scope(settings.get("host")))


def ports(settings: Settings, *reporters: Reporter) -> Ports:
    """Return the real world of a run that tracks a repository."""
    ca_file = settings.path("ca_file") if settings.get("ca_file") else None
    cache = settings.path("state_file").parent / "repository.git"
    return Ports(
        source=GitStore(cache, ca_file, settings.fetch_timeout_s),
        prover=SignatureProver(),
        host=LocalHost(settings.directories, str(settings.path("lock_path").parent)),
        store=store(settings),
        reporter=Everybody(Journal(), *reporters),
        clock=SystemClock(),
    )


def goal(settings: Settings, known: Trust) -> Goal:
    """Return what a run is for."""
    host = settings.get("host")
    return Goal(host, settings.directories, known, controller(), scope(host))


def rollback(settings: Settings, *reporters: Reporter) -> tuple[Ports, Goal]:
    """Return the world and the goal of a way back: it needs neither a repository nor keys."""
    return ports(settings, *reporters), goal(settings, Trust("simple", (), ""))


def tracked_trust(settings: Settings, known: Record) -> tuple[Trust, Record]:
    """Return whom this host trusts, and its record.

    A host that was given a pin (by Ignition, say) or `CORE_OPS_REPO` and `CORE_OPS_REV` needs no `init`: its record begins
    with what they say.

    Raises:
        SettingsError: the pin contradicts the record or the environment.
    """
    pin = trust.load_pin(settings.path("trust_file"))
    asked = settings.get("repository"), settings.get("ref")
    if pin is None and all(asked):
        pin = pin_of(Enrolment(*asked, settings.get("signers_file"), "", unsigned=False))
    if pin is None and known.status is not None:
        raise SettingsError(
            f"read {settings.get('trust_file')}: it is gone, so nobody is trusted",
            code="pin-missing",
            hint="`core-ops init <repository> <ref> --force` writes it anew",
        )
    if pin is None:
        return Trust("simple", (), ""), known
    without_secrets(pin.repository)
    for given, meant, name in zip(asked, (pin.repository, pin.ref), ("CORE_OPS_REPO", "CORE_OPS_REV"), strict=True):
        if given and given != meant:
            raise _contradiction(settings, f"{name} says {given}, but this host tracks {meant}")
    if known.status is None:
        known = begun(known, pin)
    tracked = known.status.desired_state if known.status else None
    if tracked and (tracked.repository, tracked.requested_ref) != (pin.repository, pin.ref):
        raise _contradiction(settings, f"it names {pin.repository} ({pin.ref}), but the record another source")
    return trust.load_trust(pin), known


def _contradiction(settings: Settings, what: str) -> SettingsError:
    return SettingsError(
        f"use {settings.get('trust_file')}: {what}",
        code="contradiction",
        hint="`core-ops init <repository> <ref> --force` makes one of them right",
    )


def save_enrolment(settings: Settings, pin: Pin, signers: Path | None) -> None:
    """Write the trust files of an enrolment.

    Raises:
        SettingsError: a file can't be read, understood or written.
    """
    target = settings.path("signers_file")
    if signers is not None and signers != target:
        trust.replace(target, trust.read_signers(signers))
    trust.load_trust(pin)
    trust.save_pin(settings.path("trust_file"), pin)


def trust_words(settings: Settings) -> str:
    """Return in words how revisions are authenticated here."""
    with contextlib.suppress(SettingsError):
        pin = trust.load_pin(settings.path("trust_file"))
        if pin is None:
            return ""
        if pin.mode == "unsigned":
            return "NONE: signatures are not checked (--insecure-no-signatures)"
        start = "first use" if pin.introduction == "first-use" else pin.introduction
        return f"keys in {pin.signers}, starting from {start}"
    return "unusable, see `core-ops plan`"


def stateless_source(path: Path) -> tuple[Origin, tuple[TreeFile, ...]]:
    """Return what a plain directory holds and what it is called.

    Raises:
        NotADirectoryGivenError: there is no such directory.
    """
    tree = directory.read_tree(path)
    origin = GitStore(Path("/nonexistent")).provenance(path)
    return origin, tree


def stateless_store(settings: Settings) -> Store:
    """Return the memory of applies from plain directories, apart from the tracked repository's."""
    return Store(settings.path("state_file").parent / "stateless" / "status.json", scope(settings.get("host")))
