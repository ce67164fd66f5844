"""Which software made a record."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

import segagent
from segagent.core import Policy
from segagent.core.extensions import extension_versions


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    found = [("segagent", segagent.__version__)]
    for name in ("numpy", "torch", "opencv-python-headless"):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return tuple(found)


def package_versions(policy: Policy | None = None, *others: object) -> dict[str, str]:
    """Versions of the packages that a result depends on, by distribution name; absent ones are left out.

    For an embedded ``policy`` also ``embedded policy precision``: the number format that its networks compute in here,
    see :mod:`segagent.cpu`. For a policy and ``others`` (tool, data set) that are not ours also the module and its
    version, see :func:`segagent.core.extensions.extension_versions`.
    """
    versions = dict(_installed()) | extension_versions(policy, *others)
    if policy is not None and policy.name.startswith("embedded"):
        from segagent.cpu import precision  # Not above: it loads torch, which other policies do without.

        versions["embedded policy precision"] = precision()
    return versions
