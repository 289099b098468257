"""How far a change reaches: which units start from something else, which take it in by a reload, and which are not concerned.

What a unit was started from is a digest over its own files and those of the units it needs. A unit that needs one that is
spared or reloaded has another digest, too, and only the digest with the old part of those tells whether that is all.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from core_ops.reconcile.changes import Changes
from core_ops.reconcile.graph import Graph


class Reach(NamedTuple):
    """Units by what a change means for them.

    `redefined` stop before anything is written. `hard` start from something else, by their own files or those of what they
    need. `mild` reload. `calm` were started from older inputs of which nothing concerns them, `fresh` run what is desired.
    `relinked` get other links. Of `touched` it is not known what they were started from until the change is made.
    """

    redefined: frozenset[str]
    hard: frozenset[str]
    mild: frozenset[str]
    calm: frozenset[str]
    fresh: frozenset[str]
    relinked: frozenset[str]
    touched: frozenset[str]


def reached(
    graph: Graph, changes: Changes, started: Mapping[str, str], up: AbstractSet[str], anew: AbstractSet[str]
) -> Reach:
    """Return how far a change reaches.

    Args:
        graph: the units of the desired state.
        changes: what differs on the host.
        started: what each unit was started from.
        up: units that are up.
        anew: units that make something anew although their files say what they said.
    """
    old, made = changes.old, changes.made
    as_before = {u for u, n in old.nodes.items() if started.get(u) == n.inputs}
    rewritten = {u for u, n in graph.nodes.items() if changes.rewritten(n)}
    remade = {u for u, n in graph.nodes.items() if made.differs(u) and started.get(u) != n.inputs}
    redefined = frozenset(remade | anew | {u for u, n in graph.nodes.items() if changes.redefine(n)})
    mild = {u for u, n in graph.nodes.items() if u in up & as_before and u not in redefined and changes.suit_reload(n)}
    concerned = redefined | {u for u, n in graph.nodes.items() if changes.reach(n)}
    spared = {u for u, n in graph.nodes.items() if changes.spare(n)}
    relinked = frozenset(u for u, n in graph.nodes.items() if changes.relink(n))
    hard = graph.strong_dependents(concerned - mild)
    excused = {u: old.nodes[u].own for u in mild | spared if u in old.nodes and u not in hard}
    pardoned = graph.inputs_with(excused)
    fits = {u for u, n in graph.nodes.items() if u in started and started[u] in {n.inputs, pardoned.get(u)}}
    hard |= graph.strong_dependents(mild - fits)  # something else changed for them as well
    return Reach(
        redefined=redefined,
        hard=hard,
        mild=frozenset(mild - hard),
        calm=frozenset(fits - hard - mild),
        fresh=frozenset((fits | mild) - hard),
        relinked=relinked,
        touched=graph.strong_dependents(concerned | spared) | relinked | rewritten,
    )
