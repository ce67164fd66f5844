"""``segagent export`` and ``import``: masks to other programs, and people's corrections back."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.accepting import AcceptOptions, tell_decision
from segagent.cli.common import OnlyOption, chosen_run
from segagent.cli.console import EXIT_SOME_FAILED, one_line, print_object, reporting_errors, say, waiting, warn
from segagent.cli.options import takes

if TYPE_CHECKING:
    from segagent.annotation.batch import Decision
    from segagent.annotation.interop import ImportReport, Recorded
    from segagent.annotation.interop.answers import Report
    from segagent.annotation.people import EventKind

_MAX_LISTED = 20
_KINDS: tuple[EventKind, ...] = ("corrected", "confirmed", "relabelled", "removed", "added")
"""What people can do in other programs."""
_NO_MASK = {"not_found": "was not found", "empty": "has an empty mask"}
"""Reasons to have no mask that are answers, not failures."""


@reporting_errors
@takes(AcceptOptions)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)],
    *,
    to: Annotated[
        str, typer.Option("--to", help="coco, label-studio, cvat, yolo-seg, masks, parquet; or trajectories.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file; for yolo-seg and masks the folder.")],
    accepting: AcceptOptions,
    only: OnlyOption = None,
    only_accepted: Annotated[bool, typer.Option("--only-accepted", help="Leave out what --accept does not.")] = False,
    image_prefix: Annotated[
        str, typer.Option("--image-prefix", help="label-studio: what stands before the images' names.")
    ] = "/data/local-files/?d=",
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="yolo-seg: how far polygons may lie from outlines, in pixels.")
    ] = 0.5,
    val: Annotated[
        float, typer.Option("--val", help="yolo-seg: the share of pictures for validation; 0 to split nothing off.")
    ] = 0.2,
    split_seed: Annotated[int, typer.Option("--split-seed", help="yolo-seg: draws other pictures for it.")] = 0,
    best_tries: Annotated[
        bool,
        typer.Option(
            "--best-tries",
            help="label-studio, cvat: what came nearest to an object that was not found too, with its low score.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Write a run's masks, as people left them, in a format that other programs read.

    trajectories: what people clicked, for 'segagent train sft', and their masks in a folder beside, for 'train star'.
    """
    from segagent.annotation.batch import open_run, warnings_of
    from segagent.annotation.interop import ExportOptions, export_run

    opened = chosen_run(open_run(run), only)
    decision = accepting.decide(opened)
    accepted = None if decision is None else frozenset(decision.accepted)
    options = ExportOptions(
        accepted=accepted,
        only_accepted=only_accepted,
        force=force,
        image_prefix=image_prefix,
        tolerance=tolerance,
        val_share=val,
        split_seed=split_seed,
        best_tries=best_tries,
    )
    with waiting("export", quiet=as_json):
        report = export_run(opened, to, out, options)
    warnings = warnings_of(opened)
    if as_json:
        print_object({**_summary(report, to, out, decision), "warnings": warnings})
    else:
        for line in warnings:
            warn(line)
        _tell(report, out)
        if decision is not None:
            tell_decision(decision)
    if report.num_images_left or any(one.reason not in _NO_MASK for one in report.without):
        raise typer.Exit(EXIT_SOME_FAILED)


@reporting_errors
def import_(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Label Studio's or COCO's JSON, or CVAT's XML, with corrected masks.",
            show_default=False,
        ),
    ],
    *,
    run: Annotated[Path, typer.Option("--run", help="The run whose masks were corrected.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Make a folder of the corrections instead: a data set, training data, checked masks. The run's record "
            "stays as it is.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None, typer.Option("--format", help="coco, label-studio or cvat. [default: told by the file]")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Who made the corrections, where the file does not tell.")
    ] = None,
    unchanged_counts: Annotated[
        bool, typer.Option("--unchanged-counts", help="Masks as they were exported count as seen by a person.")
    ] = False,
    deletions: Annotated[
        bool | None,
        typer.Option(
            "--deletions/--no-deletions",
            help="Whether objects that the file's pictures lack were deleted by a person. "
            "[default: yes, unless the export was divided by --accept]",
            show_default=False,
        ),
    ] = None,
    tool: Annotated[
        str | None, typer.Option("--tool", help="What turns clicks into masks. [default: the run's]")
    ] = None,
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="At most so many clicks.")] = 11,
    tau_stop: Annotated[float, typer.Option("--tau-stop", help="Stop once the IoU reaches this.")] = 0.95,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier import of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")] = False,
) -> None:
    """Take corrections that people made in another program into the run's record: exports hold them from then on.

    The same file adds nothing a second time.
    """
    from functools import partial

    from segagent.annotation.batch import open_run
    from segagent.annotation.interop import ImportOptions, RecordOptions, import_corrections, record_corrections
    from segagent.core import InputError
    from segagent.core.extensions import from_record
    from segagent.environment import GenerationConfig
    from segagent.tools import make_tool

    if not 0 <= tau_stop <= 1:
        raise InputError("--tau-stop must lie in 0..1")
    opened = open_run(run)
    if out is None:
        if tool is not None or force:
            raise InputError("--tool and --force go with -o: the run's record needs neither")
        with waiting("import", quiet=as_json):
            recorded = record_corrections(opened, file, RecordOptions(kind, by, unchanged_counts, deletions))
        if as_json:
            print_object(_record_summary(recorded, run))
        else:
            _tell_recorded(recorded, run)
        if recorded.problems:
            raise typer.Exit(EXIT_SOME_FAILED)
        return
    with waiting("import", quiet=as_json):
        report = import_corrections(
            opened,
            file,
            out,
            partial(make_tool, tool or from_record(str(opened.notes.get("tool", "embedded")), run)),
            ImportOptions(kind, by, unchanged_counts, deletions, GenerationConfig(max_steps, tau_stop), force),
        )
    if as_json:
        print_object(_import_summary(report, out))
    else:
        _tell_import(report, out)
    if report.problems or report.failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _record_summary(recorded: Recorded, run: Path) -> dict[str, Any]:
    from segagent.annotation.people import PEOPLE_FILE

    return {
        "record": str(run / PEOPLE_FILE),
        "events": len(recorded.events),
        "known": recorded.num_known,
        **_matching(recorded),
    }


