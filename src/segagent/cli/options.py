"""Options that several commands have: declared once as a dataclass, handed over as one value."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_type_hints

_R = TypeVar("_R")


class Options(Protocol):
    """A frozen dataclass whose fields are annotated with ``typer.Option``, each with a default."""

    PANEL: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


def takes(
    kind: type[Options], *left_out: str, panel: str | None = None
) -> Callable[[Callable[..., _R]], Callable[..., _R]]:
    """A command with a parameter of the type ``kind``, a frozen dataclass of options, gets its options instead.

    Those ``left_out`` it does not have; they keep their defaults. ``panel``: the heading of the help page that they
    stand below, instead of ``kind.PANEL``.
    """
    heading = panel or kind.PANEL
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in fields(kind) if field.name not in left_out]

    def decorate(command: Callable[..., _R]) -> Callable[..., _R]:
        signature = inspect.signature(command, eval_str=True)
        added = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(kind, name),
                annotation=_below(hints[name], heading),
            )
            for name in names
        ]
        own = list(signature.parameters.values())
        place = next(place for place, one in enumerate(own) if one.annotation is kind)

        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> _R:
            options = kind(**{name: kwargs.pop(name) for name in names if name in kwargs})
            return command(*args, **kwargs, **{own[place].name: options})

        parameters = [*own[:place], *added, *own[place + 1 :]]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def given(options: Options) -> dict[str, object]:
    """Those of the options that are not as they are by default, by name."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in values.items() if value != getattr(type(options), name)}


def _below(hint: Any, heading: str) -> Any:
    """An annotated option below a heading of the help page."""
    option = copy.copy(hint.__metadata__[0])
    option.rich_help_panel = heading
    return Annotated[hint.__origin__, option]
