"""Paths as unit names are spelled as systemd spells them."""

import random
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from core_ops.reconcile.escape import covers, escaped, simple, unescaped, where
from core_ops.reconcile.kinds import unit_name

_ODD = "ab-Z09_.:/\\%@ ~x2d\té漢'\"#"
_PATHS = st.lists(st.text(_ODD, min_size=1, max_size=8), max_size=6).map(lambda parts: "/" + "/".join(parts))


def _random_paths(count: int) -> list[str]:
    letters = random.Random(20260)  # noqa: S311 - the same paths every time
    paths = ("/" + "".join(letters.choices(_ODD, k=letters.randrange(0, 24))) for _ in range(count))
    return [p for p in paths if ".." not in p.split("/")]


def test_paths_are_escaped_and_unescaped_as_systemd_does() -> None:
    """Thousands of paths get the name that systemd-escape gives, and that name gives the path that it gives back."""
    paths = ["/", "/.a", "/a.b/.c", "/-", "/a-b/c", *_random_paths(4000)]
    names = [escaped(p) for p in paths]
    for start in range(0, len(paths), 500):
        some = slice(start, start + 500)
        assert _systemd("--path", paths[some]) == " ".join(names[some])
        stems = [name for name in names[some] if name != "-"]
        assert _systemd("--unescape", stems) == " ".join(unescaped(stem)[1:] for stem in stems)


def _systemd(option: str, words: list[str]) -> str:
    done = subprocess.run(["systemd-escape", option, "--", *words], capture_output=True, check=True)
    return done.stdout.decode().removesuffix("\n")


@given(_PATHS)
def test_an_escaped_path_comes_back(path: str) -> None:
    """Escaping loses doubled slashes and dots alone, and gives a name that a unit file may have."""
    if ".." in path.split("/"):
        return
    assert unescaped(escaped(path)) == simple(path)
    assert where(f"{escaped(path)}.mount") == simple(path)
    assert unit_name(f"{escaped(path)}.mount") is not None


def test_a_path_covers_itself_and_what_is_below() -> None:
    """A name that only begins alike is beside it."""
    assert covers("/srv", "/srv")
    assert covers("/srv", "/srv/a")
    assert covers("/", "/srv")
    assert not covers("/srv", "/srvx")
    assert not covers("/srv/a", "/srv")
