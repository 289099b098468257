"""Read commits and trees of the store as bytes, and say which commit a work tree stands at.

What an object means is `reconcile.gitread`'s business.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from core_ops.errors import RefusedRevisionError, SourceError
from core_ops.host.git.library import libgit2
from core_ops.reconcile import remote

if TYPE_CHECKING:
    import pygit2


class Objects:
    """The objects of a store. The size of each is asked before it is unfolded."""

    def __init__(self, store: Path) -> None:
        self._library = libgit2()
        self._odb: pygit2.Odb = self._library.Odb(str(store / "objects"))

    def header(self, object_id: str) -> tuple[str, int]:
        """Return kind and size."""
        try:
            kind, size = self._odb.read_header(object_id)
        except (self._library.GitError, KeyError, ValueError, OSError) as error:
            raise self._missing(object_id, error) from error
        return kind.name.lower(), size

    def read(self, object_id: str) -> bytes:
        """Return the raw content."""
        try:
            return self._odb.read(object_id)[1]
        except (self._library.GitError, KeyError, ValueError, OSError) as error:
            raise self._missing(object_id, error) from error

    def _missing(self, object_id: str, error: Exception) -> RefusedRevisionError:
        return RefusedRevisionError(
            f"read object {object_id[:12]}: {error.args[0] if error.args else 'not there'}",
            code="missing-object",
            hint="run `git fsck` in the repository; a shallow or damaged one cannot be used",
        )


def work_tree_revision(directory: Path) -> str:
    """Return the commit a work tree stands at, or that it holds something else."""
    library = libgit2()
    library.option(library.enums.Option.SET_OWNER_VALIDATION, 0)
    try:
        repository = library.Repository(str(directory), library.enums.RepositoryOpenFlag.NO_SEARCH)
        if repository.head_is_unborn or repository.is_bare:
            return "(stateless+dirty)"
        commit = str(repository.head.peel(library.Commit).id)
        changed = repository.status(untracked_files="all", ignored=True)
    except (library.GitError, KeyError, ValueError, OSError) as error:
        raise SourceError(
            f"read git work tree {directory}: {remote.failure('', str(error)).message.removeprefix(': ')}",
            code="not-a-repository",
            hint="repair it, or remove its .git to use it as a plain directory",
        ) from error
    finally:
        library.option(library.enums.Option.SET_OWNER_VALIDATION, 1)
    ignored = library.enums.FileStatus.IGNORED
    dirty = any(flags != ignored or path.startswith(("services/", "hosts/")) for path, flags in changed.items())
    return "(stateless+dirty)" if dirty else commit
