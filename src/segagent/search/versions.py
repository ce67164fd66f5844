"""Which software made a record."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

import segagent


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = [("segagent", segagent.__version__)]
    for name in ("numpy", "torch", "opencv-python-headless"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on, by distribution name; absent ones are left out."""
    return dict(_installed())
