"""What a run costs, as ratios measured in one go inside a guest.

Absolute times say little on a shared machine. So each figure is taken in turn with its floors (a bare start of the same
interpreter, `git ls-remote` of the same repository), and the medians of the ratios are what counts.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core_ops_verify.bench import timing
from core_ops_verify.bench.figures import Figures, summed_up
from core_ops_verify.bench.workload import one_host
from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import prepare
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.progress import Progress, silent

ROUNDS = 15
_PYTHON = "/opt/core-ops/runtime/usr/bin/python3.13"
_REPOSITORY = "file:///srv/git/hosts"


def no_op(services: int, progress: Progress = silent) -> Mapping[str, Figures]:
    """Return what a run with nothing to do costs on a host with that many services, beside its floors.

    Raises:
        VerifyError: the guest can't be made, or a command in it fails.
    """
    with tempfile.TemporaryDirectory(prefix="core-ops-bench-") as name:
        directory = Path(name)
        assets = prepare(progress=progress)
        with Guest.create(assets, options=Options(binds=(Bind(directory, "/srv/git"),))) as guest:
            _converged(guest, directory, services)
            commands = {
                "bare start": [_PYTHON, "-I", "-S", "-c", "pass"],
                "git ls-remote": ["git", "ls-remote", _REPOSITORY],
                "core-ops --version": ["core-ops", "--version"],
                "no-op agent run": ["core-ops", "agent"],
            }
            guest.write_text("/root/timing.py", Path(timing.__file__).read_text())
            arguments = (json.dumps(commands), str(ROUNDS))
            answer = guest.check(_PYTHON, "-I", "-S", "/root/timing.py", *arguments, timeout_s=600)
    return summed_up(json.loads(answer))


def _converged(guest: Guest, directory: Path, services: int) -> None:
    """Bring a guest to a signed revision with that many one-shot services, each with a drop-in and a config file."""
    key = directory / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key), check=True)
    repository = directory / "hosts"
    for path, text in one_host(services).items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    git = ("git", "-C", str(repository), "-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.com")
    subprocess.run(("git", "init", "-q", "-b", "main", str(repository)), check=True)
    subprocess.run((*git, "add", "-A"), check=True)
    subprocess.run((*git, *who, "commit", "-q", "-S", "-m", "bench"), check=True)
    guest.write_text("/root/signers", f"bench {key.with_suffix('.pub').read_text()}")
    guest.write_text("/etc/core-ops/config.d/host.toml", 'host = "guest"\n')
    guest.check("core-ops", "init", _REPOSITORY, "main", "--signers", "/root/signers")
    guest.check("core-ops", "agent", timeout_s=600)
