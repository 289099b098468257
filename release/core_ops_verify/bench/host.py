"""A guest that tracks a signed repository of many services: what every benchmark of a run starts from.

Commands in the guest are timed by `timing`, which is copied into it; what the agent's own time goes into is said by cProfile.
"""

import json
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from core_ops_verify.bench import timing
from core_ops_verify.bench.figures import busiest
from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import prepare
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.progress import Progress, silent

PYTHON = ("/opt/core-ops/runtime/usr/bin/python3.13", "-I", "-S")
REPOSITORY = "file:///srv/git/hosts"
TIMEOUT_S = 1800


class BenchHost:
    """A guest, the repository bound into it, and the key that signs its commits."""

    def __init__(self, guest: Guest, directory: Path) -> None:
        self.guest = guest
        self._repository = directory / "hosts"
        self._key = directory / "key"
        keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", str(self._key))
        subprocess.run(keygen, check=True)
        subprocess.run(("git", "init", "-q", "-b", "main", str(self._repository)), check=True)

    def commit(self, files: Mapping[str, str]) -> None:
        """Write files and commit them, signed."""
        for path, text in files.items():
            (self._repository / path).parent.mkdir(parents=True, exist_ok=True)
            (self._repository / path).write_text(text)
        git = ("git", "-C", str(self._repository), "-c", "gpg.format=ssh", "-c", f"user.signingKey={self._key}")
        who = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")
        subprocess.run((*git, "add", "-A"), check=True)
        subprocess.run((*git, *who, "commit", "-q", "-S", "-m", "bench"), check=True)

    def track(self) -> None:
        """Make the guest track the repository, with nothing applied yet.

        Raises:
            GuestError: the agent refuses.
        """
        self.guest.write_text("/root/signers", f"bench {self._key.with_suffix('.pub').read_text()}")
        self.guest.write_text("/etc/core-ops/config.d/host.toml", 'host = "guest"\n')
        self.guest.check("core-ops", "init", REPOSITORY, "main", "--signers", "/root/signers")

    def converge(self) -> None:
        """Make one run of the agent.

        Raises:
            GuestError: the run fails.
        """
        self.guest.check("core-ops", "agent", timeout_s=TIMEOUT_S)

    def timed(
        self, commands: Mapping[str, Sequence[str]], rounds: int, warm_up: int = 1
    ) -> Mapping[str, list[list[float]]]:
        """Return what commands in the guest took, as `timing` says it.

        Raises:
            GuestError: the timing itself fails.
        """
        self.guest.write_text("/root/timing.py", Path(timing.__file__).read_text())
        arguments = (json.dumps(commands), str(rounds), str(warm_up))
        answer = self.guest.check(*PYTHON, "/root/timing.py", *arguments, timeout_s=TIMEOUT_S)
        found: Mapping[str, list[list[float]]] = json.loads(answer)
        return found

    def profile(self, verb: str) -> tuple[str, ...]:
        """Return the functions that take most time of their own in one more run of the agent's program.

        Raises:
            GuestError: the run fails.
        """
        profiler = (*PYTHON, "-B", "-m", "cProfile", "-s", "tottime", "/opt/core-ops/agent/main.py", verb)
        return busiest(self.guest.check(*profiler, timeout_s=TIMEOUT_S))


@contextmanager
def bench_host(files: Mapping[str, str], progress: Progress = silent) -> Generator[BenchHost]:
    """Give a guest that tracks a repository with these files; nothing is applied yet.

    Raises:
        VerifyError: the guest can't be made, or the agent in it fails.
    """
    with tempfile.TemporaryDirectory(prefix="core-ops-bench-") as name:
        options = Options(binds=(Bind(Path(name), "/srv/git"),))
        with Guest.create(prepare(progress=progress), options=options) as guest:
            host = BenchHost(guest, Path(name))
            host.commit(files)
            host.track()
            yield host
