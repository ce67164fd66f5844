"""What turns clicks into masks. ``make_tool`` makes any of them from its specification string."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segagent.core import SegmentationTool, SpecError
from segagent.core.extensions import TOOL, make_extension

__all__ = ["TOOLS", "make_tool"]


# Imports happen inside: naming a tool must not cost the import of torch.
def _embedded(argument: str) -> SegmentationTool:
    from segagent.tools.embedded.tool import EmbeddedTool

    return EmbeddedTool(Path(argument) if argument else None)


def _grabcut(argument: str) -> SegmentationTool:
    from segagent.tools.grabcut import GrabCutTool

    _refuse("grabcut", argument)
    return GrabCutTool()


def _disc(argument: str) -> SegmentationTool:
    from segagent.tools.fake import DiscTool

    _refuse("disc", argument)
    return DiscTool()


def _sam(kind: str) -> Callable[[str], SegmentationTool]:
    def make(argument: str) -> SegmentationTool:
        from segagent.tools.sam import make_sam

        return make_sam(kind, argument)

    return make


def _simpleclick(argument: str) -> SegmentationTool:
    from segagent.tools.simpleclick import make_simpleclick

    return make_simpleclick(argument)


TOOLS: dict[str, Callable[[str], SegmentationTool]] = {
    "embedded": _embedded,
    "grabcut": _grabcut,
    "disc": _disc,
    "sam": _sam("sam"),
    "samhq": _sam("samhq"),
    "sam2": _sam("sam2"),
    "sam3": _sam("sam3"),
    "simpleclick": _simpleclick,
}
"""Every kind of tool: what makes one from the text after the colon of its specification ('' where there is none)."""


def make_tool(spec: str) -> SegmentationTool:
    """The tool that ``spec`` names.

    - ``embedded``: the network that comes with the package; ``embedded:FILE`` with weights of your own.
    - ``grabcut``: OpenCV's grabCut, without weights.
    - ``disc``: a disc per click, for tests.
    - ``sam:DIR``, ``samhq:DIR``, ``sam2:DIR``, ``sam3:DIR`` (or a hub name): the SAM family through transformers.
    - ``simpleclick:FILE``: SimpleClick with published weights.
    - ``python:MODULE:FACTORY[:name=value,...]``, or the name of an installed one: a tool of your own, docs/extend.md.

    Options follow the checkpoint, as in ``sam:DIR?device=cpu``; ``docs/tools.md`` has them all.

    Raises ``SpecError`` for any other string, ``WeightsError`` where a tool's weights are missing or damaged, and
    ``MissingExtraError`` where a package is not installed.
    """
    kind, colon, argument = spec.partition(":")
    make = TOOLS.get(kind)
    if make is not None and (argument or not colon):
        return make(argument)
    made: SegmentationTool | None = None if make is not None else make_extension(TOOL, spec)
    if made is None:
        known = ", ".join([*TOOLS, *TOOL.installed(), "python:MODULE:FACTORY"])
        raise SpecError(f"unknown tool {spec!r}; known tools: {known}")
    return made


def _refuse(kind: str, argument: str) -> None:
    if argument:
        raise SpecError(f"the tool {kind!r} takes no argument, got {kind}:{argument}; write just {kind!r}")
