"""The list of accepted keys: whatever is not understood refuses the whole file, with its place and the next step."""

import base64
import struct

import pytest

from core_ops.errors import SettingsError
from core_ops.reconcile.signers import MAX_FILE_BYTES, parse_allowed_signers


def key(seed: int = 0) -> str:
    """Return the public key of nobody."""
    name, point = b"ssh-ed25519", bytes([seed]) * 32
    wire = struct.pack(">I", len(name)) + name + struct.pack(">I", len(point)) + point
    return "ssh-ed25519 " + base64.b64encode(wire).decode()


def refusal(text: str | bytes) -> SettingsError:
    """Return the refusal of a file."""
    with pytest.raises(SettingsError) as refused:
        parse_allowed_signers(text.encode() if isinstance(text, str) else text, "/etc/x")
    assert refused.value.code == "signers-invalid"
    assert refused.value.hint
    return refused.value


def test_lines_become_signers_in_order() -> None:
    """Comments and blank lines are skipped, a comment behind a key is allowed as in a .pub file."""
    text = f'# people\n\nalice {key(1)} alice@laptop\nbob@example.com namespaces="git,file" {key(2)}\n'
    alice, bob = parse_allowed_signers(text.encode(), "/etc/x")
    assert (alice.label, alice.namespaces, alice.line, alice.file) == ("alice", (), 3, "/etc/x")
    assert (bob.label, bob.namespaces, bob.line) == ("bob@example.com", ("git", "file"), 4)
    assert alice.key.startswith("SHA256:")


def test_times_are_utc_in_all_three_spellings() -> None:
    """With and without minutes and seconds, quoted or not."""
    for text, seconds in (("20260101Z", 1767225600), ("202601010130Z", 1767231000), ("20260101013005Z", 1767231005)):
        (signer,) = parse_allowed_signers(f'a valid-after={text},valid-before="20270101Z" {key()}'.encode(), "x")
        assert (signer.valid_after, signer.valid_before) == (seconds, 1798761600)


def test_tabs_separate_like_spaces() -> None:
    """As in the files that ssh-keygen reads."""
    assert parse_allowed_signers(f"a\tnamespaces=git\t{key()}".encode(), "x")[0].namespaces == ("git",)


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice ssh-ed25519",
        "alice what ever",
        f"alice cert-authority {key()}",
        f"alice cert-authority,namespaces=git {key()}",
        f"alice no-touch-required {key()}",
        f"alice namespaces=git,namespaces=file {key()}",
        f'alice namespaces="" {key()}',
        f'alice namespaces="*" {key()}',
        f'alice namespaces="git {key()}',
        f'alice namespaces="git"x {key()}',
        f"alice valid-after=20260101 {key()}",
        f"alice valid-after=2026Z {key()}",
        f"alice valid-after=20261301Z {key()}",
        f"alice valid-after=20270101Z,valid-before=20260101Z {key()}",
        f"alice,bob {key()}",
        f"*@example.com {key()}",
        f'"alice" {key()}',
        f"!alice {key()}",
        f"-alice {key()}",
        "alice ssh-ed25519 AAAA",
        "alice ssh-ed25519 !!!!",
        "alice ssh-rsa " + key().split()[1],
        "alice ssh-ed25519 " + key().split()[1] + "=",
        "ali\0ce " + key(),
        "ali\x1bce " + key(),
        f"alice {key()}\r",
        "älice " + key(),
    ],
)
def test_anything_else_refuses_the_file_and_names_the_line(line: str) -> None:
    """ssh-keygen would skip the line; it may be the one that takes a right away."""
    refused = refusal(f"good {key(9)}\n{line}\n")
    assert "/etc/x:2" in refused.message
    assert refused.message.isprintable()


def test_a_key_listed_twice_is_refused() -> None:
    """Two lines for one key could grant what the other limits."""
    assert "line 1" in refusal(f"a {key()}\nb {key()}\n").message


def test_a_weak_key_is_refused_with_its_size() -> None:
    """Whoever edits the file learns why before a commit is refused."""
    modulus = ((1 << 2047) + 1).to_bytes(257, "big")
    parts = (b"ssh-rsa", b"\1\0\1", modulus)
    wire = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    assert "2048 bits" in refusal("a ssh-rsa " + base64.b64encode(wire).decode()).message


def test_a_file_without_keys_or_too_large_is_refused() -> None:
    """An empty list would refuse every revision without saying why."""
    assert "no key" in refusal("# nobody\n").message
    assert "bytes" in refusal("#" * (MAX_FILE_BYTES + 1)).message
    assert "1000 keys" in refusal("\n".join(f"a {_numbered(n)}" for n in range(1001))).message


def _numbered(n: int) -> str:
    name, point = b"ssh-ed25519", n.to_bytes(32, "big")
    wire = struct.pack(">I", len(name)) + name + struct.pack(">I", len(point)) + point
    return "ssh-ed25519 " + base64.b64encode(wire).decode()
