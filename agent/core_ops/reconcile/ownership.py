"""Whose a file should be and whose it is, compared by number and told by name.

A desired file names a user and a group, or neither: then it belongs to whom the agent runs as. Names are compared by the
number they have on the host, since several names can share one and a number can have none.
"""

from collections.abc import Iterable, Iterator

from core_ops.reconcile.model import Account, Accounts, FileState, Item


def names(items: Iterable[Item]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of users and of groups that the host has to look up."""
    users: set[str] = set()
    groups: set[str] = set()
    for item in items:
        users.update(n for n in (item.owner,) if n and not n.isdecimal())
        groups.update(n for n in (item.group,) if n and not n.isdecimal())
    return frozenset(users), frozenset(groups)


def same_owners(item: Item, seen: FileState, accounts: Accounts) -> bool:
    """Whether a file belongs to whom it should; a name that the host does not know is nobody's."""
    user = _number(item.owner, accounts.users, accounts.uid)
    return (user, _number(item.group, accounts.groups, accounts.gid)) == (seen.uid, seen.gid)


def as_asked(item: Item, seen: FileState, accounts: Accounts) -> bool:
    """Whether a regular file is all that the item asks for: content, mode and owners."""
    return (seen.content, seen.mode) == (item.content, item.mode) and same_owners(item, seen, accounts)


def _number(asked: str, known: tuple[Account, ...], own: int) -> int | None:
    if not asked:
        return own
    if asked.isdecimal():
        return int(asked)
    return next((account.number for account in known if account.name == asked), None)


def unknown(item: Item, accounts: Accounts) -> Iterator[str]:
    """Yield a sentence for each name that a file asks for and the host does not know."""
    for word, asked, known in (("user", item.owner, accounts.users), ("group", item.group, accounts.groups)):
        if _number(asked, known, 0) is None:
            yield f"there is no {word} “{asked}” on this host; applying is refused until there is"


def owner_words(seen: FileState, accounts: Accounts) -> str:
    """Return whose a file is, as ls(1) with a colon says it: `root:app`, or a number without a name."""
    return f"{_name(seen.uid, accounts.users)}:{_name(seen.gid, accounts.groups)}"


def asked_words(item: Item, accounts: Accounts) -> str:
    """Return whose a file should be, in the same words."""
    user = item.owner or _name(accounts.uid, accounts.users)
    return f"{user}:{item.group or _name(accounts.gid, accounts.groups)}"


def _name(number: int, known: tuple[Account, ...]) -> str:
    return next((account.name for account in known if account.number == number), str(number))


def changes(item: Item, seen: FileState, accounts: Accounts) -> tuple[str, ...]:
    """Return in words how the mode and the owners of a file change."""
    mode = () if seen.mode == item.mode else (f"mode {seen.mode:04o} -> {item.mode:04o}",)
    if same_owners(item, seen, accounts):
        return mode
    return (*mode, f"owner {owner_words(seen, accounts)} -> {asked_words(item, accounts)}")
