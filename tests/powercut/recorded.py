"""Runs every world once, to be watched by strace: `python -m powercut.recorded DIRECTORY`."""

import os
import sys

from powercut.machine import go, mark, prepare
from powercut.trace import UMASK
from powercut.worlds import COUNT, world


def main() -> None:
    """Play all worlds below the directory given."""
    base = sys.argv[1]
    os.umask(UMASK)
    for number in range(COUNT):
        chosen = world(number, base)
        machine = prepare(chosen)
        mark(f"begin/{number}")
        go(machine, chosen)
        mark(f"end/{number}")


if __name__ == "__main__":
    main()
