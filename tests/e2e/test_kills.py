"""An agent that is killed while units change: whatever it got to, one more run leaves every unit on what is on disk."""

import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from core_ops_verify.guest.api import Guest, Options
from core_ops_verify.guest.assets import Assets
from core_ops_verify.guest.box import Bind
from core_ops_verify.guest.inside import Finished

pytestmark = pytest.mark.e2e

APPLY = ("core-ops", "apply", "--source-repo=/srv/source", "--host=h")
PLAN = ("core-ops", "plan", "--exit-code", "--source-repo=/srv/source", "--host=h")
UNIT = """\
[Service]
Environment=OWN={number}
EnvironmentFile=/etc/{name}/a.conf
EnvironmentFile=/etc/{name}/b.conf
EnvironmentFile=/etc/{name}/c.conf
ExecStart=/bin/sleep inf

[Install]
WantedBy=multi-user.target
"""
ENVIRONMENTS = """\
for unit in "$@"; do
    pid=$(systemctl show -P MainPID "$unit.service")
    echo "$unit $(tr '\\0' '\\n' </proc/$pid/environ | grep -E '^(OWN|FILE_.)=' | sort | tr '\\n' ' ')"
done
"""
STEPS = "rename,renameat,clone,clone3,fork,vfork"
"""Where a file of the host or of the record gets its name, and where systemctl is started."""
GUESTS, KILLS_EACH, MOST_IN_A_ROW = 2, 100, 20
WATCHED_S = 1.0  # at the end of a run, when all is done
Tell = Callable[[str, object], None]


class Sleepers:
    """A guest whose units show in their environment what they were started from; each has three config files."""

    def __init__(self, guest: Guest, source: Path, count: int) -> None:
        self.guest = guest
        self.names = [f"s{n}" for n in range(count)]
        self._source = source
        self._number = 0
        self._write("hosts/h/host.yaml", f"host: h\nservices: [{', '.join(self.names)}]\n")

    def change(self) -> None:
        """Change every unit and every config file."""
        self._number += 1
        for name in self.names:
            self._write(f"services/{name}/{name}.service", UNIT.format(name=name, number=self._number))
            for file in "abc":
                self._write(f"services/{name}/config/{file}.conf", f"FILE_{file}={self._number}\n")

    def apply(self, *before: str) -> Finished:
        """Make one run, perhaps below another program."""
        done = self.guest.exec(*before, *APPLY)
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done

    def killed_after(self, seconds: float) -> None:
        """Begin a run and kill it with everything it started."""
        script = f"setsid {' '.join(APPLY)} >/dev/null 2>&1 & sleep {seconds:.3f}; kill -KILL -- $! -$!; wait $!"
        self.guest.exec("sh", "-c", script)

    def heal(self) -> None:
        """Make one run, and find every unit on its present inputs, nothing left to do and nothing left over."""
        done = self.apply()
        assert done.status == 0, done.stdout + done.stderr
        said = self.guest.check("sh", "-c", ENVIRONMENTS, "sh", *self.names)
        inputs = " ".join(f"{name}={self._number}" for name in ("FILE_a", "FILE_b", "FILE_c", "OWN"))
        assert said.splitlines() == [f"{n} {inputs} " for n in self.names]
        planned = self.guest.exec(*PLAN)
        assert planned.status == 0, planned.stdout
        assert self.guest.check("find", "/etc", "/var/lib/core-ops", "-name", ".*.new", "-o", "-name", "*-new") == ""

    def _write(self, path: str, text: str) -> None:
        target = self._source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def kill_often(self, seed: int) -> int:
        """Kill runs at random moments, let one through now and then, and return how often one was let through."""
        dice = random.Random(seed)  # noqa: S311 - repeatable
        self.change()
        self.heal()
        self.change()
        begun_s = time.monotonic()
        self.apply()
        busy_s = time.monotonic() - begun_s - WATCHED_S
        killed = rounds = 0
        while killed < KILLS_EACH:
            for _ in range(min(dice.randint(1, MOST_IN_A_ROW), KILLS_EACH - killed)):
                if dice.random() < 0.7:
                    self.change()
                self.killed_after(dice.uniform(0.0, busy_s))
                killed += 1
            self.heal()
            rounds += 1
        return rounds


@pytest.fixture
def make_sleepers(assets: Assets, tmp_path: Path) -> Iterator[Callable[[int], Sleepers]]:
    with ExitStack() as guests:

        def make(count: int) -> Sleepers:
            source = Path(tempfile.mkdtemp(dir=tmp_path))
            options = Options(binds=(Bind(source, "/srv/source"),))
            return Sleepers(guests.enter_context(Guest.create(assets, options=options)), source, count)

        yield make


def test_a_kill_at_each_step_that_changes_something_is_healed_by_one_run(
    make_sleepers: Callable[[int], Sleepers], record_testsuite_property: Tell
) -> None:
    """Before each rename and each start of systemctl: the next run leaves every unit on what is on disk."""
    sleepers = make_sleepers(2)
    sleepers.change()
    sleepers.heal()
    sleepers.change()
    traced = sleepers.apply("strace", "-qq", "-o", "/root/trace", "-e", f"trace={STEPS}")
    assert traced.status == 0
    called = re.findall(r"^(\w+)\(", sleepers.guest.read_text("/root/trace"), re.MULTILINE)
    points = [(call, called[: place + 1].count(call)) for place, call in enumerate(called)]

    for call, number in points:
        sleepers.change()
        kill = f"inject={call}:signal=KILL:when={number}"
        killed = sleepers.apply("strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", kill)
        assert killed.status != 0, (call, number)
        sleepers.heal()
    record_testsuite_property("steps at which an apply with units was killed", len(points))
    assert {"rename", "renameat"} < set(called)


def test_two_hundred_random_kills_leave_no_unit_on_old_inputs(
    make_sleepers: Callable[[int], Sleepers], record_testsuite_property: Tell
) -> None:
    """Runs that change 20 objects are killed at any moment, most of them while they heal the ones before."""
    hosts = [make_sleepers(5) for _ in range(GUESTS)]
    with ThreadPoolExecutor(GUESTS) as pool:
        rounds = sum(pool.map(Sleepers.kill_often, hosts, range(GUESTS)))
    record_testsuite_property("random kills of an apply with units", f"{GUESTS * KILLS_EACH}, healed {rounds} times")
    assert rounds >= GUESTS * KILLS_EACH // MOST_IN_A_ROW
