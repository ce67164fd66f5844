"""Makes links of the roles in our docstrings (``:func:`` and so on), for the reference that mkdocstrings writes."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """See griffe; called when all modules of ``pkg`` are there."""
        self._rewrite(pkg)

    def _rewrite(self, one: griffe.Object) -> None:
        if one.docstring is not None:
            one.docstring.value = ROLE.sub(lambda match: self._link(match[1], one), one.docstring.value)
        for member in one.members.values():
            if not member.is_alias:
                self._rewrite(member)  # type: ignore[arg-type]  # What is no alias is an object.

    def _link(self, name: str, where: griffe.Object) -> str:
        """``name`` as code, with a link where the reference has it."""
        try:
            full = name if name.startswith("segagent.") else where.resolve(name)
        except griffe.NameResolutionError:
            return f"`{name}`"
        return f'<autoref identifier="{full}" optional><code>{name}</code></autoref>'
