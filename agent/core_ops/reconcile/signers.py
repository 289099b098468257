"""Read the list of keys that this host accepts: a strict subset of OpenSSH's allowed_signers.

ssh-keygen skips a line it does not understand and reads a time without `Z` in local time; here any doubt refuses the
whole file, because a skipped line may be the one that took a right away.
"""

import re
from datetime import UTC, datetime

from core_ops.errors import RefusedRevisionError, SettingsError
from core_ops.reconcile import sshsig
from core_ops.reconcile.model import Value

MAX_FILE_BYTES = 256 * 1024
MAX_SIGNERS = 1000

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_TYPE = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]+")
_OPTION = re.compile(r'(namespaces|valid-after|valid-before)="?([A-Za-z0-9._@,-]+)"?')
_OPTIONS = re.compile(r'(?:[a-z-]+=(?:"[^"]*"|[^",\s]*))(?:,[a-z-]+=(?:"[^"]*"|[^",\s]*))*')
_EACH_OPTION = re.compile(r'[a-z-]+=(?:"[^"]*"|[^",\s]*)')
_TIMES = {9: "%Y%m%dZ", 13: "%Y%m%d%H%MZ", 15: "%Y%m%d%H%M%SZ"}


class Signer(Value, frozen=True):
    """One accepted key. `label` names it for people and is compared with nothing.

    `namespaces` is empty when the line sets no limit; the times are seconds since 1970, 0 when there is no bound;
    `file` and `line` say where a person can change it.
    """

    label: str
    key: str
    key_type: str
    namespaces: tuple[str, ...]
    valid_after: int
    valid_before: int
    file: str
    line: int


def parse_allowed_signers(text: bytes, path: str) -> tuple[Signer, ...]:
    """Read a whole allowed_signers file: `label [options] keytype base64 [comment]`, one key per line.

    Args:
        text: The file's content.
        path: Its name, for messages.

    Returns:
        The signers in the order of the file, at least one.

    Raises:
        SettingsError: `signers-invalid`; nothing of a file is used unless all of it is understood.
    """
    if len(text) > MAX_FILE_BYTES:
        raise _invalid(path, 0, f"it has more than {MAX_FILE_BYTES} bytes", "keep one line per accepted key")
    found: dict[str, Signer] = {}
    for number, raw in enumerate(text.split(b"\n"), 1):
        signer = _parse_line(raw, path, number)
        if signer is None:
            continue
        if signer.key in found:
            earlier = found[signer.key].line
            raise _invalid(path, number, f"the key of line {earlier} is listed again", "remove one of the lines")
        found[signer.key] = signer
        if len(found) > MAX_SIGNERS:
            raise _invalid(path, number, f"it lists more than {MAX_SIGNERS} keys", "keep the keys still in use")
    if not found:
        raise _invalid(path, 0, "it lists no key", "add a line: name ssh-ed25519 AAAA...")
    return tuple(found.values())


def _parse_line(raw: bytes, path: str, number: int) -> Signer | None:
    """Return the signer of one line, or nothing for a blank line or a comment."""
    try:
        line = raw.decode("ascii").strip(" \t")
    except UnicodeDecodeError:
        raise _invalid(path, number, "it is not plain ASCII", "retype the line") from None
    if not line or line.startswith("#"):
        return None
    if not line.replace("\t", " ").isprintable():
        raise _invalid(path, number, "it holds a control character", "save the file with Unix line ends")
    label, _, rest = line.replace("\t", " ").partition(" ")
    if not _LABEL.fullmatch(label):
        raise _invalid(
            path, number, f"the name {label[:80]!r} is not plain", "use one name: no pattern, list or quotes"
        )
    words = _split_options(rest.lstrip(" "), path, number)
    return _signer(label, words, path, number)


def _split_options(rest: str, path: str, number: int) -> tuple[str, str, str]:
    """Return options, key type and base64 of the part after the name."""
    options = ""
    if not _TYPE.match(rest):
        match = _OPTIONS.match(rest)
        if match is None:
            raise _invalid(path, number, "no key type follows the name", "write: name ssh-ed25519 AAAA...")
        options, rest = match[0], rest[match.end() :]
    words = rest.split()
    if len(words) < 2:  # noqa: PLR2004  type and key; what follows them is a comment, as in a .pub file
        raise _invalid(path, number, "the key is missing", "write: name ssh-ed25519 AAAA...")
    if options and not rest.startswith(" "):
        raise _invalid(path, number, "the options are not understood", _KNOWN_OPTIONS)
    return options, words[0], words[1]


_KNOWN_OPTIONS = 'use only namespaces="git", valid-after="20260101Z" and valid-before="20270101Z"'
_OTHER_KEY = "copy the line of the .pub file again; keys are Ed25519, ECDSA, RSA of 3072 bits or more, or security keys"


def _signer(label: str, words: tuple[str, str, str], path: str, number: int) -> Signer:
    options_text, key_type, encoded = words
    try:
        key = sshsig.parse_public_key(sshsig.decode_base64(encoded.encode()))
    except RefusedRevisionError as refusal:
        why = refusal.message.partition(": ")[2]
        raise _invalid(path, number, f"the key cannot be used: {why}", _OTHER_KEY) from refusal
    if key.key_type != key_type:
        raise _invalid(path, number, "the key is of another type than the line says", "copy the .pub file again")
    options = _options(options_text, path, number)
    after, before = (_seconds(options.get(name, ""), path, number) for name in ("valid-after", "valid-before"))
    if before and after >= before:
        raise _invalid(path, number, "the key is never valid", "put valid-after before valid-before")
    namespaces = tuple(options["namespaces"].split(",")) if "namespaces" in options else ()
    return Signer(label, key.fingerprint, key_type, namespaces, after, before, path, number)


def _options(text: str, path: str, number: int) -> dict[str, str]:
    options: dict[str, str] = {}
    for each in _EACH_OPTION.findall(text):
        match = _OPTION.fullmatch(each)
        if match is None or match[1] in options:
            raise _invalid(path, number, f"the option {each[:80]!r} is unknown or repeated", _KNOWN_OPTIONS)
        options[match[1]] = match[2]
    return options


def _seconds(text: str, path: str, number: int) -> int:
    """Return a time as seconds since 1970; 0 when none is given."""
    if not text:
        return 0
    try:
        moment = datetime.strptime(text, _TIMES.get(len(text), "")).replace(tzinfo=UTC)
    except ValueError:
        raise _invalid(
            path, number, f"the time {text[:40]!r} is not a UTC time", "write it as 20270101Z or 20270101123000Z"
        ) from None
    return int(moment.timestamp())


def _invalid(path: str, number: int, why: str, hint: str) -> SettingsError:
    place = f"{path}:{number}" if number else path
    return SettingsError(f"read accepted signers at {place}: {why}", code="signers-invalid", hint=hint)
