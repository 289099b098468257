"""The author's seat: a signing key, a work tree, and the bare repository that a server holds.

Everything goes through the real `git` and `ssh-keygen`, in lines a reader can type again. Settings are kept in
the work tree, so that whoever keeps the guest goes on committing there as the story did.
"""

import os
import shutil
import subprocess
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "01-caddy-whoami"

_GIT_ENVIRONMENT = {
    # A reader's own settings, such as a commit template or another signing program, must not change the story.
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}


class Author:
    """Somebody who writes what hosts should be, and signs it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tree = home / "hosts"
        self.signers = home / "allowed_signers"

    def run(self, line: str) -> tuple[int, str]:
        """Run a shell line in the work tree and return its exit status and everything it wrote."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        done = subprocess.run(
            ["sh", "-c", line],
            check=False,
            cwd=self.tree,
            env=kept | _GIT_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def take_example(self) -> None:
        """Copy the example repository that anybody can start from."""
        shutil.copytree(EXAMPLE, self.tree)

    def give_to(self, user: int, group: int) -> None:
        """Hand everything to the person who ran the quickstart through sudo, who will want to commit."""
        for directory, _, files in os.walk(self.home):
            for path in (directory, *(f"{directory}/{name}" for name in files)):
                os.chown(path, user, group, follow_symlinks=False)
