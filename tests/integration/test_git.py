"""The store against real repositories: what is fetched, what is refused, and that nothing else can steer it."""

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pygit2
import pytest

from core_ops.errors import CoreOpsError, RefusedRevisionError, SourceError
from core_ops.host import signatures
from core_ops.host.directory import read_tree
from core_ops.host.git import GitStore
from core_ops.reconcile import authority, gitread
from core_ops.reconcile.model import Anchor
from core_ops.reconcile.signers import parse_allowed_signers
from repos import NOW_S, Key, Repo, make_key, raw_tree


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Key:
    """The key that the host accepts."""
    return make_key(tmp_path_factory.mktemp("key"), "alice")


@pytest.fixture
def repo(tmp_path: Path, key: Key) -> Repo:
    """A repository with one signed commit."""
    repo = Repo(tmp_path / "srv")
    repo.write("services/web/web.container", "[Container]\nImage=web\n")
    repo.write("hosts/h/host.yaml", "services: [web]\n")
    repo.write("README.md", "hello\n")
    repo.commit("one", key)
    return repo


@pytest.fixture
def store(tmp_path: Path) -> GitStore:
    """An empty store."""
    return GitStore(tmp_path / "store")


def code(store: GitStore, repository: Path | str, ref: str = "main", anchor: str = "") -> str:
    """Return the code a fetch fails with, after a look at its words."""
    with pytest.raises(CoreOpsError) as failure:
        store.fetch(str(repository), ref, anchor)
    assert isinstance(failure.value, (SourceError, RefusedRevisionError))
    assert failure.value.hint
    assert failure.value.message.isprintable()
    return failure.value.code


def verdict(store: GitStore, repo: Repo, key: Key, anchor: Anchor | None, ref: str = "main") -> str:
    """Return `trusted`, or the code that the newest revision is refused with."""
    signers = parse_allowed_signers(key.allowed().encode(), "x")
    try:
        candidate = store.fetch(str(repo.path), ref, anchor.commit if anchor else "")
        authority.authenticate(candidate, signatures.prove(candidate), signers, anchor, "", NOW_S)
    except RefusedRevisionError as refusal:
        return refusal.code
    return "trusted"


def anchor_at(store: GitStore, repo: Repo, key: Key) -> Anchor:
    """Authenticate what the repository serves now and return the anchor it gives."""
    candidate = store.fetch(str(repo.path), "main", "")
    signers = parse_allowed_signers(key.allowed().encode(), "x")
    proof = signatures.prove(candidate)
    return authority.anchored(authority.authenticate(candidate, proof, signers, None, "", NOW_S))


def test_a_branch_is_fetched_and_its_tree_is_that_of_the_work_tree(store: GitStore, repo: Repo) -> None:
    """By path and by file:// URL."""
    for name in (str(repo.path), f"file://{repo.path}"):
        revision = store.fetch(name, "main", "")
        assert (revision.commit, revision.ref, revision.tag) == (repo.head(), "refs/heads/main", "")
        assert revision.commit_raw == repo.raw("commit", repo.head())
        assert store.tree(revision.commit) == read_tree(repo.path)


def test_parents_lead_back_to_the_anchor(store: GitStore, repo: Repo) -> None:
    """And no further than they have to."""
    first = repo.head()
    commits = [repo.commit(str(number)) for number in range(5)]
    revision = store.fetch(str(repo.path), "main", first)
    assert sorted(revision.parents) == sorted(commits)
    assert revision.parents[commits[0]] == (first,)
    assert list(store.fetch(str(repo.path), "main", "").parents) == [commits[-1]]


def test_an_old_branch_that_is_merged_does_not_lead_past_the_anchor(store: GitStore, repo: Repo) -> None:
    """The newest commits are followed first."""
    for number in range(20):
        repo.commit(f"old {number}")
    repo.git("branch", "side", "HEAD~15")
    anchor = repo.commit("anchor")
    repo.git("checkout", "-q", "side")
    repo.commit("side")
    repo.git("checkout", "-q", "main")
    repo.time_s += 60
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    assert len(store.fetch(str(repo.path), "main", anchor).parents) <= 3


