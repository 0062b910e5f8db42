"""Requests for other paths than /metrics reach Dask unchanged."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse

import pytest
from harness import Cluster, Page, eventually, fetch, scrape

pytestmark = pytest.mark.newest


@pytest.fixture
def connection(cluster: Cluster):
    address = urllib.parse.urlsplit(cluster.scheduler_url).netloc
    connection = http.client.HTTPConnection(address, timeout=30)
    yield connection
    connection.close()


def get(connection: http.client.HTTPConnection, path: str) -> tuple[int, bytes]:
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def test_dask_answers_its_own_paths(cluster: Cluster) -> None:
    url = cluster.scheduler_url
    assert fetch(url, "/health").body == b"ok"
    assert "workers" in json.loads(fetch(url, "/json/identity.json").body)
    assert fetch(url, "/info/main/workers.html").status == 200
    assert fetch(url, "/nothing-there").status == 404
    assert fetch(url, "/metricsandmore").status == 404
    for worker in cluster.workers().values():
        assert fetch(worker, "/health").body == b"ok"


def test_one_connection_alternates_between_dask_and_metrics(cluster: Cluster, connection) -> None:
    for _ in range(3):
        status, body = get(connection, "/metrics")
        assert (status, Page(body.decode()).has("dask_scheduler_clients")) == (200, True)
        status, body = get(connection, "/health")
        assert (status, body) == (200, b"ok")
        # Now Dask has the connection; it gives the same page.
        status, body = get(connection, "/metrics")
        assert status == 200
        assert Page(body.decode()).samples.keys() == scrape(cluster.scheduler_url).samples.keys()


def test_connection_handed_to_dask_gets_the_same_answers(cluster: Cluster, connection) -> None:
    chosen = "/metrics?name[]=dask_scheduler_clients&name[]=dask_scheduler_workers"
    for path, accept, encoding in [
        (chosen, "text/plain", "identity"),
        ("/metrics", "application/openmetrics-text;version=1.0.0", "gzip"),
        ("/metrics", "text/html", "identity"),
        ("/metrics/targets", "*/*", "identity"),
    ]:
        answers = []
        for before in ("/metrics", "/health"):
            connection.close()
            assert get(connection, before)[0] == 200
            headers = {"Accept": accept, "Accept-Encoding": encoding}
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            answers.append((response, response.read()))
        (native, native_body), (dasks, dasks_body) = answers
        assert dasks.getheader("Server", "").startswith("Tornado")
        assert not native.getheader("Server", "").startswith("Tornado")
        for header in ("Content-Type", "Content-Encoding"):
            assert native.getheader(header) == dasks.getheader(header), header
        if path == chosen:
            assert Page(dasks_body.decode()).samples.keys() == {
                ("dask_scheduler_clients", ()),
                *Page(native_body.decode()).samples.keys(),
            }
        # The client comes back by a new connection, which is the thread's.
        assert dasks.getheader("Connection") == "close"
        connection.request("GET", "/metrics")
        assert not connection.getresponse().getheader("Server", "").startswith("Tornado")


def test_requests_sent_in_one_piece_are_answered_in_order(cluster: Cluster) -> None:
    host, port = urllib.parse.urlsplit(cluster.scheduler_url).netloc.split(":")
    request = "GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(
            (
                request.format("/metrics", "")
                + request.format("/metrics/", "")
                + request.format("/health", "")
                + request.format("/metrics", "Connection: close\r\n")
            ).encode()
        )
        with client.makefile("rb") as stream:
            answer = stream.read()
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    first, second, health, last = answer.split(b"HTTP/1.1 200 OK")[1:]
    assert health.endswith(b"ok")
    for page in (first, second, last):
        assert b"dask_scheduler_clients" in page


def test_request_in_pieces_is_passed_on_whole(cluster: Cluster) -> None:
    host, port = urllib.parse.urlsplit(cluster.scheduler_url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            client.sendall(bytes([byte]))
        with client.makefile("rb") as stream:
            assert stream.read().endswith(b"ok")


def test_the_dashboard_works_over_its_websocket(cluster: Cluster) -> None:
    # What a browser does: the page, its session, the websocket, the document.
    session = pytest.importorskip("bokeh.client").pull_session(
        url=cluster.scheduler_url + "/status"
    )
    try:
        assert session.document.roots
    finally:
        session.close()
    assert scrape(cluster.scheduler_url).has("dask_scheduler_clients")


def test_opening_and_closing_leaks_no_descriptor(cluster: Cluster) -> None:
    def descriptors(dask_scheduler) -> int:
        import os

        return len(os.listdir("/proc/self/fd"))

    host, port = urllib.parse.urlsplit(cluster.scheduler_url).netloc.split(":")
    address = (host, int(port))
    fetch(cluster.scheduler_url, "/health")
    before = cluster.client.run_on_scheduler(descriptors)
    for cycle in range(1000):
        with socket.create_connection(address, timeout=30) as client:
            match cycle % 4:
                case 0:
                    client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                case 1:
                    client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                case 2:
                    client.sendall(b"GET /hea")

    def none_is_left() -> None:
        # Dask's own connections come and go; a leak is of hundreds.
        assert cluster.client.run_on_scheduler(descriptors) <= before + 5

    eventually(none_is_left)
    assert fetch(cluster.scheduler_url, "/health").body == b"ok"
