"""Boots a tree with systemd as PID 1 in its own namespaces, enters it, and pulls its plug.

Mounts are made and the control group hierarchy is replaced only in the box's private mount namespace; the
machine's own stay untouched. The box outlives the process that started it and ends with its control group.
"""

import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core_ops_verify.errors import GuestError, MachineError
from core_ops_verify.guest.cgroup import USUAL_MOUNT, Cgroup, find_hierarchy

BOOT_TIMEOUT_S = 90.0
PREFIX = "core-ops-verify-"
"""Before a guest's name in every name that the whole machine shares."""

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NSPAWN_STATE = Path("/run/systemd/nspawn")
"""Where nspawn leaves a directory per machine and a lock per tree when it is killed."""

_AFTERMATH = "Attempted to remove disk file system"
"""What nspawn says last when it fails early; the reason stands before it."""

_DEVICES = ("/dev/fuse", "/dev/net/tun", "/dev/autofs")
_CALLS = "keyctl add_key request_key bpf"
"""What crun calls beyond nspawn's default filter: a keyring per container, and the device filter."""


@dataclass(frozen=True)
class Bind:
    """A file or directory of this machine shown in a guest."""

    source: Path
    target: str
    writable: bool = False

    def option(self) -> str:
        """Return the option of systemd-nspawn; a colon or backslash in a path would be read as syntax."""
        kind = "--bind" if self.writable else "--bind-ro"
        source, target = (str(p).replace("\\", "\\\\").replace(":", "\\:") for p in (self.source, self.target))
        return f"{kind}={source}:{target}"


@dataclass(frozen=True)
class Box:
    """One tree and how to boot it; what runs in it is found by its control group, not remembered here."""

    name: str
    directory: Path
    usr: Path
    """The /usr to show, always read-only."""
    netns: Path | None = None
    """A network namespace to share; without one each boot gets a fresh one with only loopback."""
    binds: tuple[Bind, ...] = ()

    @property
    def tree(self) -> Path:
        """Return the guest's own files."""
        return self.directory / "tree"

    @property
    def var_image(self) -> Path:
        """Return the file that holds /var when it is a file system of its own."""
        return self.directory / "var.ext4"

    @property
    def console(self) -> Path:
        """Return the log of everything the guest printed while booting."""
        return self.directory / "console"

    @property
    def cgroup(self) -> Cgroup:
        """Return the group all of the box's processes are in."""
        return Cgroup(find_hierarchy().mount / f"{PREFIX}{self.name}")

    def running(self) -> bool:
        """Tell whether anything of the box is alive."""
        return self.cgroup.populated()

    def leader(self) -> int:
        """Return the process id of the guest's PID 1.

        Raises:
            GuestError: The guest is not running.
        """
        if not self.running():
            raise GuestError(f"enter guest {self.name}: it is not running", hint="boot it first")
        return int(json.loads((self.directory / "box.json").read_text())["leader"])

    def boot(self, timeout_s: float = BOOT_TIMEOUT_S) -> float:
        """Boot the tree and return the seconds until its systemd reported that startup is over.

        Raises:
            GuestError: It is running already, or did not come up; the console log says why.
        """
        if self.running():
            raise GuestError(f"boot guest {self.name}: it is running already")
        _require_programs()
        started = time.monotonic()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            # An abstract name: nothing to clean up, and no limit from a long directory name.
            address = f"{PREFIX}{self.name}-{secrets.token_hex(4)}"
            notices.bind(f"\0{address}")
            process = _start(self, f"@{address}")
            try:
                leader = _await_ready(self, notices, process, started + timeout_s)
            except BaseException:
                # It may have failed before it joined its group, where nothing else would end it.
                process.kill()
                process.wait()
                self.kill()
                raise
        # Only its id matters from here on: it must not be waited for when this program ends before it.
        process.returncode = process.returncode or 0
        state = {"leader": leader, "supervisor": process.pid}
        (self.directory / "box.json").write_text(json.dumps(state))
        return time.monotonic() - started

    def enter(self, argv: tuple[str, ...], environment: Mapping[str, str]) -> list[str]:
        """Return the command line that runs a program inside, for any way of starting processes.

        It joins a group of the box first, because logind and podman look at it, then all namespaces of PID 1.
        """
        group = self.cgroup.path / "payload/init.scope/cgroup.procs"
        join = f'echo 0 > {shlex.quote(str(group))}; exec "$@"'
        spaces = ("-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w")
        env = {
            "PATH": SEARCH_PATH,
            "LANG": "C.UTF-8",
            "HOME": "/root",
            "TERM": os.environ.get("TERM", "dumb"),
            **environment,
        }
        variables = (f"{key}={value}" for key, value in env.items())
        inside = ("env", "-i", *variables, *argv)
        return ["sh", "-c", join, "sh", "nsenter", "-t", str(self.leader()), *spaces, *inside]

    def kill(self) -> None:
        """Pull the plug: everything ends at once and nothing is told; the tree stays as it is."""
        self.cgroup.kill()
        for kind in ("propagate", "unix-export"):
            shutil.rmtree(_NSPAWN_STATE / kind / f"{PREFIX}{self.name}", ignore_errors=True)
        if self.tree.exists():
            at = self.tree.stat()
            (_NSPAWN_STATE / f"locks/inode-{at.st_dev}:{at.st_ino}").unlink(missing_ok=True)
        _reap(self.directory / "box.json")


