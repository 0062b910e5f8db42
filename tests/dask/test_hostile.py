"""Clients that do not behave cost nobody else a scrape."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest
from harness import Cluster, Page, fetch, scrape

# Between the client and the native thread: the version of Dask is nothing to them.
pytestmark = pytest.mark.newest


@pytest.fixture
def url(cluster: Cluster) -> str:
    return next(iter(cluster.workers().values()))


def connect(url: str) -> socket.socket:
    host, port = urllib.parse.urlsplit(url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answer_to(url: str, request: bytes) -> bytes:
    """Everything that is said until the server closes."""
    with connect(url) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while piece := client.recv(65536):
                answer += piece
        return answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="tls"),
        pytest.param(b"\x00\xff\xfe\r\n\r\n" * 100, id="garbage"),
        pytest.param(b"GET /metrics?" + b"x" * 1_000_000, id="a-megabyte-of-request-line"),
        pytest.param(b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 100_000, id="headers-for-ever"),
        pytest.param(b"GET /metrics HTTP/1.1\nHost: x\n\n", id="bare-newlines"),
        pytest.param(b"GET /metrics HTTP/7.3\r\nHost: x\r\n\r\n", id="no-such-version"),
        pytest.param(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two-lengths",
        ),
    ],
)
def test_malformed_request_is_refused_or_cut_off(url: str, request_bytes: bytes) -> None:
    answer = answer_to(url, request_bytes)
    # A close without a word, or one clear status.
    assert answer == b"" or answer.split(b" ")[1][:1] in (b"4", b"5")
    assert scrape(url).has("dask_worker_threads")


@contextlib.contextmanager
def drip(url: str, number: int) -> Iterator[None]:
    """Clients that send a request one byte a second."""
    clients = [connect(url) for _ in range(number)]
    done = threading.Event()

    def send() -> None:
        for byte in b"GET /metrics HTTP/1.1\r\nHost: someone-with-time\r\n":
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(bytes([byte]))
            if done.wait(1):
                return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)
        for client in clients:
            client.close()


@contextlib.contextmanager
def never_read(url: str, number: int) -> Iterator[None]:
    """Clients that ask again and again and never read an answer."""
    clients = []
    for _ in range(number):
        client = connect(url)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        clients.append(client)
    try:
        yield
    finally:
        for client in clients:
            client.close()


@contextlib.contextmanager
def half_open(url: str, number: int) -> Iterator[None]:
    """Clients that say nothing, and some that have said they will not."""
    clients = [connect(url) for _ in range(number)]
    for client in clients[::2]:
        client.shutdown(socket.SHUT_WR)
    try:
        yield
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize("nuisance", [drip, never_read, half_open])
def test_hostile_connections_do_not_delay_scrapes(url: str, nuisance) -> None:
    # Not by the clock: each scrape has an end though the nuisance has none, and
    # the loop's fresh values still reach it.
    with nuisance(url, 50):
        until = time.monotonic() + 2
        pages: list[Page] = []
        while time.monotonic() < until:
            pages.append(scrape(url, timeout=10))
        assert len(pages) > 20
        assert fetch(url, "/health", timeout=10).body == b"ok"


def test_endless_request_is_disconnected(url: str) -> None:
    with connect(url) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        answer = client.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
