"""Make real git repositories and real SSH keys, the same ones every time except for the keys."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

EPOCH_S = 1_750_000_000  # 2025-06-15: every history starts here and moves a minute a commit
NOW_S = EPOCH_S + 86_400 * 10

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "LC_ALL": "C",
    "TZ": "UTC",
    "HOME": "/nonexistent",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Author",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "Committer",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
}


def run(*arguments: str | Path, given: bytes | None = None, environment: dict[str, str] | None = None) -> bytes:
    """Run a program and return its output; fail with what it said when it fails."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        input=given,
        capture_output=True,
        env=_ENVIRONMENT | (environment or {}),
        check=False,
    )
    assert done.returncode == 0, f"{arguments}: {done.stderr.decode(errors='replace')}"
    return done.stdout


def succeeds(*arguments: str | Path, given: bytes | None = None) -> bool:
    """Tell whether a program succeeds."""
    command = [str(argument) for argument in arguments]
    return subprocess.run(command, input=given, capture_output=True, env=_ENVIRONMENT, check=False).returncode == 0


@dataclass(frozen=True)
class Key:
    """A private key in a file, with its public half beside it."""

    name: str
    path: Path

    @property
    def public(self) -> str:
        """The key type and the base64 of the public key."""
        return " ".join(self.path.with_name(self.path.name + ".pub").read_text().split()[:2])

    @property
    def fingerprint(self) -> str:
        """The fingerprint as ssh-keygen prints it."""
        return run("ssh-keygen", "-l", "-f", self.path).decode().split()[1]

    def allowed(self, options: str = "") -> str:
        """Return the line of an allowed_signers file that accepts this key."""
        return " ".join(part for part in (self.name, options, self.public) if part) + "\n"


def make_key(directory: Path, name: str, kind: str = "ed25519", bits: int = 0) -> Key:
    """Make a key without a passphrase with ssh-keygen."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    size = ["-b", str(bits)] if bits else []
    run("ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", name, "-f", path)
    return Key(name, path)


class Repo:
    """A repository with a work tree. Times are fixed, so the same steps give the same commit ids."""

    def __init__(self, path: Path, branch: str = "main") -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.time_s = EPOCH_S
        self.git("init", "-q", "-b", branch)

    def git(self, *arguments: str | Path, given: bytes | None = None) -> str:
        """Run git in the repository and return what it printed, without the last newline."""
        when = f"{self.time_s} +0000"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        return run("git", "-C", self.path, *arguments, given=given, environment=dates).decode().rstrip("\n")

    def write(self, path: str, text: str | bytes) -> None:
        """Write a file of the work tree."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())

    def remove(self, path: str) -> None:
        """Remove a file of the work tree."""
        (self.path / path).unlink()

    def commit(self, message: str = "change", key: Key | None = None, *options: str) -> str:
        """Commit the whole work tree, signed if a key is given, and return the commit id."""
        self.time_s += 60
        self.git("add", "-A")
        self.git(*_signing(key), "commit", "-q", "--allow-empty", "-m", message, *(["-S"] if key else []), *options)
        return self.head()

    def tag(self, name: str, key: Key | None = None, target: str = "HEAD") -> str:
        """Make an annotated tag, signed if a key is given, and return the tag object's id."""
        self.time_s += 60
        self.git(*_signing(key), "tag", "-s" if key else "-a", "-m", name, name, target)
        return self.git("rev-parse", f"refs/tags/{name}")

    def head(self, ref: str = "HEAD") -> str:
        """Return the object id a ref names."""
        return self.git("rev-parse", ref)

    def raw(self, kind: str, object_id: str) -> bytes:
        """Return the raw bytes of an object."""
        return run("git", "-C", self.path, "cat-file", kind, object_id)

    def store(self, kind: str, raw: bytes) -> str:
        """Store raw bytes as an object, well-formed or not, and return its id."""
        return self.git("hash-object", "-t", kind, "-w", "--literally", "--stdin", given=raw)

    def commit_tree(self, tree: str, key: Key | None = None, *parents: str) -> str:
        """Commit a tree that no work tree could hold and move the branch there."""
        self.time_s += 60
        chain = [part for parent in parents for part in ("-p", parent)]
        signed = [f"-S{key.path}"] if key else []
        commit = self.git(*_signing(key), "commit-tree", *signed, *chain, "-m", "tree", tree)
        self.git("update-ref", "HEAD", commit)
        return commit


def raw_tree(*entries: tuple[str, bytes, str]) -> bytes:
    """Return the bytes of a tree object with exactly these modes, names and object ids."""
    return b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)


def _signing(key: Key | None) -> list[str]:
    return ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key.path}"] if key else []
