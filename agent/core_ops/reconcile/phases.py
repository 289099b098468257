"""The phases of a run, and the events that only those who look on are told: where a run is, and what it is trying.

They leave no trace in the journal: each change and each failure has an entry there, and a run with nothing to do every five
minutes should say one thing, not twelve.
"""

from typing import Literal

from core_ops.reconcile.model import Value
from core_ops.reconcile.planned import Effect, ImageNeed

Phase = Literal["resolution", "graph_construction", "planning", "execution", "convergence_check", "final_summary"]
PhaseState = Literal["started", "succeeded", "failed", "skipped"]


class PhaseChanged(Value, frozen=True):
    """A phase began, or ended in one of three ways; one that is `skipped` never began."""

    phase: Phase
    state: PhaseState


class Applying(Value, frozen=True):
    """A batch of effects is about to be tried."""

    effects: tuple[Effect, ...]


class Pulling(Value, frozen=True):
    """An image is about to be pulled, while everything still runs: the `number`-th of `count`."""

    need: ImageNeed
    number: int = 1
    count: int = 1
