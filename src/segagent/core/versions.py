"""Which software made a record: this package's version, and those of the packages that results depend on."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

__version__ = "0.1.0"
"""Of this package, ``segagent.__version__``; the one in pyproject.toml is the same."""


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = [("segagent", __version__)]
    for name in ("numpy", "torch", "opencv-python-headless"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, by distribution name; absent ones are left out."""
    return dict(_installed())
