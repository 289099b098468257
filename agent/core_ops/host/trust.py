"""The host's trust files: the pin and the allowed signers, read as they stand and written whole."""

import contextlib
import os
from pathlib import Path

import msgspec

from core_ops.errors import SettingsError
from core_ops.reconcile.pin import Pin, Trust, read_pin
from core_ops.reconcile.signers import parse_allowed_signers

SIZE_LIMIT_BYTES = 1024 * 1024


def load_pin(path: Path) -> Pin | None:
    """Return the pin, or None when the host has none.

    Raises:
        SettingsError: it is there but can't be used.
    """
    content = _read(path)
    return None if content is None else read_pin(content, str(path))


def load_trust(pin: Pin) -> Trust:
    """Return whom the pin trusts, keys included.

    Raises:
        SettingsError: the signers' file is missing, empty or not understood.
    """
    introduction = "" if pin.introduction == "first-use" else pin.introduction
    if pin.mode == "unsigned":
        return Trust("unsigned", (), introduction)
    content = _read(Path(pin.signers))
    if content is None:
        raise SettingsError(
            f"read {pin.signers}: it is not there, so nobody may sign",
            code="no-signers",
            hint="write one line per person: <name> ssh-ed25519 AAAA...; or give `init --signers FILE`",
        )
    return Trust("simple", parse_allowed_signers(content, pin.signers), introduction)


def read_signers(path: Path) -> bytes:
    """Return an allowed-signers file after checking that it can be used.

    Raises:
        SettingsError: it is missing or not understood.
    """
    content = _read(path)
    if content is None:
        raise SettingsError(f"read {path}: no such file", code="no-signers", hint="name a file of allowed signers")
    parse_allowed_signers(content, str(path))
    return content


def save_pin(path: Path, pin: Pin) -> None:
    """Write the pin, whole and durable.

    Raises:
        SettingsError: the kernel refuses.
    """
    replace(path, msgspec.json.format(msgspec.json.encode(pin), indent=2) + b"\n")


def replace(path: Path, content: bytes) -> None:
    """Replace one of the trust files as a whole.

    Raises:
        SettingsError: the kernel refuses; the old file is still there.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise SettingsError(
            f"write {path}: {error.strerror}", code="settings-write-failed", hint="run as root on a writable /etc"
        ) from error


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SettingsError(f"read {path}: {error.strerror}", code="settings-unreadable", hint="run as root") from error
    if len(content) > SIZE_LIMIT_BYTES:
        raise SettingsError(
            f"read {path}: larger than {SIZE_LIMIT_BYTES} bytes", code="settings-invalid", hint="mend it"
        )
    return content
