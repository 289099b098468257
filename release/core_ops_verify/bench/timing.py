"""Runs commands in turn, round by round, so that a slow moment of the machine hits all of them alike.

Needs the standard library alone: the file is also copied into guests and run there as a program, with the commands as JSON,
the number of rounds and that of rounds before them for arguments.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence


def timed(commands: Mapping[str, Sequence[str]], rounds: int, warm_up: int = 1) -> Mapping[str, list[list[float]]]:
    """Return wall seconds, cpu seconds, peak KiB and wait status of each round after those that are not counted."""
    found: dict[str, list[list[float]]] = {name: [] for name in commands}
    null = os.open(os.devnull, os.O_RDWR)
    try:
        for _ in range(rounds + warm_up):
            for name, argv in commands.items():
                found[name].append(_once(argv, null))
    finally:
        os.close(null)
    return {name: runs[warm_up:] for name, runs in found.items()}


def _once(argv: Sequence[str], null: int) -> list[float]:
    began = time.perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    child = os.posix_spawnp(argv[0], list(argv), os.environ, file_actions=actions)
    _, status, usage = os.wait4(child, 0)
    return [time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, status]


if __name__ == "__main__":
    print(json.dumps(timed(json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
