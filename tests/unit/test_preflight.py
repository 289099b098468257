"""What a machine's own programs say leads back to the repository, refuses what it must and nothing else."""

import re
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_ops import outlook, run
from core_ops.errors import SourceTreeError
from core_ops.reconcile import events
from core_ops.reconcile.authority import Proof
from core_ops.reconcile.check import check, states
from core_ops.reconcile.complaints import Complaint, generated, generator_answer, silent, verify_answer
from core_ops.reconcile.gitobject import object_id
from core_ops.reconcile.model import Desired, Directories, LastApplied, Source, UntrustedRevision
from core_ops.reconcile.pin import Trust
from core_ops.reconcile.preflight import KINDS_OF_DOUBT, REMARK_LIMIT, UNDONE, Examination, judge, seal, staged
from core_ops.reconcile.record import Controller, DesiredState, Record, Status
from core_ops.reconcile.rules import rules
from examinations import CASES, QUADLET, SYSTEMD, desired, examination, places
from fakes import FakeClock, FakeHost, FakeProver, FakeSource, FakeStore, Recorder
from trees import HOST, rendered, tree

CONTRACT = Path(__file__).parents[2] / "specs" / "001-desired-state" / "contracts" / "preflight.md"
WEB = {
    "services/web/web.container": "[Container]\nImage=localhost/a:1\n",
    "services/web/a.service": "[Service]\nExecStart=a\n",
}


# --- from what was said to places -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_what_programs_say_has_its_place_in_the_repository(case: Path) -> None:
    """Exactly the expected refusals and doubts come, each with a next step and without a path of the scratch directory."""
    verdict = judge(desired(case), examination(case))
    assert places(verdict) == (case / "expected").read_text().splitlines()
    said = [(f.message, f.hint) for f in verdict.refusals] + [(d.message, d.hint) for d in verdict.doubts]
    assert all(message and hint and "/run/scratch" not in message for message, hint in said)


def test_podmans_own_words_are_passed_on() -> None:
    """An author can look up what Podman says."""
    case = next(p for p in CASES if p.name == "unknown-quadlet-keys")
    (found,) = (f for f in judge(desired(case), examination(case)).refusals if f.path.endswith("web.container"))
    assert found.message == "Podman says: unsupported key 'Foo' in group 'Container' in web.container"


def test_what_is_said_of_other_units_is_not_about_the_tree() -> None:
    """A unit or file that is not of this state refuses nothing."""
    words = "Service has no ExecStart=, ExecStop=, or SuccessAction=. Refusing."
    foreign = (
        Complaint("systemd", words, unit="gone.service", fatal=True),
        Complaint("systemd", "Unknown key 'A' in section [Service], ignoring.", "gone.service", 3),
        Complaint("podman", "invalid", "gone.container", fatal=True),
    )
    verdict = judge(rendered(WEB), Examination("", complaints=foreign))
    assert (verdict.refusals, verdict.doubts) == ((), ())
    elsewhere = verify_answer(
        "/usr/lib/systemd/system/x.service:3: Unknown key 'A' in section [B], ignoring.\n", SYSTEMD
    )
    assert elsewhere.understood
    assert not elsewhere.complaints


def test_a_unit_that_only_others_may_start_is_no_mistake() -> None:
    """systemd-analyze tries to start what it was given; `RefuseManualStart=` is not a fault."""
    said = "Failed to create a.service/start: Operation refused, unit a.service may be requested by dependency only.\n"
    assert verify_answer(said, SYSTEMD).complaints == ()


def test_what_could_not_be_asked_refuses_nothing() -> None:
    """A missing or broken program is a doubt without a place."""
    verdict = judge(rendered(WEB), Examination("", undone=("systemd-analyze is not on this machine",)))
    assert verdict.refusals == ()
    assert [(d.path, d.code, d.message) for d in verdict.doubts] == [
        (".", UNDONE.code, "preflight could not be done: systemd-analyze is not on this machine")
    ]


def test_a_file_without_a_unit_is_refused_when_nothing_else_explains_it() -> None:
    """An older Podman passes over kinds it does not know; what failed for another reason takes its users along."""
    made = generated("---web.service---\n[Unit]\nSourcePath=/x/web.container\n\n")
    quiet = generator_answer("quadlet-generator[7]: Loading source unit file /x/web.container\n", "/x")
    assert [c.file for c in silent(("web.container", "b.build"), made, quiet)] == ["b.build"]
    loud = generator_answer('quadlet-generator[7]: converting "n.network": bad\n', "/x")
    assert silent(("web.container", "n.network", "c.container"), made, loud) == ()


@given(st.text(), st.text())
def test_any_text_is_an_answer_or_none(out: str, err: str) -> None:
    """Whatever a program prints becomes complaints about this tree, or nothing."""
    said = (*generator_answer(err, QUADLET).complaints, *verify_answer(err, SYSTEMD).complaints)
    judge(rendered(WEB), Examination("", generated(out), said))


