"""``segagent export`` and ``import``: masks to other programs, and people's corrections back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.console import EXIT_SOME_FAILED, one_line, print_object, reporting_errors, say, waiting, warn

if TYPE_CHECKING:
    from segagent.annotation.batch import Run
    from segagent.annotation.interop.answers import Report

_MAX_LISTED = 20
_NO_MASK = {"not_found": "was not found", "empty": "has an empty mask"}
"""Reasons to have no mask that are answers, not failures."""


@reporting_errors
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    *,
    to: Annotated[str, typer.Option("--to", help="coco, label-studio, cvat, yolo-seg, masks or parquet.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file; for yolo-seg and masks the folder.")],
    accept: Annotated[
        float | None,
        typer.Option("--accept", metavar="PRECISION", help="Take as final as many masks as keep this precision."),
    ] = None,
    iou_bar: Annotated[float, typer.Option("--iou-bar", help="With --accept: from this IoU on a mask is right.")] = 0.9,
    checked: Annotated[
        Path | None, typer.Option("--checked", help="With --accept: masks that people have checked (checked.json).")
    ] = None,
    only_accepted: Annotated[bool, typer.Option("--only-accepted", help="Leave out what --accept does not.")] = False,
    image_prefix: Annotated[
        str, typer.Option("--image-prefix", help="label-studio: what stands before the images' names.")
    ] = "/data/local-files/?d=",
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="yolo-seg: how far polygons may lie from outlines, in pixels.")
    ] = 0.5,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Write a run's masks in a format that other programs read."""
    from segagent.annotation.batch import open_run
    from segagent.annotation.interop import ExportOptions, export_run

    opened = open_run(run)
    accepted = None if accept is None else _accepted(opened, accept, iou_bar, checked)
    with waiting("export", quiet=as_json):
        report = export_run(opened, to, out, ExportOptions(accepted, only_accepted, force, image_prefix, tolerance))
    if as_json:
        print_object(_summary(report, to, out, accept))
    else:
        _tell(report, out, accept)
    if report.num_images_left or any(one.reason not in _NO_MASK for one in report.without):
        raise typer.Exit(EXIT_SOME_FAILED)


def _accepted(run: Run, precision: float, iou_bar: float, checked: Path | None) -> frozenset[str]:
    """The objects whose masks are taken as final. Raises ``InputError`` where that cannot be decided."""
    import importlib

    decision = importlib.import_module("segagent.annotation.batch.accept").decide(run, precision, iou_bar, checked)
    for warning in decision.warnings:
        warn(warning)
    return frozenset(decision.accepted)


def _summary(report: Report, kind: str, out: Path, accept: float | None) -> dict[str, Any]:
    listed = [{"object_id": o.object_id, "image": o.image, "text": o.text, "reason": o.reason} for o in report.without]
    return {
        "export": str(out),
        "format": kind,
        "masks": report.written.total(),
        "outcomes": dict(sorted(report.written.items())),
        **({} if accept is None else {"accepted": report.num_accepted, "not_accepted": report.num_not_accepted}),
        "not_found": [one for one in listed if one["reason"] == "not_found"],
        "empty": [one for one in listed if one["reason"] == "empty"],
        "failed": [one for one in listed if one["reason"] not in _NO_MASK],
        "images_left": report.num_images_left,
        **report.more,
    }


def _tell(report: Report, out: Path, accept: float | None) -> None:
    for one in report.without[:_MAX_LISTED]:
        words = _NO_MASK.get(one.reason, f"failed: {one.reason}")
        warn(f"object {one.object_id} {words}" + (f" ({one.text!r} in {one.image})" if one.text else ""))
    if len(report.without) > _MAX_LISTED:
        warn(f"and {len(report.without) - _MAX_LISTED} more objects without a mask; --json lists all")
    if report.num_images_left:
        warn(f"the run has not come to {report.num_images_left} of its images; go on with it and export again")
    counts = ", ".join(f"{count} {name}" for name, count in sorted(report.written.items()))
    say(f"{report.written.total()} masks ({counts or 'none'}): {one_line(str(out))}")
    if accept is not None:
        say(f"accepted {report.num_accepted}, for people to see {report.num_not_accepted}")
    reasons = Counter(one.reason if one.reason in _NO_MASK else "failed" for one in report.without)
    if reasons:
        parts = (f"{count} {name.replace('_', ' ')}" for name, count in sorted(reasons.items()))
        say(f"without a mask: {', '.join(parts)}")
    for name, value in report.more.items():
        say(f"{name.replace('_', ' ')}: {value}")
