"""Probes to page: one sample of a server, taken on its event loop."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from stethoscope._native import Page
from stethoscope.dask.probes import Probe

logger = logging.getLogger("stethoscope.dask")


class Sampler:
    """Takes samples of one server.

    A probe that fails, because this version of Dask lacks what it reads, costs
    its own family for as long as it fails and nothing else; the log says so
    once.
    """

    def __init__(self, server: Any, page: Page, probes: Mapping[str, Probe]) -> None:
        self._server = server
        self._families = list(probes)
        self._probes = list(probes.values())
        self._samples = page.samples(self._families)
        self._told: set[str] = set()

    def sample(self) -> None:
        """Read every probe, and publish what they say."""
        server = self._server
        try:
            self._samples.publish([probe(server) for probe in self._probes])
        except Exception:
            self._one_by_one()

    def _one_by_one(self) -> None:
        for index, probe in enumerate(self._probes):
            try:
                self._samples.publish_one(index, probe(self._server))
            except Exception as error:
                self._samples.withdraw(index)
                self._tell(self._families[index], error)
        self._samples.taken()

    def _tell(self, family: str, error: Exception) -> None:
        if family not in self._told:
            self._told.add(family)
            logger.warning("%s is not shown: %s: %s", family, type(error).__name__, error)