def test_history_is_followed_for_a_limited_number_of_commits(store: GitStore, repo: Repo, key: Key) -> None:
    """Five thousand, then it is refused."""
    anchor = anchor_at(store, repo, key)
    lines = ["reset refs/heads/main"]
    for number in range(5001):
        lines += [f"commit refs/heads/main\ncommitter C <c@e> {repo.time_s + number} +0000\ndata 1\nx"]
    repo.git("fast-import", "--quiet", "--force", given=("\n".join(lines) + "\n").encode())
    repo.commit("tip", key)
    assert verdict(store, repo, key, anchor) == "history-too-long"


def test_rewound_rewritten_and_unrelated_histories_are_not_followed(store: GitStore, repo: Repo, key: Key) -> None:
    """Each of them signed by the accepted key; a good revision is taken afterwards."""
    first = repo.head()
    second = repo.commit("two", key)
    anchor = anchor_at(store, repo, key)
    assert anchor.commit == second
    assert verdict(store, repo, key, anchor) == "trusted"
    repo.git("reset", "-q", "--hard", first)
    assert verdict(store, repo, key, anchor) == "not-a-descendant"
    repo.commit("two, rewritten", key)
    assert verdict(store, repo, key, anchor) == "not-a-descendant"
    repo.git("checkout", "-q", "--orphan", "fresh")
    repo.commit("unrelated", key)
    repo.git("branch", "-M", "fresh", "main")
    assert verdict(store, repo, key, anchor) == "not-a-descendant"
    repo.git("reset", "-q", "--hard", second)
    repo.commit("three", key)
    assert verdict(store, repo, key, anchor) == "trusted"


def test_unsigned_and_foreign_tips_are_refused_and_a_later_good_one_is_taken(
    store: GitStore, repo: Repo, key: Key, tmp_path: Path
) -> None:
    """A refused revision never blocks a newer one."""
    anchor = anchor_at(store, repo, key)
    repo.commit("unsigned")
    assert verdict(store, repo, key, anchor) == "unsigned"
    repo.commit("foreign", make_key(tmp_path / "mallory", "mallory"))
    assert verdict(store, repo, key, anchor) == "unknown-key"
    repo.commit("good", key)
    assert verdict(store, repo, key, anchor) == "trusted"


def test_tags_of_all_kinds(store: GitStore, repo: Repo, key: Key) -> None:
    """Signed, annotated, light, of a tree, and served under another name."""
    target = repo.commit("unsigned target")
    repo.tag("signed", key)
    repo.tag("annotated")
    repo.git("tag", "light")
    repo.git("tag", "--no-sign", "tree", "HEAD^{tree}")
    repo.git("update-ref", "refs/tags/renamed", "refs/tags/signed")
    revision = store.fetch(str(repo.path), "signed", "")
    assert (revision.ref, revision.commit) == ("refs/tags/signed", target)
    assert revision.tag_raw == repo.raw("tag", revision.tag)
    expected = {"signed": "trusted", "annotated": "unsigned", "light": "unsigned", "renamed": "tag-name-mismatch"}
    assert {name: verdict(store, repo, key, None, f"refs/tags/{name}") for name in expected} == expected
    assert code(store, repo.path, "refs/tags/tree") == "malformed-object"


def test_an_annotated_tag_of_a_blob_is_malformed(store: GitStore, repo: Repo) -> None:
    """It names nothing to apply."""
    repo.tag("blob", None, "HEAD:README.md")
    assert code(store, repo.path, "blob") == "malformed-object"


