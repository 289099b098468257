"""Serves the author's repository over https with git's own `git http-backend`, on the guest's loopback.

A process of its own, because it has to run in the guest's network namespace, and because with `--keep` it
outlives the quickstart. It ends by itself when the guest is removed.
"""

import argparse
import http.server
import os
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path
from typing import ClassVar

_READY = "ready"
_OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
    *("-days", "30", "-subj", "/CN=quickstart", "-addext", "subjectAltName=IP:127.0.0.1"),
)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Return the files of a new certificate for 127.0.0.1 and of its key; clients trust the certificate itself."""
    certificate, key = directory / "server.pem", directory / "server.key"
    subprocess.run([*_OPENSSL, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


def start(beside: list[str], root: Path, port: int, guest: Path) -> "subprocess.Popen[str]":
    """Start the server and return when it listens.

    Args:
        beside: The command line's beginning that enters the guest's network.
        root: Holds the repositories, the certificate and its key.
        port: Where to listen.
        guest: The server ends when this directory is gone.

    Raises:
        OSError: It did not come up; its log is in `root`.
    """
    certificate, key = make_certificate(root)
    argv = [*beside, sys.executable, __file__, str(root), str(certificate), str(key), str(port), str(guest)]
    log = root / "server.log"
    with log.open("wb") as errors:
        # A session of its own: Ctrl-C goes to the story, which then ends the server in order.
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
    if process.stdout is None or process.stdout.readline().strip() != _READY:
        process.kill()
        process.wait()
        raise OSError(f"serve {root} over https: {log.read_text().strip().splitlines()[-1:] or 'it said nothing'}")
    return process


class _Handler(http.server.BaseHTTPRequestHandler):
    """Hands every request to `git http-backend`, as a web server hands it to a CGI program."""

    protocol_version = "HTTP/1.1"
    root: ClassVar[str] = ""

    def do_GET(self) -> None:
        """Answer which refs there are."""
        self._serve(b"")

    def do_POST(self) -> None:
        """Answer with the objects that were asked for."""
        self._serve(self._body())

    def _serve(self, body: bytes) -> None:
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=self._environment(len(body)), capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [line.partition(": ")[::2] for line in head.decode("latin-1").split("\r\n") if line]
        self.send_response(next((int(value[:3]) for name, value in fields if name == "Status"), 200))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _environment(self, size: int) -> dict[str, str]:
        url = urllib.parse.urlsplit(self.path)
        return {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": self.root,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            # With --keep the repository belongs to the person behind sudo, and git would refuse to read it.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "PATH_INFO": urllib.parse.unquote(url.path),
            "QUERY_STRING": url.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(size),
        }


def _end_with(guest: Path) -> None:
    while guest.exists():
        time.sleep(0.5)
    os._exit(0)  # a request of a guest that is gone needs no answer


def main() -> None:
    """Serve until the guest is gone."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    for name in ("root", "certificate", "key"):
        parser.add_argument(name)
    parser.add_argument("port", type=int)
    parser.add_argument("guest", type=Path)
    options = parser.parse_args()
    _Handler.root = options.root
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), _Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=_end_with, args=(options.guest,), daemon=True).start()
    print(_READY, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
