"""Which software made a policy's answers."""

from __future__ import annotations

from segagent.core import Policy
from segagent.core.versions import package_versions


def versions_with(policy: Policy | None, *others: object) -> dict[str, str]:
    """:func:`segagent.core.versions.package_versions`, and what else decides the answers of ``policy``.

    That is ``embedded policy precision`` for an embedded one: the number format that its networks compute in here, see
    :mod:`segagent.cpu`. ``others`` (tool, data set) are told where they are not ours.
    """
    versions = package_versions(policy, *others)
    if policy is not None and policy.name.startswith("embedded"):
        from segagent.cpu import precision  # Not above: it loads torch, which other policies do without.

        versions["embedded policy precision"] = precision()
    return versions