def test_a_name_of_a_branch_and_a_tag_has_to_be_given_in_full(store: GitStore, repo: Repo) -> None:
    """Git would pick one silently."""
    repo.git("tag", "main")
    assert code(store, repo.path) == "ref-ambiguous"
    assert store.fetch(str(repo.path), "refs/heads/main", "").ref == "refs/heads/main"


def test_an_unchanged_remote_that_gains_a_tag_of_the_same_name_is_ambiguous(store: GitStore, repo: Repo) -> None:
    """The quick look asks for both names."""
    tip = store.fetch(str(repo.path), "main", "").commit
    repo.git("tag", "main")
    assert code(store, repo.path, "main", tip) == "ref-ambiguous"


@pytest.mark.parametrize(
    ("ref", "expected"), [("gone", "ref-missing"), ("1" * 40, "ref-is-a-commit"), ("a..b", "ref-invalid")]
)
def test_a_ref_that_is_not_there_is_refused(store: GitStore, repo: Repo, ref: str, expected: str) -> None:
    """By its own code."""
    assert code(store, repo.path, ref) == expected


def test_what_is_not_a_repository_is_called_that(store: GitStore, tmp_path: Path) -> None:
    """Also a directory that is not there; ssh is refused before anything is tried."""
    (tmp_path / "empty").mkdir()
    assert code(store, tmp_path / "empty") == "not-a-repository"
    assert code(store, tmp_path / "missing") == "not-a-repository"
    assert code(store, "ssh://git@127.0.0.1/x") == "transport-refused"


def test_a_repository_without_commits_misses_the_ref(store: GitStore, tmp_path: Path) -> None:
    """A new repository is no failure of another kind."""
    assert code(store, Repo(tmp_path / "unborn").path) == "ref-missing"


def test_a_sha256_repository_is_named_as_unsupported(store: GitStore, tmp_path: Path) -> None:
    """The library cannot read it; the operator has to know."""
    subprocess.run(["git", "init", "-q", "--object-format=sha256", tmp_path / "r"], check=True)
    assert code(store, tmp_path / "r") == "unsupported-repository"


