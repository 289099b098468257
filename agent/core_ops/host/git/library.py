"""libgit2: loaded when it is needed, reading nobody's settings, trusting the CA certificates it is given.

The library keeps its options for a whole process. Those that only narrow what it looks at are set once, here, when it
is imported; those that belong to one fetch are set in the child that is thrown away.
"""

import os
from functools import cache
from pathlib import Path
from types import ModuleType

from core_ops.errors import SourceError
from core_ops.reconcile.remote import Remote

CONNECT_TIMEOUT_S = 20  # of one connection or one read; the whole fetch has a deadline of its own

_CA_BUNDLES = (
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@cache
def libgit2() -> ModuleType:
    """Import pygit2 so that it finds no certificates and reads nobody's settings.

    It looks for OpenSSL's default certificates when imported and fails where there are none, as on Fedora with an
    interpreter built elsewhere; a child that speaks TLS names its bundle itself.
    """
    saved = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    os.environ.update(SSL_CERT_FILE="/dev/null", SSL_CERT_DIR="/proc")
    try:
        import pygit2
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    for level in (
        pygit2.enums.ConfigLevel.SYSTEM,
        pygit2.enums.ConfigLevel.GLOBAL,
        pygit2.enums.ConfigLevel.XDG,
        pygit2.enums.ConfigLevel.PROGRAMDATA,
    ):
        pygit2.option(pygit2.enums.Option.SET_SEARCH_PATH, level, "/nonexistent")
    pygit2.option(pygit2.enums.Option.SET_HOMEDIR, "/nonexistent")
    return pygit2


def tame(library: ModuleType, where: Remote, ca_file: Path | None) -> None:
    """Set what libgit2 keeps for a whole process; the child is thrown away after one use."""
    options = library.enums.Option
    library.option(options.SET_SERVER_CONNECT_TIMEOUT, CONNECT_TIMEOUT_S * 1000)
    library.option(options.SET_SERVER_TIMEOUT, CONNECT_TIMEOUT_S * 1000)
    library.option(options.SET_MWINDOW_SIZE, 8 << 20)  # the default maps packs in gigabytes
    library.option(options.SET_MWINDOW_MAPPED_LIMIT, 64 << 20)
    if where.kind == "https":
        library.option(options.SET_SSL_CERT_LOCATIONS, ca_bundle(ca_file), None)
    else:  # a repository of another user is only read: nothing in it is run and its content is not believed
        library.option(options.SET_OWNER_VALIDATION, 0)


def ca_bundle(ca_file: Path | None) -> str:
    """Return the file of CA certificates to trust: the one that was named, or else the distribution's.

    Raises:
        SourceError: `tls-failed`, it is not there.
    """
    for bundle in [str(ca_file)] if ca_file else _CA_BUNDLES:
        if Path(bundle).is_file():
            return bundle
    raise SourceError(
        f"find CA certificates: {ca_file or 'none of the usual bundles'} is not there",
        code="tls-failed",
        hint="install ca-certificates or name a CA file in the settings",
    )
