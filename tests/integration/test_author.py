"""The author's verbs as a person meets them: exit statuses, three forms of output, nothing written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core_ops import author, run, settings, wiring
from core_ops.enrol import Enrolment, pin_of, recorded
from core_ops.errors import StateError
from repos import Repo
from schemas import valid

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "01-caddy-whoami"
REFUSED = ROOT / "fixtures" / "refused"


def core_ops(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program with an environment of its own."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **environment}
    command = [sys.executable, "-m", "core_ops", *arguments]
    done = subprocess.run(command, env=clean, cwd=home, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def tree(top: Path, files: dict[bytes, bytes]) -> Path:
    """Write a small tree with any names; its host selects `web`."""
    manifest = {b"hosts/h1/host.yaml": b"host: h1\nservices: [web]\n"}
    unit = {b"services/web/web.container": b"[Container]\nImage=x:1\n[Install]\nWantedBy=multi-user.target\n"}
    for name, content in {**manifest, **unit, **files}.items():
        path = top / "tree" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return top / "tree"


@pytest.mark.parametrize(
    ("path", "flags", "status"),
    [
        (EXAMPLE, (), 0),
        (EXAMPLE, ("--all-hosts",), 0),
        (EXAMPLE, ("--host", "guest", "--json"), 0),
        (EXAMPLE, ("--host", "nobody"), 1),
        (REFUSED / "several-at-once" / "tree", (), 1),
        (REFUSED / "several-at-once" / "tree", ("--json",), 1),
        (REFUSED / "several-at-once" / "tree", ("--format", "sarif"), 1),
        (ROOT / "agent", (), 1),
        (Path("/nonexistent"), (), 64),
        (ROOT / "README.md", (), 64),
        (EXAMPLE, ("--json", "--format", "sarif"), 2),
        (EXAMPLE, ("--host", "guest", "--all-hosts"), 2),
    ],
)
def test_a_check_ends_with_what_it_found(tmp_path: Path, path: Path, flags: tuple[str, ...], status: int) -> None:
    """0 without errors, 1 with one, 64 where there is no directory, 2 for a call that makes no sense."""
    done = core_ops("check", str(path), *flags, home=tmp_path)
    assert done.returncode == status, done.stderr
    assert bool(done.stdout) == (status in {0, 1})
    assert list(tmp_path.iterdir()) == []


def test_a_check_prints_one_thing_in_three_forms(tmp_path: Path) -> None:
    """Words, JSON and SARIF of the same tree agree line by line, whatever the work directory."""
    path = str(REFUSED / "several-at-once" / "tree")
    words = core_ops("check", path, home=tmp_path).stdout.splitlines()
    printed = core_ops("check", path, "--json", home=tmp_path).stdout
    valid(printed)
    view = json.loads(printed)
    log = json.loads(core_ops("check", path, "--format", "sarif", home=tmp_path).stdout)
    assert view["view_kind"] == "check"
    assert [f["code"] for f in view["findings"]] == [r["ruleId"] for r in log["runs"][0]["results"]]
    assert len(words) == 2 * len(view["findings"]) + 1 + len(view["hosts"]) + 1
    for line, step, finding in zip(words[::2], words[1::2], view["findings"], strict=False):
        assert f": {finding['level']} {finding['code']}: {finding['message']}" in line
        assert step == f"    next: {finding['hint']}"
    assert core_ops("check", path, "--format", "json", home=tmp_path).stdout == json_line(view)


def json_line(view: object) -> str:
    """The view as it is printed."""
    return json.dumps(view, separators=(",", ":"), ensure_ascii=False) + "\n"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"services/web/Web.container", "bad-tree"),
        (b"services/web/a b.service", "bad-tree"),
        (b"services/web/\xff.service", "bad-tree"),
        (b"services/web/\x1b[2J.service", "bad-tree"),
        (b"services/web/config/" + b"d/" * 20 + b"f", "limit-exceeded"),
    ],
)
def test_a_name_that_refuses_the_tree_is_an_error_of_the_check(tmp_path: Path, name: bytes, code: str) -> None:
    """What stops a tree from being read at all has a place and a form like any other error."""
    path = str(tree(tmp_path, {name: b"[Service]\n"}))
    done = core_ops("check", path, "--json", home=tmp_path)
    assert done.returncode == 1
    valid(done.stdout)
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["code"], finding["level"]) == (code, "error")
    assert finding["path"].startswith("services/web/")
    text = core_ops("check", path, home=tmp_path).stdout
    assert text.startswith(f"{finding['path']}: error {code}: ")
    assert "\x1b" not in text
    log = json.loads(core_ops("check", path, "--format", "sarif", home=tmp_path).stdout)
    assert log["runs"][0]["results"][0]["ruleId"] == code


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        (b"srv-\\xff.mount", b"[Mount]\nWhat=/dev/x\n", "add Where=, and name the file after it"),
        (b"srv-\\x0a.automount", b"[Automount]\n", "add Where=, and name the file after it"),
        (b"srv-\\xff.mount", b"[Mount]\nWhat=/dev/x\nWhere=/srv/a\n", "rename srv-\\xff.mount to srv-a.mount"),
        (b"srv-a\\x25b.mount", b"[Mount]\nWhat=/dev/x\n", "add Where=/srv/a%%b"),
    ],
)
def test_a_path_that_no_text_holds_is_not_proposed(tmp_path: Path, name: bytes, content: bytes, hint: str) -> None:
    """A mount's name can spell any bytes; a hint that quotes them could be neither printed nor written down."""
    path = str(tree(tmp_path, {b"services/web/" + name: content}))
    printed = core_ops("check", path, "--json", home=tmp_path)
    valid(printed.stdout)
    assert hint in [f["hint"] for f in json.loads(printed.stdout)["findings"]]
    log = json.loads(core_ops("check", path, "--format", "sarif", home=tmp_path).stdout)
    assert any(r["message"]["text"].endswith(f" -> {hint}") for r in log["runs"][0]["results"])
    assert f"    next: {hint}\n" in core_ops("check", path, home=tmp_path).stdout


