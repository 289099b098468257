"""Differences between a file and what it should be that mean nothing to anybody who reads it.

A comment, an empty line or white space that a person put into a unit file on the host, or that an author put into the
repository, changes no unit. Such a difference is told and left as it is: writing it would make systemd read everything again.
"""

from core_ops.reconcile.model import Accounts, FileState, Item
from core_ops.reconcile.ownership import same_owners
from core_ops.reconcile.unitfile import UnitText, parse
from core_ops.reconcile.unitprint import says_the_same


def only_formatting(item: Item, seen: FileState, accounts: Accounts) -> bool:
    """Whether a unit file or drop-in stands there with the right mode and owners and makes the same statements in one order."""
    if item.object.resource_type == "config" or seen.kind != "file" or seen.mode != item.mode:
        return False
    return same_owners(item, seen, accounts) and says_the_same_file(item, seen)


def says_the_same_file(item: Item, seen: FileState) -> bool:
    """Whether a unit file on the host makes the statements of the item, in one order."""
    there, asked = parse(seen.content, item.sources[-1]), parse(item.content, item.sources[-1])
    return isinstance(there, UnitText) and isinstance(asked, UnitText) and says_the_same(there, asked)
