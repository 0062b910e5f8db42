"""The exceptions of this package.

ValueError
+-- ParseError      a page breaks its format
Exception
+-- Unavailable     a page cannot be served in the way that was asked for
"""

from __future__ import annotations


class ParseError(ValueError):
    """A page breaks its format. As text, it shows the line and the position."""

    #: The reason, in words.
    reason: str
    #: The position, from 0: a character of a `str`, a byte of `bytes`.
    offset: int
    #: The line, from 1.
    line: int
    #: The character in the line, from 1.
    column: int

    def __init__(self, reason: str, offset: int, line: int, column: int, shown: str) -> None:
        # All of them, so that it can be pickled.
        super().__init__(reason, offset, line, column, shown)
        self.reason = reason
        self.offset = offset
        self.line = line
        self.column = column
        self._shown = shown

    def __str__(self) -> str:
        return self._shown


class ConfigError(ValueError):
    """A value in Dask's configuration cannot be used: what was expected, what was found."""


class Unavailable(Exception):
    """A page cannot be served in the way that was asked for.

    The caller falls back to the next way.
    """
