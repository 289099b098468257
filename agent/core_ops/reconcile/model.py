"""The nouns. Whoever knows them can guess every other module.

Values are frozen and hold tuples, so that equal values have equal encodings and a plan can be stored and compared. Nothing
here knows how a value is fetched, written or shown.
"""

import hashlib
from typing import Literal, get_args

import msgspec


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of every model type: immutable, compared by content, strict when decoded."""


# --- where desired state comes from ------------------------------------------------------------------------------


TreeKind = Literal["file", "symlink", "submodule", "oversize", "special"]


class TreeFile(Value, frozen=True):
    """One entry below `services/` or `hosts/` of a source tree; `layout` refuses every kind but `file`, with its place.

    `path` is the repository path (`services/web/web.container`), relative and made of checked components. `content` is
    empty unless `kind` is `file`. `executable` is git's mode 100755.
    """

    path: str
    content: bytes
    kind: TreeKind = "file"
    executable: bool = False


class UntrustedRevision(Value, frozen=True):
    """What a remote calls its revision: nothing about it is believed yet.

    `commit` and `tag` are 40 hex digits (`tag` is empty for a branch); `commit_raw` and `tag_raw` are the object bodies as
    git stores them, `parents` maps each new commit id back to the anchor to its parents' ids, read from raw bytes.
    """

    repository: str
    ref: str
    commit: str
    commit_raw: bytes
    tag: str = ""
    tag_raw: bytes = b""
    parents: dict[str, tuple[str, ...]] = {}


class TrustedRevision(Value, frozen=True):
    """A revision that the host's rules accept. Only `authority` makes one."""

    repository: str
    ref: str
    commit: str
    tree: str
    payload_sha256: str
    signer: str
    key: str
    committer_time: int


class Anchor(Value, frozen=True):
    """The newest revision this host has authenticated; later ones must descend from it."""

    commit: str
    tree: str
    payload_sha256: str
    signer: str
    key: str
    committer_time: int


class Source(Value, frozen=True):
    """Where a desired state came from, as it is shown and stored.

    `revision` is a 40-digit commit id, or `(stateless)` / `(stateless+dirty)` for a directory that is not one.
    """

    revision: str
    repository: str = ""
    ref: str = ""
    signer: str = ""

    @property
    def short(self) -> str:
        """The revision as people read it: eight digits of a commit id, or the whole word."""
        return self.revision if self.revision.startswith("(") else self.revision[:8]


# --- desired state --------------------------------------------------------------------------------------------------

QuadletType = Literal["container", "volume", "network", "pod", "kube", "image", "build"]
NativeType = Literal["service", "timer", "socket", "target", "path", "slice", "mount", "automount"]
ResourceType = Literal[QuadletType, NativeType, "dropin", "config"]

NATIVE_TYPES: frozenset[str] = frozenset(get_args(NativeType))


class Obj(Value, frozen=True, order=True):
    """The name of one managed object: `container/web`, `dropin/web.container.d/10-a.conf`, `config/etc/web/app.conf`."""

    resource_type: ResourceType
    name: str

    @property
    def display_id(self) -> str:
        """The name that people and JSON use."""
        return f"{self.resource_type}/{self.name}"


class Item(Value, frozen=True):
    """One object as it should be on the host: exactly one file, and the systemd unit it is for.

    `path` is absolute. `unit` is the runtime unit (`web.service` for `web.container`), or empty for a config file; a
    drop-in carries the unit of its base. `sources` are the repository paths it came from. `owner` and `group` are names or
    decimal numbers; empty means the agent's own.
    """

    object: Obj
    path: str
    content: bytes
    mode: int
    unit: str
    sources: tuple[str, ...]
    owner: str = ""
    group: str = ""


class Directories(Value, frozen=True):
    """Where things go on the host, as absolute paths without a trailing slash."""

    quadlet: str = "/etc/containers/systemd"
    systemd: str = "/etc/systemd/system"
    config: str = "/etc"

    def unit_path(self, name: str, form: Literal["quadlet", "systemd"]) -> str:
        """Return where a unit file or drop-in goes."""
        return f"{self.quadlet if form == 'quadlet' else self.systemd}/{name}"


class Desired(Value, frozen=True):
    """Everything one host should have, sorted by object; the same tree always gives the same bytes.

    `rules` is the version of the rendering rules: a program with other rules renders the same revision again. `exclusive`
    are the directories that hold nothing but declared files, as absolute paths.
    """

    source: Source
    host: str
    directories: Directories
    rules: int
    items: tuple[Item, ...]
    exclusive: tuple[str, ...] = ()