@given(st.sampled_from(CASES), st.randoms(use_true_random=False))
def test_mangled_answers_never_escape(case: Path, chance: Random) -> None:
    """Lines in another order or cut short still lead to files of the tree or nowhere."""
    lines = (case / "systemd.stderr").read_text().splitlines() + (case / "podman.stderr").read_text().splitlines()
    chance.shuffle(lines)
    text = "\n".join(line[: len(line) - index % 7] for index, line in enumerate(lines))
    said = (*generator_answer(text, QUADLET).complaints, *verify_answer(text, SYSTEMD).complaints)
    made = generated((case / "podman.stdout").read_text())
    state = desired(case)
    verdict = judge(state, Examination("", made, said))
    known = {source for item in state.items for source in item.sources}
    assert {f.path for f in verdict.refusals} | {d.path for d in verdict.doubts} <= known


def test_no_name_of_a_generated_unit_leads_elsewhere() -> None:
    """What is to be written into the scratch directory has the name of a unit, and no path."""
    out = "---../../etc/passwd---\nx\n---a/b.service---\nx\n---web.container---\nx\n---web.service---\n[Unit]\n"
    assert [g.unit for g in generated(out)] == ["web.service"]


def test_files_go_to_the_program_that_reads_them() -> None:
    """Drop-ins of a Quadlet file are the generator's, those of its unit systemd's; config files are nobody's."""
    files = {
        **WEB,
        "services/web/web.container.d/a.conf": "[Container]\nPull=never\n",
        "services/web/web.service.d/b.conf": "[Service]\nNice=1\n",
        "services/web/config/c": "x",
    }
    given_ = staged(rendered(files, directories=Directories("/q", "/s", "/c")))
    assert [name for name, _ in given_.quadlet] == ["web.container", "web.container.d/10-base-a.conf"]
    assert [name for name, _ in given_.systemd] == ["web.service.d/10-base-b.conf", "a.service"]


def test_a_file_of_nothing_but_mistakes_is_judged_in_time() -> None:
    """However many lines are complained of, the answer is bounded, and a refusal among them is not lost."""
    keys = "".join(f"K{number}=1\n" for number in range(90_000))
    state = rendered({"services/web/a.service": f"[Service]\n{keys}"})
    said = [Complaint("systemd", f"Unknown key 'K{n}', ignoring.", "a.service", n + 2) for n in range(90_000)]
    refusal = Complaint("systemd", "Service has no ExecStart=. Refusing.", unit="a.service", fatal=True)
    verdict = judge(state, Examination("", complaints=(*said, refusal)))
    assert [(f.line, f.code) for f in verdict.refusals] == [(1, "BadUnit")]
    assert len(verdict.doubts) == REMARK_LIMIT + 1
    assert verdict.doubts[0].message == f"{90_000 - REMARK_LIMIT} further remarks are left out"


# --- once a state -----------------------------------------------------------------------------------------------------


def test_a_seal_stands_for_state_and_programs() -> None:
    """Other contents, modes, names or programs have another seal; another revision with the same files has not."""
    state = rendered(WEB)
    other = msgspec.structs.replace(state, source=Source("2" * 40))
    changed = rendered({**WEB, "services/web/a.service": "[Service]\nExecStart=b\n"})
    more = rendered({**WEB, "services/web/config/c": "x"})
    assert seal(state, "p") == seal(other, "p")
    assert len({seal(state, "p"), seal(state, "q"), seal(changed, "p"), seal(more, "p")}) == 4


GOAL = outlook.Goal(HOST, Directories(), Trust("unsigned", (), ""), Controller())
BAD = {**WEB, "services/web/b.service": "[Service]\nRestart=no\n"}


class World:
    """A host that tracks a repository whose tip is set by its tree."""

    def __init__(self) -> None:
        self.host, self.source, self.told = FakeHost(), FakeSource(), Recorder()
        begin = Record(status=Status(desired_state=DesiredState("https://git.example.com/r", "main")))
        self.store = FakeStore(begin)
        prover = FakeProver(Proof("", "", "", "", 0, ""))
        self.ports = outlook.Ports(self.source, prover, self.host, self.store, self.told, FakeClock())

    def commit(self, number: int, files: dict[str, str]) -> None:
        before = (self.source.tip.commit,) if self.source.tip else ()
        parents = "".join(f"parent {p}\n" for p in before)
        by = f"A <a@b> {number} +0000"
        raw = f"tree {'1' * 40}\n{parents}author {by}\ncommitter {by}\n\nx\n".encode()
        commit = object_id("commit", raw)
        self.source.tip = UntrustedRevision("r", "refs/heads/main", commit, raw, parents={commit: before})
        self.source.trees[commit] = tree(files)

    def run(self) -> SourceTreeError | None:
        _, problem = run.tracked(self.ports, GOAL, "agent")
        assert problem is None or isinstance(problem, SourceTreeError)
        return problem