def _require_programs() -> None:
    for program, package in (
        ("systemd-nspawn", "systemd-container"),
        ("nsenter", "util-linux"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program) is None:
            raise MachineError(
                f"boot a guest: {program} is missing on this machine", hint=f"install the package {package}"
            )


def _start(box: Box, notify: str) -> "subprocess.Popen[bytes]":
    script = "\n".join(["set -eu", *(shlex.join(step) for step in _mounts(box)), _join(box), _exec(box)])
    env = {
        "PATH": os.environ.get("PATH", SEARCH_PATH),
        "NOTIFY_SOCKET": notify,
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        "SYSTEMD_LOG_LEVEL": "warning",
    }
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    with box.console.open("ab") as console:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=env, start_new_session=True
        )


def _mounts(box: Box) -> list[list[str]]:
    usr = str(box.tree / "usr")
    steps = [["mount", "--bind", str(box.usr), usr], ["mount", "-o", "remount,bind,ro", usr]]
    if box.var_image.exists():
        steps.append(["mount", "-o", "loop", str(box.var_image), str(box.tree / "var")])
    if not find_hierarchy().pure:
        steps += [
            ["umount", "--lazy", str(USUAL_MOUNT)],
            ["mount", "-t", "cgroup2", "cgroup2", str(USUAL_MOUNT)],
        ]
    return steps


def _join(box: Box) -> str:
    group = shlex.quote(str(USUAL_MOUNT / f"{PREFIX}{box.name}"))
    return f"mkdir -p {group}\necho $$ > {group}/cgroup.procs"


def _exec(box: Box) -> str:
    argv = [
        *("exec", "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--notify-ready=yes"),
        *("--directory", str(box.tree), "--machine", f"{PREFIX}{box.name}", f"--hostname={box.name}"),
        *("--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"),
        f"--system-call-filter={_CALLS}",
        *(f"--bind={device}" for device in _DEVICES if Path(device).exists()),
        *(
            (f"--network-namespace-path={box.netns}", "--capability=CAP_NET_ADMIN")
            if box.netns
            else ("--private-network",)
        ),
        *(bind.option() for bind in box.binds),
    ]
    return shlex.join(argv)


def _await_ready(box: Box, notices: socket.socket, process: "subprocess.Popen[bytes]", deadline: float) -> int:
    """Return the leader's process id once nspawn has passed on the guest's own READY=1."""
    leader = 0
    notices.settimeout(0.2)
    while time.monotonic() < deadline and process.poll() is None:
        try:
            lines = notices.recv(8192).decode().splitlines()
        except TimeoutError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            leader = int(value) if key == "X_NSPAWN_LEADER_PID" else leader
            if line == "READY=1" and leader:
                return leader
    ended = "did not come up in time" if process.returncode is None else f"ended with {process.returncode}"
    raise GuestError(
        f"boot guest {box.name}: {ended}: {_last_words(box.console)}",
        hint=f"its console is in {_keep(box.console)}",
    )


def _last_words(console: Path) -> str:
    lines = (line.strip() for line in console.read_text(errors="replace").splitlines())
    telling = [line for line in lines if line and not line.startswith(_AFTERMATH)]
    return telling[-1] if telling else "it printed nothing"


def _keep(console: Path) -> str:
    """Copy the console to where it stays: a guest that cannot boot is removed with all its files."""
    with tempfile.NamedTemporaryFile("wb", prefix=PREFIX, suffix=".log", delete=False) as kept:
        kept.write(console.read_bytes())
    return kept.name


def _reap(state: Path) -> None:
    """Collect the exit status of the supervisor when this process started it, so that no zombie stays."""
    with suppress(FileNotFoundError, ChildProcessError):
        os.waitpid(int(json.loads(state.read_text())["supervisor"]), 0)
    state.unlink(missing_ok=True)
