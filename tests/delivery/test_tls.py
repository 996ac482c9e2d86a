"""A platform whose certificate nobody vouches for gets nothing: neither runs nor the key."""

from __future__ import annotations

import contextlib
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ..platform_server import PlatformServer
from .conftest import next_ids, numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Ended, Python

# For localhost, until 2126: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500
# -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1
CERTIFICATE, KEY = (Path(__file__).parent / "tls" / name for name in ("cert.pem", "key.pem"))


class TlsServer(PlatformServer):
    """The platform, speaking TLS."""

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def _serve(self, connection: ssl.SSLSocket, number: int) -> None:  # type: ignore[override]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        with contextlib.suppress(OSError):  # The client does not like what it sees.
            wrapped = context.wrap_socket(connection, server_side=True)
            self._open.add(wrapped)
            super()._serve(wrapped, number)


@pytest.fixture
def tls() -> Iterator[TlsServer]:
    with TlsServer() as server:
        yield server


def test_certificate_that_is_not_trusted_keeps_everything_here_until_it_is(
    python: Python, tls: TlsServer, restart: Callable[..., Ended]
) -> None:
    process = python("runs(200); finish()", server=tls).wait()
    assert (process.code, process.leaving < 8.0, tls.requests) == (0, True, [])
    (line,) = process.errors.splitlines()
    assert "certificate" in line
    restart(tls, SSL_CERT_FILE=str(CERTIFICATE))
    assert set(tls.tasks) == numbered(200) | next_ids()


def test_certificate_of_another_host_is_not_accepted(python: Python, tls: TlsServer) -> None:
    """Trusted, but for localhost."""
    code = "import socket; socket.getaddrinfo = lambda *_, **__: found; runs(3); flush(1); finish()"
    found = f"found = [(2, 1, 6, '', ('127.0.0.1', {tls.port}))]; "
    environment = {"SSL_CERT_FILE": str(CERTIFICATE), "XPANDER_BASE_URL": f"https://platform.test:{tls.port}"}
    process = python(found + code, server=tls, **environment).wait()
    assert ("certificate" in process.errors, tls.requests) == (True, [])


@pytest.mark.usefixtures("home")
def test_connections_end_with_the_process(python: Python, tls: TlsServer) -> None:
    """Fifty threads, TLS, and a normal exit."""
    code = """
threads = [threading.Thread(target=runs, args=(4, 4 * number)) for number in range(50)]
for thread in threads: thread.start()
for thread in threads: thread.join()
say(flush(30).delivered)
"""
    process = python(code, server=tls, SSL_CERT_FILE=str(CERTIFICATE)).wait()
    assert (process.lines, process.errors, set(tls.tasks)) == (["200"], "", numbered(200))
    assert threading.active_count() < 100
