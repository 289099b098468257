"""Everything a guest is made from, brought up to date in one call.

The first call takes about a minute; a later one takes the time to hash the agent's source.
"""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core_ops_verify.errors import BuildError
from core_ops_verify.guest.base import build_base
from core_ops_verify.guest.cache import locked, prune
from core_ops_verify.guest.payload import Payload, build_payload, build_runtime, build_wheels, find_agent
from core_ops_verify.guest.places import Places, require_root
from core_ops_verify.guest.progress import Progress, part, silent
from core_ops_verify.guest.recipe import Recipe
from core_ops_verify.guest.record import parts_in_use
from core_ops_verify.guest.template import build_template
from core_ops_verify.guest.tree import usual_umask

_DAY_S = 86_400.0
_IDLE_S = {
    "payload": _DAY_S,
    **dict.fromkeys(("runtime", "wheels", "template", "base"), 14 * _DAY_S),
}


@dataclass(frozen=True)
class Assets:
    """The cached parts of a guest; without a payload the guest has no agent."""

    base: Path
    template: Path
    payload: Payload | None

    @property
    def usr(self) -> Path:
        """Return the /usr all guests share."""
        return self.base / "tree/usr"


def prepare(*, agent: Path | None = None, places: Places | None = None, progress: Progress = silent) -> Assets:
    """Return up-to-date parts for guests with the agent, building what is missing.

    Args:
        agent: The directory of the agent's package; by default the one this program is installed with.
        places: Where to build; by default what the environment says.
        progress: Told about each step.

    Raises:
        MachineError: Not root, or a program, mirror or keyring is missing.
        BuildError: A part could not be built.
    """
    source = agent or find_agent()
    if source is None or not source.is_dir():
        raise BuildError("find the agent's package core_ops", hint="install it, or ask for a guest without agent")
    require_root()
    where, recipe = places or Places.of(), Recipe()
    with _building(where, progress), ThreadPoolExecutor(max_workers=1) as aside:
        # Fetching and compiling the agent's dependencies keeps the second core busy meanwhile.
        wheels = aside.submit(build_wheels, where.cache, recipe)
        base = build_base(where.cache, recipe, part(progress, 0.0, 0.91))
        runtime = aside.submit(lambda: build_runtime(where.cache, base, wheels.result()))
        template = build_template(where.cache, base, part(progress, 0.91, 0.98))
        progress("compiling the agent", 0.98)
        payload = build_payload(where.cache, base, runtime.result(), source)
        _prune(where, frozenset({base, template, payload.runtime, payload.agent, wheels.result()}))
    progress("ready", 1.0)
    return Assets(base, template, payload)


def prepare_without_agent(*, places: Places | None = None, progress: Progress = silent) -> Assets:
    """Return up-to-date parts for bare guests.

    Raises:
        MachineError: Not root, or a program, mirror or keyring is missing.
        BuildError: A part could not be built.
    """
    require_root()
    where = places or Places.of()
    with _building(where, progress):
        base = build_base(where.cache, Recipe(), part(progress, 0.0, 0.92))
        template = build_template(where.cache, base, part(progress, 0.92, 1.0))
    progress("ready", 1.0)
    return Assets(base, template, None)


@contextmanager
def _building(places: Places, progress: Progress) -> Generator[None]:
    with locked(places.cache, waiting=lambda: progress("waiting for another build", 0.0)), usual_umask():
        yield


def _prune(places: Places, keep: frozenset[Path]) -> None:
    """Let go of parts no recent recipe asked for, but never of one a guest stands on."""
    used = parts_in_use(places.run)
    for kind, idle_s in _IDLE_S.items():
        prune(places.cache, kind, keep=keep | used, idle_s=idle_s)