def test_a_state_that_is_refused_does_not_become_the_goal() -> None:
    """The host stays on the last good revision, drift is repaired, the place is named, and a newer revision is applied."""
    world = World()
    world.commit(1, WEB)
    assert world.run() is None
    good = dict(world.host.files)

    world.commit(2, BAD)
    world.host.edit("/etc/systemd/system/a.service", b"[Service]\nExecStart=by-hand\n")
    problem = world.run()
    assert problem is not None
    assert problem.code == "BadUnit"
    assert problem.details[0].startswith("services/web/b.service:1: BadUnit: systemd says: Service has no ExecStart=")
    assert world.host.files == good
    assert any(isinstance(e, events.RevisionRefused) for e in world.told.events)

    world.commit(3, {**BAD, "services/web/b.service": "[Service]\nExecStart=b\n"})
    assert world.run() is None
    assert "/etc/systemd/system/b.service" in world.host.files


def test_a_run_with_nothing_to_do_asks_nobody() -> None:
    """The programs are asked once for a state, also when another revision brings the same files."""
    world = World()
    world.commit(1, WEB)
    world.run()
    assert world.host.examined == 1
    world.run()
    world.commit(2, WEB)
    world.run()
    assert world.host.examined == 1
    world.commit(3, {**WEB, "services/web/config/c": "x"})
    world.run()
    assert world.host.examined == 2


def test_a_first_revision_that_is_refused_changes_nothing() -> None:
    """With nothing to fall back to, the refusal is the error of the run."""
    world = World()
    world.commit(1, BAD)
    with pytest.raises(SourceTreeError):
        world.run()
    assert world.host.files == {}


class Doubtful(FakeHost):
    """A host whose systemd ignores a line."""

    def examine(self, desired: Desired, sealed: str) -> Examination:
        del desired, sealed
        words = "Unknown key 'A' in section [Service], ignoring."
        return Examination(
            "seal", complaints=(Complaint("systemd", words, "a.service", 2),), undone=("no podman here",)
        )


def test_doubts_are_told_and_refuse_nothing() -> None:
    """They reach whoever is told of the run, with their place, and the state is the goal."""
    world = World()
    ports = world.ports._replace(host=Doubtful())
    state = rendered(WEB)
    assert outlook.examined(ports, state, LastApplied()).examined == "seal"
    told = [e for e in world.told.events if isinstance(e, events.Doubted)]
    assert [(e.place, e.code) for e in told] == [("", UNDONE.code), ("services/web/a.service:2", "IgnoredSetting")]
    entry = events.journal_entry(told[1])
    assert (entry.priority, entry.fields[1]) == (4, ("CORE_OPS_PLACE", "services/web/a.service:2"))


# --- a check with a preflight -----------------------------------------------------------------------------------------


def test_a_check_says_each_place_of_a_preflight_once() -> None:
    """What concerns two hosts is one line with both; a refused host has no objects."""
    files = tree({**BAD, "hosts/h2/host.yaml": "host: h2\nservices: [web]\n"}, "web")
    host = FakeHost()
    examined = {state.host: host.examine(state, "") for state in states(files)}
    checked = check(files, (), examined)
    (found,) = (said for said in checked.findings if said.code == "BadUnit")
    assert (found.path, found.line, found.level, found.hosts) == ("services/web/b.service", 1, "error", ("h1", "h2"))
    assert [h.objects for h in checked.hosts] == [0, 0]
    assert not check(files).refused


def test_a_place_with_a_lint_needs_no_doubt() -> None:
    """What a lint says of a line, and says better, is not said again in systemd's words; other hosts hear it all the same."""
    unit = "[Service]\nExecStart=a\nRequiresMountsFor=/x\nTimoutSec=1\n"
    files = tree({"services/web/a.service": unit, "hosts/h2/host.yaml": "host: h2\nservices: [web]\n"}, "web")
    said = tuple(Complaint("systemd", f"Unknown key '{k}', ignoring.", "a.service", n) for n, k in ((3, "R"), (4, "T")))
    checked = check(files, (), {h: Examination("", complaints=said) for h in ("h1", "h2")})
    found = [(s.line, s.code, s.hosts) for s in checked.findings if s.line]
    assert found == [(3, "MisplacedRequiresMountsFor", ("h1", "h2")), (4, "IgnoredSetting", ("h1", "h2"))]


def test_the_doubts_of_the_document_are_those_of_the_table() -> None:
    """Both ways, with levels and paragraphs, and each is a rule."""
    text = CONTRACT.read_text()
    rows: list[tuple[str, str]] = re.findall(r"^\| `(\w+)` \| (warning|note) \|", text, re.MULTILINE)
    assert [code for code, _ in rows] == [kind.code for kind in KINDS_OF_DOUBT]
    assert set(rows) == {(r.code, r.level) for r in rules() if r.code in dict(rows)}
    assert all(kind.paragraph in " ".join(text.split()) for kind in KINDS_OF_DOUBT)
