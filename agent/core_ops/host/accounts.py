"""Users and groups of the host, by name and by number, as its name service knows them."""

import grp
import pwd
from collections.abc import Callable, Iterable
from os import getegid, geteuid

from core_ops.errors import HostError
from core_ops.reconcile.model import Account, Accounts, FileState
from core_ops.reconcile.planned import WriteFile


def observe(users: Iterable[str], groups: Iterable[str], files: Iterable[FileState]) -> Accounts:
    """Return whom the agent writes as, and the accounts that are asked for or that files belong to.

    Args:
        users: names of users to look up; one that does not exist is left out.
        groups: names of groups.
        files: what stands on the host.
    """
    uid, gid = geteuid(), getegid()
    seen = [f for f in files if f.kind == "file"]
    return Accounts(
        uid,
        gid,
        _known(users, {uid, *(f.uid for f in seen)}, _user_number, _user_name),
        _known(groups, {gid, *(f.gid for f in seen)}, _group_number, _group_name),
    )


def _known(
    names: Iterable[str], numbers: Iterable[int], number_of: Callable[[str], int], name_of: Callable[[int], str]
) -> tuple[Account, ...]:
    found: set[Account] = set()
    for name in names:
        try:
            found.add(Account(name, number_of(name)))
        except KeyError:
            continue
    for number in numbers:
        try:
            found.add(Account(name_of(number), number))
        except KeyError:
            continue
    return tuple(sorted(found))


def owners(effect: WriteFile) -> tuple[int, int]:
    """Return the ids of the user and the group that a file is to belong to.

    Raises:
        HostError: `unknown-owner`: the host has no such user or group.
    """
    user = _number(effect, "user", effect.owner or str(geteuid()), _user_number)
    return user, _number(effect, "group", effect.group or str(getegid()), _group_number)


def _number(effect: WriteFile, word: str, asked: str, number_of: Callable[[str], int]) -> int:
    if asked.isdecimal():
        return int(asked)
    try:
        return number_of(asked)
    except KeyError as error:
        raise HostError(
            f"write {effect.path}: there is no {word} “{asked}” on this host",
            code="unknown-owner",
            hint=f"create the {word}, with a sysusers.d file for one, or name another in files of the service's manifest",
        ) from error


def _user_number(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _user_name(number: int) -> str:
    return pwd.getpwuid(number).pw_name


def _group_number(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _group_name(number: int) -> str:
    return grp.getgrgid(number).gr_name