@pytest.mark.parametrize("form", ["json", "sarif", "text"])
def test_a_host_that_is_no_text_is_not_found(tmp_path: Path, form: str) -> None:
    """Bytes on the command line are told in every form as they are shown."""
    path = str(tree(tmp_path, {}))
    done = core_ops("check", path, "--host", os.fsdecode(b"\xff"), "--format", form, home=tmp_path)
    assert (done.returncode, "MissingHost" in done.stdout) == (1, True)


def test_names_as_long_as_a_file_system_holds_are_findings(tmp_path: Path) -> None:
    """255 bytes are too long for a unit, since its drop-in directory and temporary names must fit too."""
    path = str(tree(tmp_path, {b"services/web/" + b"a" * 247 + b".service": b"[Service]\n"}))
    done = core_ops("check", path, home=tmp_path)
    assert done.returncode == 1
    assert "a.service: error WrongKind: " in done.stdout


@pytest.mark.parametrize("verb", ["check", "explain"])
def test_help_shows_examples(tmp_path: Path, verb: str) -> None:
    """A person who asks gets lines to copy."""
    done = core_ops(verb, "--help", home=tmp_path)
    assert done.returncode == 0
    assert f"examples:\n  core-ops {verb} " in done.stdout


def test_an_object_is_explained_anywhere(tmp_path: Path) -> None:
    """An author needs no host, and words and JSON agree."""
    arguments = ("explain", "caddy.service", "--source-repo", str(EXAMPLE), "--host", "guest")
    text = core_ops(*arguments, home=tmp_path).stdout
    printed = core_ops(*arguments, "--json", home=tmp_path).stdout
    valid(printed)
    view = json.loads(printed)
    assert view["view_kind"] == "explain"
    assert view["object"]["display_id"] == "container/caddy"
    assert "overrides services/caddy/caddy.container:5" in text
    assert all(f"{li['key']}={li['value']}" in text for li in view["metadata"]["lines"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("container/cady", "--source-repo", str(EXAMPLE), "--host", "guest"), 2, "did you mean container/caddy"),
        (("container/caddy", "--source-repo", str(EXAMPLE)), 2, "host-needed"),
        (("container/caddy", "--source-repo", str(EXAMPLE), "--host", "nobody"), 65, "MissingHost"),
        (("container/caddy", "--source-repo", "/nonexistent", "--host", "x"), 64, "no-source-dir"),
    ],
)
def test_an_unknown_object_is_an_error_with_near_names(
    tmp_path: Path, arguments: tuple[str, ...], status: int, word: str
) -> None:
    """One clear error with the next step, and nothing on standard output."""
    done = core_ops("explain", *arguments, home=tmp_path)
    assert done.returncode == status
    assert word in done.stderr
    assert done.stdout == ""


def test_a_host_that_tracks_nothing_cannot_explain(tmp_path: Path) -> None:
    """The error says how to begin."""
    done = core_ops("explain", "x", "--state-file", f"{tmp_path}/s.json", home=tmp_path, CORE_OPS_HOST="h1")
    assert done.returncode == 1
    assert "core-ops init" in done.stderr


def test_a_tracked_host_explains_from_its_own_store(tmp_path: Path) -> None:
    """What was authenticated last is explained without the repository, which may be gone."""
    flags = {
        **{name: f"{tmp_path}/{name}" for name in ("quadlet_dir", "systemd_unit_dir", "config_dir", "lock_path")},
        "state_file": f"{tmp_path}/state/status.json",
        "trust_file": f"{tmp_path}/trust.json",
        "host": "h1",
    }
    chosen = settings.read(flags)
    repository = Repo(tmp_path / "repository")
    repository.write("hosts/h1/host.yaml", "host: h1\nservices: [web]\n")
    repository.write("services/web/config/app.conf", "x")
    revision = repository.commit()
    pin = pin_of(Enrolment(str(repository.path), "main", "", "", unsigned=True))
    wiring.save_enrolment(chosen, pin, None)
    store = wiring.store(chosen)
    store.save(recorded(store, pin, force=False))
    with pytest.raises(StateError) as early:
        author.tracked(chosen)
    assert early.value.code == "no-desired-state"
    ports = wiring.ports(chosen)
    trust, _ = wiring.tracked_trust(chosen, store.load())
    _, problem = run.tracked(ports, wiring.goal(chosen, trust), "agent")
    assert problem is None
    (tmp_path / "repository").rename(tmp_path / "gone")
    ports, desired, last = author.tracked(chosen)
    assert last.desired == desired
    assert run.plan(ports, desired, last).in_sync
    assert desired.source.revision == revision
    assert [i.object.display_id for i in desired.items] == ["config/etc/web/app.conf"]