def test_an_unchanged_remote_is_recognised_without_the_library(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """Neither pygit2 nor ssl is imported, with loose and with packed refs."""
    tip = store.fetch(str(repo.path), "main", "")
    repo.git("pack-refs", "--all")
    script = (
        "import sys, pathlib; from core_ops.host.git import GitStore\n"
        "r = GitStore(pathlib.Path(sys.argv[1])).fetch(sys.argv[2], 'main', sys.argv[3])\n"
        "assert r.commit == sys.argv[3] and 'pygit2' not in sys.modules and 'ssl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "store", repo.path, tip.commit], check=True)
    repo.commit("two")
    assert store.fetch(str(repo.path), "main", tip.commit).commit == repo.head()


def test_what_a_fetch_remembers_is_not_believed_for_another_question(
    store: GitStore, repo: Repo, tmp_path: Path
) -> None:
    """Nor when it is damaged."""
    tip = store.fetch(str(repo.path), "main", "").commit
    repo.git("branch", "other")
    assert store.fetch(str(repo.path), "other", tip).ref == "refs/heads/other"
    (tmp_path / "store/tip.json").write_text("{}")
    assert store.fetch(str(repo.path), "main", tip).commit == tip


@pytest.mark.parametrize("home", ["HOME", "XDG_CONFIG_HOME"])
def test_settings_of_the_user_have_no_effect(
    tmp_path: Path, repo: Repo, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    """`insteadOf` could send the fetch elsewhere."""
    config = tmp_path / "home" / ("git/config" if home == "XDG_CONFIG_HOME" else ".gitconfig")
    config.parent.mkdir(parents=True)
    config.write_text(f'[url "/nonexistent"]\n\tinsteadOf = {repo.path}\n')
    monkeypatch.setenv(home, str(tmp_path / "home"))
    script = (
        "import sys, pathlib; from core_ops.host.git import GitStore\n"
        "print(GitStore(pathlib.Path(sys.argv[1])).fetch(sys.argv[2], 'main', '').commit)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "other", repo.path], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == repo.head()


def test_files_in_the_store_cannot_bend_what_is_read(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """Grafts, alternates, settings, shallow marks and leftovers are gone, a link is not followed."""
    first = repo.head()
    store.fetch(str(repo.path), "main", "")
    path = tmp_path / "store"
    second = repo.commit("two")
    (path / "info").mkdir()
    (path / "info/grafts").write_text(f"{second}\n")
    (path / "shallow").write_text(f"{second}\n")
    (path / "config").write_text(f'[url "/nonexistent"]\n\tinsteadOf = {repo.path}\n')
    (path / "objects/info/alternates").write_text("/nonexistent\n")
    (path / "objects/pack/pack_git2_left").write_bytes(b"x" * 100)
    (path / "hooks").symlink_to("/etc")
    revision = store.fetch(str(repo.path), "main", first)
    assert revision.parents == {second: (first,)}
    left = sorted(str(p.relative_to(path)) for p in path.rglob("*") if "pack-" not in p.name)
    assert left == [
        "HEAD",
        "config",
        "objects",
        "objects/info",
        "objects/pack",
        "refs",
        "refs/core-ops",
        "refs/core-ops/candidate",
        "tip.json",
    ]
    assert Path("/etc/passwd").exists()
    assert store.warnings == []


def test_what_a_killed_fetch_leaves_does_not_stop_the_next(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """Locks of refs, and a ref that lost its content in a power cut."""
    store.fetch(str(repo.path), "main", "")
    refs = tmp_path / "store/refs/core-ops"
    (refs / "candidate.lock").write_text("")
    repo.commit("two")
    assert store.fetch(str(repo.path), "main", "").commit == repo.head()
    (refs / "candidate").write_text("")
    repo.commit("three")
    assert store.fetch(str(repo.path), "main", "").commit == repo.head()


def _damage(path: Path, how: str) -> None:
    packs = sorted((path / "objects/pack").glob("*.pack"))
    for pack in packs:
        pack.chmod(0o600)
        pack.with_suffix(".idx").chmod(0o600)
        match how:
            case "no pack":
                pack.unlink()
            case "no packs":
                pack.unlink()
                pack.with_suffix(".idx").unlink()
            case "empty pack":
                pack.write_bytes(b"")
            case "empty index":
                pack.with_suffix(".idx").write_bytes(b"")
            case _:
                content = pack.read_bytes()
                pack.write_bytes(content[:20] + bytes(len(content) - 40) + content[-20:])


@pytest.mark.parametrize("how", ["no pack", "no packs", "empty pack", "empty index", "zeros"])
@pytest.mark.parametrize("changed", [True, False])
def test_a_damaged_store_is_fetched_again(repo: Repo, tmp_path: Path, how: str, *, changed: bool) -> None:
    """By itself, once, with a warning, whether or not the remote has moved."""
    tip = GitStore(tmp_path / "store").fetch(str(repo.path), "main", "").commit
    _damage(tmp_path / "store", how)
    if changed:
        repo.write("services/web/web.container", "[Container]\nImage=two\n")
        repo.commit("two")
    store = GitStore(tmp_path / "store")
    revision = store.fetch(str(repo.path), "main", tip)
    assert revision.commit == repo.head()
    assert store.tree(revision.commit) == read_tree(repo.path)
    assert len(store.warnings) <= 1
    assert all(warning.startswith("store-rebuilt: ") for warning in store.warnings)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("store")] == ["store"]
    again = GitStore(tmp_path / "store")
    assert again.fetch(str(repo.path), "main", revision.commit).commit == revision.commit
    assert again.tree(revision.commit) == read_tree(repo.path)
    assert again.warnings == []


def test_a_remote_with_missing_objects_does_not_cost_the_store(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """What was fetched before stays readable."""
    tip = store.fetch(str(repo.path), "main", "").commit
    broken = Repo(tmp_path / "broken")
    tree = broken.store("tree", raw_tree(("40000", b"services", "1" * 40)))
    broken.commit_tree(tree)
    with pytest.raises(CoreOpsError):
        store.tree(store.fetch(str(broken.path), "main", "").commit)
    assert len(store.tree(tip)) == 2


def test_many_fetches_do_not_pile_up_packs(
    store: GitStore, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new store is begun, silently."""
    monkeypatch.setattr("core_ops.host.git.store.MAX_PACKS", 3)
    for number in range(8):
        repo.write("services/web/web.container", f"[Container]\nImage={number}\n")
        repo.commit(str(number))
        store.fetch(str(repo.path), "main", "")
        assert len(list((tmp_path / "store/objects/pack").glob("*.pack"))) <= 4
    assert store.tree(repo.head()) == read_tree(repo.path)
    assert store.warnings == []


def test_a_file_of_100_mb_is_named_without_being_read(repo: Repo, tmp_path: Path) -> None:
    """The peak memory of the whole process shows it."""
    repo.write("services/web/large", bytes(100 << 20))
    repo.commit("large")
    script = (
        "import sys, pathlib; from core_ops.host.git import GitStore\n"
        "store = GitStore(pathlib.Path(sys.argv[1]))\n"
        "revision = store.fetch(sys.argv[2], 'main', '')\n"
        "print([f.kind for f in store.tree(revision.commit)])\n"
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) >> 10)"
    )
    command: list[str | Path] = [sys.executable, "-c", script, tmp_path / "other", repo.path]
    kinds, peak_mib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert kinds == "['file', 'oversize', 'file']"
    assert int(peak_mib) < 70


def test_links_and_submodules_are_returned_with_their_kind(store: GitStore, repo: Repo) -> None:
    """Layout refuses them, with their place."""
    (repo.path / "services/web/passwd").symlink_to("/etc/passwd")
    repo.git("add", "-A")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},hosts/module")
    tree = repo.git("write-tree")
    revision = store.fetch(str(repo.path), "main", repo.commit_tree(tree, None, repo.head()))
    kinds = {file.path: file.kind for file in store.tree(revision.commit)}
    assert kinds["services/web/passwd"] == "symlink"
    assert kinds["hosts/module"] == "submodule"


@pytest.mark.parametrize(
    "name",
    [
        b"..",
        b".",
        b".git",
        b".GIT",
        b"a b",
        b"/etc/cron.d/x",
        b"../../x",
        b"\x1b[2J",
        b"new\nline",
        b"\xff\xfe",
        b"n" * 300,
    ],
)
def test_hostile_names_in_a_tree_refuse_it(store: GitStore, repo: Repo, name: bytes) -> None:
    """Trees that no work tree could hold, fetched for real."""
    blob = repo.store("blob", b"x")
    inner = repo.store("tree", raw_tree(("100644", name, blob)))
    repo.commit_tree(repo.store("tree", raw_tree(("40000", b"services", inner))))
    revision = store.fetch(str(repo.path), "main", "")
    with pytest.raises(RefusedRevisionError) as refusal:
        store.tree(revision.commit)
    assert refusal.value.code == "bad-tree"
    assert refusal.value.message.isprintable()


@pytest.mark.parametrize("mode", ["100664", "104755", "000000", "0100644"])
def test_odd_modes_are_no_files(store: GitStore, repo: Repo, mode: str) -> None:
    """Layout refuses them, with their place."""
    blob = repo.store("blob", b"x")
    inner = repo.store("tree", raw_tree((mode, b"x", blob)))
    repo.commit_tree(repo.store("tree", raw_tree(("40000", b"services", inner))))
    assert [file.kind for file in store.tree(store.fetch(str(repo.path), "main", "").commit)] == ["special"]


def test_a_deep_tree_is_refused_without_recursion(store: GitStore, repo: Repo) -> None:
    """The levels are counted, not stacked."""
    tree = repo.store("tree", raw_tree(("100644", b"f", repo.store("blob", b"x"))))
    for _ in range(40):
        tree = repo.store("tree", raw_tree(("40000", b"d", tree)))
    repo.commit_tree(repo.store("tree", raw_tree(("40000", b"services", tree))))
    revision = store.fetch(str(repo.path), "main", "")
    with pytest.raises(RefusedRevisionError) as refusal:
        store.tree(revision.commit)
    assert refusal.value.code == "limit-exceeded"


def test_a_malformed_commit_is_refused(store: GitStore, repo: Repo) -> None:
    """Two trees in one commit."""
    raw = repo.raw("commit", repo.head()).replace(b"\nauthor", b"\ntree " + b"1" * 40 + b"\nauthor", 1)
    repo.git("update-ref", "refs/heads/odd", repo.store("commit", raw))
    assert code(store, repo.path, "odd") == "malformed-object"  # libgit2 refuses to send it over file://


def test_a_commit_larger_than_a_mebibyte_is_refused(store: GitStore, repo: Repo) -> None:
    """By its header, before it is read."""
    repo.git("commit", "-q", "--allow-empty", "-F", "-", given=b"x" * (2 << 20))
    assert code(store, repo.path) == "limit-exceeded"


def test_a_store_that_cannot_be_written_is_an_error_with_its_path(repo: Repo, tmp_path: Path) -> None:
    """The operator can mend it."""
    (tmp_path / "file").write_text("x")
    assert code(GitStore(tmp_path / "file/store"), repo.path) == "store-unusable"


def test_a_repository_of_another_user_can_be_fetched(store: GitStore, repo: Repo) -> None:
    """The agent is root, the repository rarely is; what it holds is not believed anyway."""
    if os.geteuid() == 0:
        for path in (repo.path, *repo.path.rglob("*")):
            os.chown(path, 12345, 12345, follow_symlinks=False)
    assert store.fetch(str(repo.path), "main", "").commit
    assert store.provenance(repo.path).revision != "(stateless)"


def test_a_store_of_another_user_is_not_used(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """Whoever owns it could change what is read from it."""
    store.fetch(str(repo.path), "main", "")
    repo.commit("two")
    if os.geteuid() == 0:
        os.chown(tmp_path / "store", 12345, 12345)
        assert code(store, repo.path) == "store-unusable"
        os.chown(tmp_path / "store", 0, 0)
    assert store.fetch(str(repo.path), "main", "").commit == repo.head()


def test_the_library_is_new_enough() -> None:
    """Older ones have published memory faults in what reads from the network; it is bundled, so nobody else updates it."""
    assert tuple(int(part) for part in pygit2.LIBGIT2_VERSION.split(".")) >= (1, 9, 7)


def test_the_library_is_imported_where_openssl_has_no_certificates(repo: Repo, tmp_path: Path) -> None:
    """As in an interpreter that was built for another distribution; the environment stays as it was."""
    script = (
        "import os, sys, pathlib; from core_ops.host.git import GitStore\n"
        "before = dict(os.environ)\n"
        "GitStore(pathlib.Path(sys.argv[1])).fetch(sys.argv[2], 'main', '')\n"
        "assert dict(os.environ) == before and 'pygit2' in sys.modules"
    )
    for environment in ({"SSL_CERT_FILE": "/nonexistent", "SSL_CERT_DIR": "/nonexistent"}, {}):
        command: list[str | Path] = [sys.executable, "-c", script, tmp_path / "other", repo.path]
        subprocess.run(command, env=environment, check=True)


def test_no_process_and_no_descriptor_is_left(store: GitStore, repo: Repo) -> None:
    """After fetches and after failures."""
    store.fetch(str(repo.path), "main", "")
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        repo.commit("more")
        store.fetch(str(repo.path), "main", "")
        code(store, repo.path, "gone")
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 3  # noqa: PTH208  libgit2 keeps pack files open
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_reading_another_object_than_asked_for_is_malformed(store: GitStore, repo: Repo) -> None:
    """And one that is nowhere is missing."""
    store.fetch(str(repo.path), "main", "")
    with pytest.raises(RefusedRevisionError) as refusal:
        store.tree(repo.head("HEAD^{tree}"))
    assert refusal.value.code == "malformed-object"
    with pytest.raises(RefusedRevisionError) as absent:
        GitStore(repo.path.with_name("fresh")).tree("1" * 40)
    assert absent.value.code == "missing-object"


def test_provenance_is_the_commit_of_a_clean_work_tree(store: GitStore, repo: Repo) -> None:
    """Ignored files count where they would be read."""
    assert store.provenance(repo.path).revision == repo.head()
    repo.write(".gitignore", "*.tmp\n")
    head = repo.commit("ignore")
    repo.write("scratch.tmp", "x")
    assert store.provenance(repo.path).revision == head
    repo.write("services/web/x.tmp", "x")
    assert store.provenance(repo.path).revision == "(stateless+dirty)"
    repo.remove("services/web/x.tmp")
    repo.write("README.md", "changed\n")
    assert store.provenance(repo.path).revision == "(stateless+dirty)"


def test_provenance_of_other_directories_is_stateless(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """A directory inside a work tree is not the work tree."""
    assert store.provenance(tmp_path).revision == "(stateless)"
    assert store.provenance(repo.path / "services").revision == "(stateless)"
    assert store.provenance(Repo(tmp_path / "unborn").path).revision == "(stateless+dirty)"


def test_a_broken_git_directory_is_an_error(store: GitStore, repo: Repo) -> None:
    """Instead of a guess."""
    shutil.rmtree(repo.path / ".git/objects")
    (repo.path / ".git/HEAD").write_text("nonsense")
    with pytest.raises(SourceError) as failure:
        store.provenance(repo.path)
    assert failure.value.code == "not-a-repository"
    assert str(repo.path) in failure.value.message


def test_a_worktree_of_git_worktree_is_clean_too(store: GitStore, repo: Repo, tmp_path: Path) -> None:
    """Its `.git` is a file."""
    repo.git("worktree", "add", "-q", "--detach", tmp_path / "linked")
    assert store.provenance(tmp_path / "linked").revision == repo.head()
    assert store.fetch(str(tmp_path / "linked"), "main", "").commit == repo.head()


def test_an_unchanged_remote_costs_next_to_nothing(store: GitStore, repo: Repo) -> None:
    """A bound that only a real change of design can break."""
    tip = store.fetch(str(repo.path), "main", "").commit
    started = time.perf_counter()
    for _ in range(20):
        store.fetch(str(repo.path), "main", tip)
    assert (time.perf_counter() - started) / 20 < 0.02
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_nsignals == 0


def test_a_missing_parent_is_a_missing_object(store: GitStore, repo: Repo) -> None:
    """An incomplete repository is not followed on faith."""
    tip = store.fetch(str(repo.path), "main", "").commit
    header = repo.raw("commit", tip).split(b"\n\n")[0]
    lost = repo.store(
        "commit", header.split(b"\ngpgsig")[0].replace(b"\nauthor", b"\nparent " + b"1" * 40 + b"\nauthor") + b"\n\n"
    )
    known = {lost: repo.raw("commit", lost)}

    class Objects:
        def header(self, object_id: str) -> tuple[str, int]:
            if object_id not in known:
                raise RefusedRevisionError("read", code="missing-object")
            return "commit", len(known[object_id])

        def read(self, object_id: str) -> bytes:
            return known[object_id]

    with pytest.raises(RefusedRevisionError) as refusal:
        gitread.ancestry(lost, "2" * 40, Objects())
    assert refusal.value.code == "missing-object"
