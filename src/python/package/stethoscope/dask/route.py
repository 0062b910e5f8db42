"""The page and the list of targets as routes of Dask's own HTTP server.

They answer if the port could not be taken over, and on connections that were
handed to Dask before, which tornado keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tornado.web import HTTPError, RequestHandler

from stethoscope.dask import postmortem, status, targets
from stethoscope.dask.settings import TAKE_OVER


class _Handler(RequestHandler):
    """Answers GET and HEAD with what one server's attachment has."""

    def initialize(self, attach: Callable[[Any], Any], dask_server: Any = None) -> None:
        self._attach = attach
        self._server = dask_server

    async def get(self) -> None:
        # A server that loads this module as its routes is not attached to before.
        attachment = self._attach(self._server)
        if attachment is None:
            raise HTTPError(404, reason="stethoscope is switched off")
        await attachment.up_to_date()
        if attachment.mode == TAKE_OVER:
            # The client's next request then reaches the thread, which needs no loop.
            self.set_header("Connection", "close")
        status, headers, body = self.answer(attachment)
        self.set_status(status)
        for name, value in headers:
            self.set_header(name, value)
        self.finish(body)

    head = get

    def compute_etag(self) -> None:
        # The page differs at every scrape.
        return None

    def answer(self, attachment: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        """Return status, headers and body."""
        raise NotImplementedError


class MetricsHandler(_Handler):
    """The page."""

    def answer(self, attachment: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = self.request.headers
        accept, encoding = (headers.get(name, "") for name in ("Accept", "Accept-Encoding"))
        return attachment.respond(self.request.query, accept, encoding)


class TargetsHandler(_Handler):
    """The list of targets, which schedulers have."""

    def answer(self, attachment: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        if attachment.targets is None:
            raise HTTPError(404, reason="a worker does not know the other workers")
        return 200, [("Content-Type", "application/json")], attachment.targets.document.bytes


class StatusHandler(_Handler):
    """The state of the attachment."""

    def answer(self, attachment: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        return 200, [("Content-Type", "application/json")], attachment.status.document.bytes


class _KeptPageHandler(RequestHandler):
    """Answers with a page that is kept, compressed, for a worker that cannot."""

    def initialize(self, attach: Callable[[Any], Any], dask_server: Any = None) -> None:
        self._attach = attach
        self._server = dask_server

    async def get(self, identifier: str) -> None:
        attachment = self._attach(self._server)
        kept = None if attachment is None else attachment.postmortems
        page = None if kept is None else await self.page(kept, identifier)
        if page is None:
            raise HTTPError(404, reason="there is no such page, or no longer")
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.set_header("Vary", "Accept-Encoding")
        if "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
        else:
            page = postmortem.plain(page)
        self.finish(page)

    head = get

    async def page(self, kept: Any, identifier: str) -> bytes | None:
        """Return the page, compressed by gzip, or None if there is none."""
        raise NotImplementedError


class PostmortemHandler(_KeptPageHandler):
    """The last page of a dead worker."""

    async def page(self, kept: Any, identifier: str) -> bytes | None:
        return kept.last_page(identifier, counts=self.request.method == "GET")


class FrozenHandler(_KeptPageHandler):
    """The page of a frozen worker."""

    async def page(self, kept: Any, identifier: str) -> bytes | None:
        try:
            return await kept.frozen_page(identifier)
        except Exception as error:
            raise HTTPError(502, reason="the worker's nanny does not answer") from error


_HANDLERS: dict[str, type[RequestHandler]] = {
    "/metrics": MetricsHandler,
    "/metrics/": MetricsHandler,
    targets.PATH: TargetsHandler,
    status.PATH: StatusHandler,
    f"{postmortem.POSTMORTEM_PATH}([A-Za-z0-9.-]+)": PostmortemHandler,
    f"{postmortem.FROZEN_PATH}([A-Za-z0-9.-]+)": FrozenHandler,
}


def routes(attach: Callable[[Any], Any]) -> list[tuple[str, type[RequestHandler], dict]]:
    """Return the routes for `distributed.*.http.routes`.

    `attach` takes a server and returns its attachment.
    """
    return [(path, handler, {"attach": attach}) for path, handler in _HANDLERS.items()]


def add_route(undo: ExitStack, server: Any, attach: Callable[[Any], Any]) -> None:
    """Put the page before Dask's own, also below the prefix of its dashboard.

    The prefix is that of `dask scheduler --dashboard-prefix`, if it was given.
    """
    application = server.http_application
    rules = application.default_router.rules
    before = list(rules)
    ours = {
        base + path: (handler, options | {"dask_server": server})
        for base in ("", _prefix(application))
        for path, handler, options in routes(attach)
    }
    application.add_handlers(r".*$", [(path, *route) for path, route in ours.items()])
    for rule in rules:
        if rule not in before:
            undo.callback(rules.remove, rule)


def _prefix(application: Any) -> str:
    for rule in application.wildcard_router.rules:
        pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", "")
        if pattern.endswith("/metrics$"):
            return pattern.removesuffix("/metrics$")
    return ""
