"""The program as a person meets it: exit statuses, one-line errors, nothing written that was not asked for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas import valid

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "01-caddy-whoami"


def core_ops(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program with an environment of its own."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **environment}
    done = subprocess.run(
        [sys.executable, "-m", "core_ops", *arguments], env=clean, cwd=home, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def dirs(tmp: Path) -> tuple[str, ...]:
    """Flags that keep a run inside a directory."""
    return (
        *("--quadlet-dir", f"{tmp}/etc/containers/systemd", "--systemd-unit-dir", f"{tmp}/etc/systemd/system"),
        *("--config-dir", f"{tmp}/etc", "--state-file", f"{tmp}/state/status.json", "--lock-path", f"{tmp}/lock"),
    )


def test_version_loads_nothing_heavy(tmp_path: Path) -> None:
    """`--version` pays for no library: neither libgit2, cryptography, YAML nor msgspec."""
    code = (
        "import sys\nfrom core_ops.cli import main\n"
        "try: main(['--version'])\nexcept SystemExit: pass\n"
        "print(sorted({'pygit2','cryptography','yaml','msgspec','systemd','subprocess'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["core-ops 0.1.0", "[]"]


@pytest.mark.parametrize("host", ["example", "guest"])
def test_an_example_is_planned_anywhere_and_nothing_is_written(tmp_path: Path, host: str) -> None:
    """An author needs neither podman nor systemd nor root, and no file appears."""
    done = core_ops("plan", "--source-repo", str(EXAMPLE), "--host", host, *dirs(tmp_path), home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Plan for host {host} @ " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_json_and_words_say_the_same(tmp_path: Path) -> None:
    """The human plan is a rendering of the JSON view."""
    arguments = ("plan", "--source-repo", str(EXAMPLE), "--host", "guest", *dirs(tmp_path))
    printed = core_ops(*arguments, "--json", home=tmp_path).stdout
    valid(printed)
    view = json.loads(printed)
    text = core_ops(*arguments, home=tmp_path).stdout
    assert view["view_kind"] == "plan"
    assert view["summary"]["total_count"] == len(view["entries"])
    assert all(f"{e['action']:<8} {e['object']['display_id']}" in text for e in view["entries"])
    assert "\x1b" not in text


def test_pending_changes_can_be_an_exit_status(tmp_path: Path) -> None:
    """`--exit-code` says 3 when something would change."""
    done = core_ops(
        "plan", "--exit-code", "--source-repo", str(EXAMPLE), "--host", "guest", *dirs(tmp_path), home=tmp_path
    )
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("plan", "--source-repo", "/nonexistent", "--host", "x"), 64, "no-source-dir"),
        (("plan", "--source-repo", str(EXAMPLE), "--host", "nobody"), 65, "MissingHost"),
        (("plan", "--source-repo", str(EXAMPLE)), 2, "host-needed"),
        (("plan", "--host", "../x"), 2, "bad-setting"),
        (("plan", "--quadlet-dir", "relative"), 2, "bad-setting"),
        (("nonsense",), 2, "invalid choice"),
        (("init", "https://git.example.com/x"), 2, "required"),
    ],
)
def test_a_bad_call_is_one_clear_error(tmp_path: Path, arguments: tuple[str, ...], status: int, word: str) -> None:
    """The right exit status, the thing and the next step, never a traceback."""
    flags = () if arguments[0] in {"nonsense", "init"} else dirs(tmp_path)
    done = core_ops(*arguments[:1], *flags, *arguments[1:], home=tmp_path)
    assert done.returncode == status, done.stderr
    assert word in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_was_never_initialised_says_how(tmp_path: Path) -> None:
    """Plan and agent fail with the next step; status is an answer in any state."""
    for verb in ("plan", "agent"):
        done = core_ops(verb, *dirs(tmp_path), home=tmp_path, CORE_OPS_HOST="h1")
        assert done.returncode == 1
        assert "run 'core-ops init <repository> <ref>' to initialize" in done.stderr
    done = core_ops("status", "--state-file", f"{tmp_path}/state/status.json", home=tmp_path)
    assert done.returncode == 0
    assert "Uninitialized" in done.stdout


def test_a_corrupt_record_is_shown_and_refused(tmp_path: Path) -> None:
    """Status says Corrupt with exit 0; everything else says how to recover."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state/status.json").write_text("{")
    done = core_ops("status", "--state-file", f"{tmp_path}/state/status.json", home=tmp_path)
    assert done.returncode == 0
    assert "Corrupt" in done.stdout
    done = core_ops("agent", *dirs(tmp_path), home=tmp_path, CORE_OPS_HOST="h1")
    assert done.returncode == 1
    assert "--force" in done.stderr


def test_settings_say_where_they_come_from(tmp_path: Path) -> None:
    """A flag beats the environment, which beats the default."""
    flags = ("--state-file", f"{tmp_path}/s.json")
    done = core_ops("status", "--settings", *flags, home=tmp_path, CORE_OPS_QUADLET_DIR="/q", CORE_OPS_STATE_FILE="/x")
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines()}
    assert lines["state_file"][1:] == [f"{tmp_path}/s.json", "flag"]
    assert lines["quadlet_dir"][1:] == ["/q", "CORE_OPS_QUADLET_DIR"]
    assert lines["systemd_unit_dir"][1:] == ["/etc/systemd/system", "default"]


def test_settings_show_no_password_and_drive_no_terminal(tmp_path: Path) -> None:
    """What people paste into a report is harmless."""
    odd = {"CORE_OPS_REPO": "https://u:s3cret@h/r", "CORE_OPS_QUADLET_DIR": "/q\x1b[2J"}
    shown = core_ops("status", "--settings", home=tmp_path, **odd).stdout
    assert "https://***@h/r" in shown
    assert "s3cret" not in shown
    assert "\x1b" not in shown


def test_closed_output_is_no_error(tmp_path: Path) -> None:
    """A unit with `StandardOutput=` closed by its caller still gets its exit status."""
    command = [sys.executable, "-m", "core_ops", "status", "--state-file", f"{tmp_path}/s.json"]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    """`core-ops plan | head -1` ends quietly."""
    arguments = ["plan", "--source-repo", str(EXAMPLE), "--host", "guest", "-v", *dirs(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "core_ops", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read().decode()