def _tell_recorded(recorded: Recorded, run: Path) -> None:
    from segagent.annotation.people import PEOPLE_FILE

    _warn_all([f"{one.where}: {one.reason}" for one in recorded.problems])
    told = ", ".join(f"{recorded.kinds[kind]} {kind}" for kind in _KINDS if recorded.kinds[kind])
    say(f"{len(recorded.events)} new events ({told or 'none'}): {one_line(str(run / PEOPLE_FILE))}")
    if recorded.num_known:
        say(f"{recorded.num_known} more are in the record already, from the same file")
    _tell_matching(recorded)
    if recorded.num_untouched:
        say(f"{recorded.num_untouched} objects are as they were exported (--unchanged-counts: as looked at)")
    if recorded.events:
        say(f"next: segagent export {one_line(str(run))} --to coco -o final.json")


def _matching(report: ImportReport | Recorded) -> dict[str, Any]:
    return {
        **{kind: report.kinds[kind] for kind in _KINDS},
        "untouched": report.num_untouched,
        "missing": report.num_missing,
        "matched_by": dict(sorted(report.matched.items())),
        "problems": [{"where": one.where, "reason": one.reason} for one in report.problems],
    }


def _tell_matching(report: ImportReport | Recorded) -> None:
    """Say what was found by what, what was removed, and what was not known to be."""
    for how, words in {"overlap": "picture and overlap", "label": "picture and label"}.items():
        if report.matched[how]:
            say(f"{report.matched[how]} of them found by {words}, for their ids name other objects or none")
    if report.kinds["removed"]:
        say("removed: the file has their pictures, not them; if it was only a part of the export, give --no-deletions")
    if report.num_missing:
        say(f"{report.num_missing} objects are not in the file and were left as they are (--deletions removes them)")


def _warn_all(lines: list[str]) -> None:
    for line in lines[:_MAX_LISTED]:
        warn(line)
    if len(lines) > _MAX_LISTED:
        warn(f"and {len(lines) - _MAX_LISTED} more; --json lists all")


def _import_summary(report: ImportReport, out: Path) -> dict[str, Any]:
    return {
        "import": str(out),
        "masks": report.num_masks,
        "changed": report.num_changed,
        "trajectories": report.num_trajectories,
        "checked": len(report.checked),
        **_matching(report),
        "failed": [{"object_id": one.sample_id, "image": one.image, "reason": one.reason} for one in report.failures],
    }


def _tell_import(report: ImportReport, out: Path) -> None:
    lines = [f"{one.where}: {one.reason}" for one in report.problems]
    _warn_all(lines + [f"object {one.sample_id}: no trajectory: {one.reason}" for one in report.failures])
    kinds = report.kinds
    told = ", ".join(f"{kinds[kind]} {kind}" for kind in _KINDS if kinds[kind])
    say(f"{report.num_masks} masks by people, {report.num_changed} of them changed: {one_line(str(out))}")
    say(f"what they did: {told} ({out / 'events.jsonl'})")
    _tell_matching(report)
    if report.num_untouched:
        say(f"{report.num_untouched} masks are as they were exported and were left out (--unchanged-counts takes them)")
    if report.num_trajectories:
        say(f"{report.num_trajectories} trajectories for training: segagent train sft {out / 'trajectories.jsonl'}")
    say(f"{len(report.checked)} checked masks: {out / 'checked.json'}")
    say("the run's record is as it was: without -o exports of the run hold the corrections")


def _summary(report: Report, kind: str, out: Path, decision: Decision | None) -> dict[str, Any]:
    listed = [{"object_id": o.object_id, "image": o.image, "text": o.text, "reason": o.reason} for o in report.without]
    return {
        "export": str(out),
        "format": kind,
        "masks": report.written.total(),
        "outcomes": dict(sorted(report.written.items())),
        **({} if decision is None else {"accept": decision.to_dict()}),
        "not_found": [one for one in listed if one["reason"] == "not_found"],
        "empty": [one for one in listed if one["reason"] == "empty"],
        "failed": [one for one in listed if one["reason"] not in _NO_MASK],
        "removed": [{"object_id": o.object_id, "image": o.image, "reason": o.reason} for o in report.removed],
        "images_left": report.num_images_left,
        **report.more,
    }


def _tell(report: Report, out: Path) -> None:
    for one in report.without[:_MAX_LISTED]:
        words = _NO_MASK.get(one.reason, f"failed: {one.reason}")
        warn(f"object {one.object_id} {words}" + (f" ({one.text!r} in {one.image})" if one.text else ""))
    if len(report.without) > _MAX_LISTED:
        warn(f"and {len(report.without) - _MAX_LISTED} more objects without a mask; --json lists all")
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(report.written.items()))
    say(f"{report.written.total()} masks ({counts or 'none'}): {one_line(str(out))}")
    reasons = Counter(one.reason if one.reason in _NO_MASK else "failed" for one in report.without)
    if reasons:
        parts = (f"{count} {name.replace('_', ' ')}" for name, count in sorted(reasons.items()))
        say(f"without a mask: {', '.join(parts)}")
    for name, value in report.more.items():
        told = ", ".join(f"{count} {what}" for what, count in value.items()) if isinstance(value, dict) else value
        say(f"{name.replace('_', ' ')}: {told}")
