"""Which software made a record: this package's version, and those of the packages that results depend on."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from segagent.core.extensions import extension_versions

__version__ = "0.2.0"
"""Of this package, ``segagent.__version__``; the build reads it here."""


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = [("segagent", __version__)]
    for name in ("numpy", "torch", "opencv-python-headless"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def package_versions(*used: object) -> dict[str, str]:
    """Versions of the packages that a result depends on, by distribution name; absent ones are left out.

    For what was ``used`` (policy, tool, data set) and is not ours also its module and the version of that, see
    :func:`segagent.core.extensions.extension_versions`.
    """
    return dict(_installed()) | extension_versions(*used)
