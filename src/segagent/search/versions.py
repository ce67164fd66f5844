"""Which software made a record."""

from __future__ import annotations

import sys
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
    """Versions of the packages that a result depends on, by distribution name; absent ones are left out.

    Where this process has loaded the embedded policy's network, ``embedded policy precision`` is the number format that
    it computes in here, see :mod:`segagent.cpu`.
    """
    versions = dict(_installed())
    if "segagent.policies.network" in sys.modules:  # Else torch would be loaded for those who do without it.
        from segagent.cpu import precision

        versions["embedded policy precision"] = precision()
    return versions
