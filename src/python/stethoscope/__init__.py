"""Listen to a busy process without disturbing it.

Installed beside Dask, this package serves the metrics of every scheduler and
worker at `/metrics` of its dashboard's address; see `stethoscope.dask`.
Importing it starts nothing.
"""

from stethoscope._native import __version__

__all__ = ["__version__"]
