"""What a run costs, as ratios measured in one go inside a guest.

Absolute times say little on a shared machine. So each figure is taken in turn with its floors (a bare start of the same
interpreter, `git ls-remote` of the same repository), and the medians of the ratios are what counts.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import prepare
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.progress import Progress, silent

ROUNDS = 15
_PYTHON = "/opt/core-ops/runtime/usr/bin/python3.13"
_REPOSITORY = "file:///srv/git/hosts"

# Runs inside the guest: each command in turn, round by round, so that a slow moment hits all of them alike.
_MEASURE = """\
import json, os, sys, time
commands, rounds = json.loads(sys.argv[1]), int(sys.argv[2])
found = {name: [] for name in commands}
null = os.open("/dev/null", os.O_RDWR)
for _ in range(rounds + 1):
    for name, argv in commands.items():
        began = time.perf_counter()
        actions = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        pid = os.posix_spawnp(argv[0], argv, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - began
        found[name].append([wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, status])
print(json.dumps({name: runs[1:] for name, runs in found.items()}))
"""


def no_op(services: int, progress: Progress = silent) -> Mapping[str, Mapping[str, float]]:
    """Return what a run with nothing to do costs on a host with that many services, beside its floors.

    Each command has `wall_s` and `cpu_s` (medians), `peak_mib` (largest) and `ratio` (median wall over a bare start).

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
            guest.write_text("/root/measure.py", _MEASURE)
            arguments = (json.dumps(commands), str(ROUNDS))
            answer = guest.check(_PYTHON, "-I", "-S", "/root/measure.py", *arguments, timeout_s=600)
    return _summed_up(json.loads(answer))


def _converged(guest: Guest, directory: Path, services: int) -> None:
    """Bring a guest to a signed revision with that many one-shot services, each with a drop-in and a config file."""
    key = directory / "key"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f", key), check=True)
    repository = directory / "hosts"
    for path, text in _tree(services).items():
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


def _tree(services: int) -> dict[str, str]:
    names = [f"s{number:04}" for number in range(services)]
    files = {"hosts/guest/host.yaml": f"host: guest\nservices: [{', '.join(names)}]\n"}
    for name in names:
        base = f"services/{name}"
        files[f"{base}/{name}.service"] = (
            f"[Service]\nType=oneshot\nRemainAfterExit=yes\nEnvironmentFile=/etc/{name}/app.conf\nExecStart=/bin/true\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )
        files[f"{base}/{name}.service.d/d.conf"] = f"[Unit]\nDescription={name}\n"
        files[f"{base}/config/app.conf"] = f"NAME={name}\n"
    return files


def _summed_up(found: dict[str, list[list[float]]]) -> dict[str, dict[str, float]]:
    bare = [run[0] for run in found["bare start"]]
    return {
        name: {
            "wall_s": _median([run[0] for run in runs]),
            "cpu_s": _median([run[1] for run in runs]),
            "peak_mib": max(run[2] for run in runs) / 1024,
            "ratio": _median([run[0] / floor for run, floor in zip(runs, bare, strict=True)]),
            "failed": float(sum(1 for run in runs if run[3])),
        }
        for name, runs in found.items()
    }


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def lines(services: int, found: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Return the figures as a table for people."""
    head = f"{services} services, medians of {ROUNDS} rounds in one guest"
    rows = (
        f"{name:<20} {f['wall_s'] * 1000:7.1f} ms wall {f['cpu_s'] * 1000:7.1f} ms cpu {f['peak_mib']:6.1f} MiB"
        f" {f['ratio']:6.2f} x bare{'  FAILED' if f['failed'] else ''}"
        for name, f in found.items()
    )
    return (head, *rows)
