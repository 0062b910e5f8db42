"""The page as a route of Dask's own HTTP server.

It answers where the port could not be taken over, and what asks for the page
on a connection that was handed to Dask before: tornado keeps those.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tornado.web import HTTPError, RequestHandler

PATHS = ("/metrics", "/metrics/")


class MetricsHandler(RequestHandler):
    """Answers GET and HEAD with the page of one server."""

    def initialize(self, dask_server: Any = None) -> None:
        self._server = dask_server

    def get(self) -> None:
        # Here, not above: `attach` adds this route.
        from stethoscope.dask.attach import attach

        # By way of `routes` in the configuration nothing has attached before.
        attachment = attach(self._server)
        if attachment is None:
            raise HTTPError(404, reason="stethoscope is switched off")
        body, content_type = attachment.render(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(body)

    head = get

    def compute_etag(self) -> None:
        # The page differs at every scrape.
        return None


#: What `distributed.*.http.routes` reads.
ROUTES = [(path, MetricsHandler, {}) for path in PATHS]


def add_route(undo: ExitStack, server: Any) -> None:
    """Put the page before Dask's own, also where that has a prefix.

    A prefix is what `dask scheduler --dashboard-prefix` was given, if anything.
    """
    application = server.http_application
    rules = application.default_router.rules
    before = list(rules)
    paths = dict.fromkeys(base + path for base in ("", _prefix(application)) for path in PATHS)
    application.add_handlers(
        r".*$", [(path, MetricsHandler, {"dask_server": server}) for path in paths]
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
