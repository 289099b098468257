"""A guest: a host with real systemd and podman that boots in a second, takes commands and loses power.

    with Guest.create(prepare()) as guest:
        guest.write_text("/etc/containers/systemd/web.container", QUADLET)
        guest.exec("systemctl", "daemon-reload")

Used by the e2e tests, the quickstart and the command line alike.
"""

import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from core_ops_verify.errors import GuestError
from core_ops_verify.guest import netns as network
from core_ops_verify.guest.assets import Assets
from core_ops_verify.guest.box import BOOT_TIMEOUT_S, Bind
from core_ops_verify.guest.inside import Inside
from core_ops_verify.guest.places import Places, require_root
from core_ops_verify.guest.record import Record, all_names, check_name, read_record
from core_ops_verify.guest.tree import lay_out, usual_umask

_POWEROFF_TIMEOUT_S = 100.0
"""More than the 90 s systemd gives a unit to stop."""


@dataclass(frozen=True)
class Options:
    """How a guest differs from the usual one.

    Args:
        var_size_bytes: Makes /var an ext4 file system of this size, to be filled up; 0 for a plain directory.
        netns: A named network namespace to share with programs beside the guest; made when it is missing.
        binds: Directories of this machine to show in the guest, read-only unless they say otherwise.
    """

    var_size_bytes: int = 0
    netns: str = ""
    binds: tuple[Bind, ...] = ()


class Guest(Inside):
    """One guest, running or not; as a context manager it is removed at the end."""

    def __init__(self, record: Record, places: Places) -> None:
        super().__init__(record.box(places.run))
        self._record = record
        self._places = places

    @classmethod
    def create(
        cls,
        assets: Assets,
        name: str = "",
        options: Options | None = None,
        *,
        places: Places | None = None,
        boot: bool = True,
    ) -> Self:
        """Make a guest and boot it; nothing of it is left when that fails.

        Args:
            assets: What `prepare` returned.
            name: The guest's name and host name; one is made up when empty.
            options: How it differs from the usual guest.
            places: Where guests are kept; by default what the environment says.
            boot: Whether to boot it now.

        Raises:
            GuestError: The name is taken, or the guest did not come up.
        """
        require_root()
        wanted, where = options or Options(), places or Places.of()
        chosen = check_name(name or f"guest-{secrets.token_hex(3)}")
        _claim(where, chosen)
        guest = cls(_record(chosen, assets, wanted), where)
        try:
            with usual_umask():
                guest._furnish(assets, wanted)
            if boot:
                guest.boot()
        except BaseException:
            guest.down()
            raise
        return guest

    @classmethod
    def load(cls, name: str, *, places: Places | None = None) -> Self:
        """Return a guest that was created before, perhaps by another process.

        Raises:
            GuestError: There is none of that name.
        """
        where = places or Places.of()
        return cls(read_record(where.run, name), where)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def name(self) -> str:
        """Return the guest's name, which is also its host name."""
        return self._record.name

    @property
    def running(self) -> bool:
        """Tell whether anything in the guest is alive."""
        return self._box.running()

    @property
    def console(self) -> Path:
        """Return the log of what the guest printed while booting."""
        return self._box.console

    def boot(self, timeout_s: float = BOOT_TIMEOUT_S) -> float:
        """Boot the guest's tree as it is and return the seconds it took.

        Raises:
            GuestError: It is running already or did not come up.
        """
        return self._box.boot(timeout_s)

    def kill(self) -> None:
        """Pull the plug: everything in the guest ends at once, its files stay as they are."""
        self._box.kill()

    def poweroff(self) -> None:
        """Shut the guest down in order; its files stay.

        Raises:
            GuestError: It did not shut down in time.
        """
        self.exec("systemctl", "poweroff", "--no-block")
        self._box.cgroup.wait_empty(_POWEROFF_TIMEOUT_S)
        self._box.kill()

    def reboot(self) -> float:
        """Shut the guest down in order, boot it again and return the seconds the boot took."""
        self.poweroff()
        return self.boot()

    def down(self) -> None:
        """End the guest and remove everything of it; doing it twice is harmless."""
        self._box.kill()
        if self._record.netns_made:
            network.remove(self._record.netns)
        shutil.rmtree(self._box.directory, ignore_errors=True)
        if self._box.directory.exists():
            raise GuestError(f"remove guest {self.name}: files are left in {self._box.directory}")

    def _furnish(self, assets: Assets, options: Options) -> None:
        self._record.write(self._places.run)
        if options.netns and network.ensure(options.netns):
            self._record = replace(self._record, netns_made=True)
            self._record.write(self._places.run)
        image = (self._box.var_image, options.var_size_bytes) if options.var_size_bytes else None
        lay_out(self._box.tree, assets.template, self.name, var_image=image)


def list_guests(places: Places | None = None) -> tuple[Guest, ...]:
    """Return all guests of this machine, sorted by name."""
    where = places or Places.of()
    return tuple(Guest.load(name, places=where) for name in all_names(where.run))


def _claim(places: Places, name: str) -> None:
    """Reserve a name: making its directory succeeds for one process only."""
    try:
        (places.run / name).mkdir(parents=True)
    except FileExistsError as error:
        raise GuestError(
            f"create guest {name}: there is one of that name",
            hint=f"choose another or remove it with 'core-ops-verify guest down {name}'",
        ) from error


def _record(name: str, assets: Assets, options: Options) -> Record:
    binds = (*(assets.payload.binds() if assets.payload else ()), *options.binds)
    payload = (assets.payload.runtime, assets.payload.agent) if assets.payload else ()
    return Record(
        name=name,
        usr=str(assets.usr),
        parts=tuple(str(part) for part in (assets.base, assets.template, *payload)),
        netns=options.netns,
        binds=tuple((str(bind.source), bind.target, bind.writable) for bind in binds),
    )
