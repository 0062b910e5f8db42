"""A minute of the soak, and whether those who watch it see what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from harness import HOST, eventually
from soak import plateau, soak, watching

GOOD = b"# TYPE rows_total counter\nrows_total 7\n# TYPE depth gauge\ndepth 3\n"


class Server:
    """Serves one page as it is told to."""

    def __init__(self) -> None:
        self.page = GOOD
        self.status = 200
        self.served = 0

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                openmetrics = "openmetrics" in self.headers["Accept"]
                page = server.page
                if openmetrics:
                    page = page.replace(b"_total counter", b" counter") + b"# EOF\n"
                self.send_response(server.status)
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)
                server.served += 1

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def watched() -> Iterator[tuple[Server, list[dict]]]:
    """A server, and what the scrapers say of it."""
    server, said = Server(), []
    with ThreadingHTTPServer((HOST, 0), server.handler()) as http:
        threading.Thread(target=http.serve_forever).start()
        try:
            with watching(said.append) as watch:
                watch.stdin.write(f"{HOST}:{http.server_port}\n")
                eventually(lambda: server.served > 20)
                assert said == []
                yield server, said
        finally:
            http.shutdown()
    assert said[-1]["end"]
    assert said[-1]["scrapes"] >= server.served > 20


def fault(watched: tuple[Server, list[dict]]) -> str:
    _, said = watched
    eventually(lambda: len(said) > 0)
    return said[0]["fault"]


def test_malformed_page_is_detected(watched) -> None:
    watched[0].page = GOOD.replace(b"depth 3", b"depth three")
    assert "malformed" in fault(watched)


def test_inconsistent_page_is_detected(watched) -> None:
    watched[0].page = GOOD + b"depth 4\n"
    assert "malformed" in fault(watched)


def test_falling_counter_is_detected(watched) -> None:
    watched[0].page = GOOD.replace(b"rows_total 7", b"rows_total 6")
    assert fault(watched) == "rows_total fell from 7 to 6"


def test_vanished_counter_is_detected(watched) -> None:
    watched[0].page = b"# TYPE depth gauge\ndepth 3\n"
    assert fault(watched) == "rows_total is gone"


def by_prefix(**counts: int) -> bytes:
    lines = [f'done_total{{task_prefix_name="{name}"}} {count}' for name, count in counts.items()]
    return "\n".join(["# TYPE done_total counter", *lines, ""]).encode()


def test_prefix_may_be_folded_into_other(watched) -> None:
    server, said = watched
    server.page = GOOD + by_prefix(load=3, sort=4)
    served = server.served
    eventually(lambda: server.served > served + 20)
    server.page = GOOD + by_prefix(sort=4, other=3)
    eventually(lambda: server.served > served + 40)
    assert said == []


def test_prefix_lost_to_the_sum_is_detected(watched) -> None:
    server, _ = watched
    server.page = GOOD + by_prefix(load=3, sort=4)
    served = server.served
    eventually(lambda: server.served > served + 20)
    server.page = GOOD + by_prefix(sort=4, other=2)
    assert fault(watched) == "the sum of done_total fell from 7 to 6"


def test_gauge_may_fall_and_vanish(watched) -> None:
    server, said = watched
    server.page = GOOD.replace(b"depth 3", b"depth 2")
    served = server.served
    eventually(lambda: server.served > served + 20)
    server.page = b"# TYPE rows_total counter\nrows_total 7\n"
    eventually(lambda: server.served > served + 40)
    assert said == []


def test_error_response_is_detected(watched) -> None:
    watched[0].status = 500
    assert fault(watched) == "status 500"


def test_growth_is_distinguished_from_noise() -> None:
    assert plateau([100] * 60 + [5] * 20) == (100, 5)
    rising = list(range(90))
    begin, end = plateau(rising)
    assert 58 < begin < 70
    assert 80 < end < 90


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_cluster_under_churn_is_scraped_without_a_fault(tmp_path: Path) -> None:
    report = soak(tmp_path, 60)
    print(report)
    assert report.complaints == []
    for what in ("prefixes", "kills", "guests", "restarts"):
        assert report.done[what] > 0