# --- what the host has ----------------------------------------------------------------------------------------------

FileKind = Literal["file", "absent", "other"]


class FileState(Value, frozen=True):
    """What stands at a path. `other` is no regular file, or lies behind a symbolic link: it is never replaced."""

    path: str
    kind: FileKind
    content: bytes = b""
    mode: int = 0
    uid: int = 0
    gid: int = 0


class Account(Value, frozen=True, order=True):
    """A user or group of the host."""

    name: str
    number: int


class Accounts(Value, frozen=True):
    """Who is who on the host: the ids that the agent writes as, and the users and groups that files name or belong to.

    A name that a file asks for and that is not among them does not exist there.
    """

    uid: int = 0
    gid: int = 0
    users: tuple[Account, ...] = ()
    groups: tuple[Account, ...] = ()


class RootEntry(Value, frozen=True, order=True):
    """Something below an exclusive root. `directory` is one without entries; `special` is never removed."""

    path: str
    kind: Literal["file", "directory", "special"]


class RootState(Value, frozen=True):
    """What stands below an exclusive root, sorted; `problem` says why it can't be told."""

    path: str
    entries: tuple[RootEntry, ...] = ()
    problem: str = ""


class UnitState(Value, frozen=True):
    """What systemd says of a unit, in systemd's words (`org.freedesktop.systemd1`, systemctl show)."""

    unit: str
    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    type: str = ""
    enabled: str = ""
    invocation_id: str = ""
    needs_reload: bool = False
    fragment_path: str = ""
    source_path: str = ""
    restarts: int = 0
    has_job: bool = False
    condition_met: bool = True

    @property
    def settled(self) -> bool:
        """Whether the unit has finished changing: nothing queued, not on its way up, down or round again."""
        return not self.has_job and self.active not in {"activating", "deactivating", "reloading"}


MountPointKind = Literal["unseen", "absent", "directory", "file", "link", "other"]


class MountPoint(Value, frozen=True):
    """What stands where something is mounted, or should be.

    `mounted` says whether a file system is there, the trigger of an automount aside. `kind` is that of the path itself, or of
    the first thing on the way to it that is no directory, which `at` names then. It is `unseen` where something is mounted, and
    where a look could hang or mount something. `empty` says that a directory holds nothing.
    """

    path: str
    kind: MountPointKind = "unseen"
    mounted: bool = False
    at: str = ""
    empty: bool = True


class Observed(Value, frozen=True):
    """One look at the host, at the paths and units that desired or owned state names.

    `missing_volumes` are those that podman was asked for and does not have.
    """

    files: tuple[FileState, ...]
    units: tuple[UnitState, ...]
    accounts: Accounts = Accounts()
    roots: tuple[RootState, ...] = ()
    mounts: tuple[MountPoint, ...] = ()
    missing_volumes: frozenset[str] = frozenset()


class Started(Value, frozen=True, order=True):
    """What a unit was last started from by this agent: a digest over all its inputs.

    An entry is taken away before the first write that touches the unit and added again only after its job succeeded, so
    a cut at any point leaves either the truth or nothing; nothing means the unit is restarted.
    """

    unit: str
    inputs: str


class Owned(Value, frozen=True, order=True):
    """A file this agent wrote, or is about to: only such a file may it replace or remove.

    It says which object and unit it is for, because by the time it is removed no source may say so any more.
    """

    path: str
    object: Obj
    unit: str


class LastApplied(Value, frozen=True):
    """What this agent has put on the host, and what it started units from.

    `desired` is the last state that was verified; `owned` also holds what an interrupted run may have written. `examined` is
    the seal of the state that passed the preflight last. `volumes` is what each volume was made from, by its name at podman.
    """

    desired: Desired | None = None
    owned: tuple[Owned, ...] = ()
    started: tuple[Started, ...] = ()
    examined: str = ""
    volumes: tuple[Started, ...] = ()


# --- what is wrong with a tree ---------------------------------------------------------------------------------------


class Finding(Value, frozen=True, order=True):
    """One refusal of a source tree, with the place to mend. `line` is 0 when the whole file is meant."""

    path: str
    line: int
    code: str
    message: str
    hint: str = ""


def sha256_hex(content: bytes) -> str:
    """Return the SHA-256 of the bytes in hex."""
    return hashlib.sha256(content).hexdigest()
