"""The page, and the list of targets, as routes of Dask's own HTTP server.

It answers where the port could not be taken over, and what asks for the page
on a connection that was handed to Dask before: tornado keeps those.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tornado.web import HTTPError, RequestHandler

from stethoscope.dask import status, targets
from stethoscope.dask.settings import TAKE_OVER


class _Handler(RequestHandler):
    """Answers GET and HEAD with what one server's attachment has."""

    def initialize(self, dask_server: Any = None) -> None:
        self._server = dask_server

    async def get(self) -> None:
        # Here, not above: `attachment` adds this route.
        from stethoscope.dask.attachment import attach

        # By way of `routes` in the configuration nothing has attached before.
        attachment = attach(self._server)
        if attachment is None:
            raise HTTPError(404, reason="stethoscope is switched off")
        await attachment.up_to_date()
        if attachment.mode == TAKE_OVER:
            # The next request shall come to the thread, which needs no loop.
            self.set_header("Connection", "close")
        status, headers, body = self.answer(attachment)
        self.set_status(status)
        for name, value in headers:
            self.set_header(name, value)
        self.finish(body)

    head = get

    def compute_etag(self) -> None:
        # It differs at every scrape.
        return None

    def answer(self, attachment: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body."""
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
            raise HTTPError(404, reason="a worker does not know the others")
        return 200, [("Content-Type", "application/json")], attachment.targets.document.bytes


class StatusHandler(_Handler):
    """The state of the attachment."""

    def answer(self, attachment: Any) -> tuple[int, list[tuple[str, str]], bytes]:
        return 200, [("Content-Type", "application/json")], attachment.status.document.bytes


_HANDLERS = {
    "/metrics": MetricsHandler,
    "/metrics/": MetricsHandler,
    targets.PATH: TargetsHandler,
    status.PATH: StatusHandler,
}

#: What `distributed.*.http.routes` reads.
ROUTES = [(path, handler, {}) for path, handler in _HANDLERS.items()]


def add_route(undo: ExitStack, server: Any) -> None:
    """Put the page before Dask's own, also where that has a prefix.

    A prefix is what `dask scheduler --dashboard-prefix` was given, if anything.
    """
    application = server.http_application
    rules = application.default_router.rules
    before = list(rules)
    routes = {
        base + path: handler
        for base in ("", _prefix(application))
        for path, handler in _HANDLERS.items()
    }
    application.add_handlers(
        r".*$", [(path, handler, {"dask_server": server}) for path, handler in routes.items()]
    )
    for rule in rules:
        if rule not in before:
            undo.callback(rules.remove, rule)


def _prefix(application: Any) -> str:
    for rule in application.wildcard_router.rules:
        pattern = getattr(getattr(rule.matcher, "regex", None), "pattern", "")
        if pattern.endswith("/metrics$"):
            return pattern.removesuffix("/metrics$")
    return ""
