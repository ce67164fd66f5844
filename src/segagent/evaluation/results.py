"""``results.json`` out of stored trajectories: no model, no data set, and shards merged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from segagent.core import SCHEMA, InputError, Trajectory
from segagent.core.failures import Failure
from segagent.core.texts import read_json
from segagent.evaluation.bootstrap import Interval
from segagent.evaluation.calibration import reliability
from segagent.evaluation.measuring import CLICK_TARGETS, MeasuredSample, Protocol, Rules, measure
from segagent.evaluation.metrics import Sums, agreement
from segagent.evaluation.selection import Selection
from segagent.imaging.writing import write_bytes
from segagent.runs.journal import read_journal
from segagent.runs.stored import SKIPPED_SCHEMA, TRAJECTORIES_FILE, stored_images

RESULTS_FILE = "results.json"
RESULTS_SCHEMA = "segagent.results/1"


@dataclass(frozen=True)
class EvaluationRun:
    """One evaluation, perhaps in several ``files`` (its shards). ``config`` is what they have in common."""

    files: tuple[Path, ...]
    config: dict[str, Any]
    dataset: str
    num_images: int
    versions: dict[str, str]

    def rules(self, select: Selection) -> Rules:
        """How its trajectories are to be read."""
        protocol = cast(Protocol, self.config["protocol"])
        steps = self.config.get("max_clicks") if protocol == "noc" else self.config.get("max_steps", 1)
        return Rules(protocol, int(steps or 1), select, bool(self.config.get("use_prm", False)))


@dataclass(frozen=True)
class Found:
    """One measured trajectory: ``index`` counts all trajectories of the run, files in order.

    ``iou`` in [0, 1] is that of the selected ``state``.
    """

    index: int
    sample_id: str
    image: str
    text: str
    state: int
    iou: float


@dataclass
class _Content:
    """What else a run's records say, filled in while they are measured."""

    found: list[Found] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    units: set[int] = field(default_factory=set)
    skipped: int = 0


def open_runs(paths: Sequence[str | Path]) -> list[EvaluationRun]:
    """The runs that ``paths`` (folders of ``segagent evaluate``, or their trajectories.jsonl) hold.

    Shards of one evaluation, which differ in nothing but the shard, make one run. Raises ``InputError`` for what is no
    evaluation, and for shards that overlap.
    """
    groups: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for given in paths:
        path = Path(given)
        file = path / TRAJECTORIES_FILE if path.is_dir() else path
        header, _ = read_journal(file)
        config = header.get("config")
        if not isinstance(config, dict) or config.get("what") != "evaluation":
            raise InputError(f"{file}: not made by segagent evaluate; give the folder that its option --out named")
        common = {name: value for name, value in config.items() if name != "shard"}
        groups.setdefault(json.dumps(common, sort_keys=True), []).append((file, header))
    return [_run(json.loads(common), files) for common, files in groups.items()]


def _run(config: dict[str, Any], files: list[tuple[Path, dict[str, Any]]]) -> EvaluationRun:
    shards = [str(header["config"].get("shard")) for _, header in files]
    parts = {shard.partition("/")[2] for shard in shards}
    if len(set(shards)) < len(shards) or len(parts) > 1:
        told = ", ".join(f"{file} ({shard})" for (file, _), shard in zip(files, shards, strict=True))
        raise InputError(f"these are no parts of one whole: {told}; give each part of one division i/n once")
    files.sort(key=lambda one: int(str(one[1]["config"].get("shard")).partition("/")[0]))
    notes = [header.get("notes") or {} for _, header in files]
    names = sorted({name for note in notes for name in note.get("versions", {})})
    versions = {
        name: " / ".join(sorted({str(note["versions"][name]) for note in notes if name in note.get("versions", {})}))
        for name in names
    }
    return EvaluationRun(
        tuple(file for file, _ in files),
        config,
        str(notes[0].get("dataset", "")),
        int(notes[0].get("num_images", 0)),
        versions,
    )


def read_samples(run: EvaluationRun) -> Iterator[tuple[int, dict[str, Any]]]:
    """(image's place in the data set, record) of every record of a run, file by file.

    A last image that a stopped evaluation left unfinished is left out, and what was tried again takes the place of what
    had failed.
    """
    for file in run.files:
        for unit, records in stored_images(file):
            yield from ((unit, record) for record in records)


def judged_samples(run: EvaluationRun) -> Iterator[MeasuredSample]:
    """The run's trajectories, in the order that ``Found.index`` counts. Raises ``InputError`` for a damaged record."""
    for _, record in read_samples(run):
        sample = judged_of(record)
        if sample is not None:
            yield sample


def judged_of(record: dict[str, Any]) -> MeasuredSample | None:
    """The stored sample, None for a record of something else. Raises ``InputError`` naming a damaged one."""
    if record.get("schema") != SCHEMA:
        return None
    try:
        seconds = float(record["elapsed"])
        return MeasuredSample(Trajectory.from_dict(record), record["target"], record["ignore"], seconds)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"sample {record.get('sample_id')!r:.80}: damaged record ({error})") from error


def measure_run(run: EvaluationRun, select: Selection = "returned") -> tuple[dict[str, Any], list[Found]]:
    """The results of a run, JSON-ready, and its trajectories with what each adds to them.

    Raises ``InputError`` naming file and sample where a record is damaged.
    """
    rules = run.rules(select)
    content = _Content()
    sums = Sums.total(_measured(run, rules, content))
    found = content.found
    pairs = sums.pairs
    intervals = {**sums.intervals(), **agreement(pairs)}
    results: dict[str, Any] = {
        "schema": RESULTS_SCHEMA,
        "protocol": rules.protocol,
        "select": select,
        "metrics": {name: _plain(interval) for name, interval in _in_order(intervals).items()},
        "counts": {
            "samples": len({one.sample_id for one in found}),
            "trajectories": len(found),
            "images": len(content.units),
            "images_in_dataset": run.num_images,
            "with_target": round(sums.sum_of("T-acc")[1]),
            "no_target": round(sums.sum_of("N-acc")[1]),
            "predicted_ious": len(pairs),
            "skipped": content.skipped,
            "failed": len(content.failures),
        },
        "complete": len(content.units) >= run.num_images,
        "reliability": [asdict(one) for one in reliability([p[0] for p in pairs], [p[1] for p in pairs])]
        if pairs
        else [],
        "failures": [{"sample_id": f.sample_id, "image": f.image, "reason": f.reason} for f in content.failures],
        "dataset": run.dataset,
        "config": run.config,
        "versions": run.versions,
    }
    if rules.protocol == "filter":
        del results["counts"]["with_target"], results["counts"]["no_target"]
    if rules.protocol == "noc" and found:
        for threshold in CLICK_TARGETS:
            percent = round(100 * threshold)
            results["metrics"][f"NoC@{percent}"]["failures"] = round(sums.sum_of(f"failed@{percent}")[0])
    return results, found


def _measured(run: EvaluationRun, rules: Rules, content: _Content) -> Iterator[Sums]:
    """What each trajectory adds; one at a time, since a run may hold more than fits the memory."""
    for unit, record in read_samples(run):
        content.units.add(unit)
        failure = Failure.from_dict(record)
        if failure is not None:
            content.failures.append(failure)
        content.skipped += record.get("schema") == SKIPPED_SCHEMA
        sample = judged_of(record)
        if sample is None:
            continue
        try:
            measured = measure(sample, rules)
        except ValueError as error:
            raise InputError(f"sample {record.get('sample_id')!r:.80}: damaged record ({error})") from error
        about = sample.trajectory
        content.found.append(
            Found(len(content.found), about.sample_id, about.image, about.text, measured.state, measured.iou)
        )
        yield measured.sums


def write_results(results: dict[str, Any], out: str | Path) -> Path:
    """Write ``results.json`` into the folder ``out``, whole or not at all."""
    path = Path(out) / RESULTS_FILE
    write_bytes(path, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode("ascii"))
    return path


def read_results(out: str | Path) -> dict[str, Any]:
    """What :func:`write_results` wrote. Raises ``InputError``."""
    results: dict[str, Any] = read_json(Path(out) / RESULTS_FILE, "expected the results of an evaluation")
    return results


_FIRST = ("gIoU", "cIoU", "bIoU", "Pr@", "IoU@", "NoC@", "failed@", "AUC", "N-acc", "T-acc")


def _in_order(intervals: dict[str, Interval]) -> dict[str, Interval]:
    """The metrics people look for first, then the others by name; numbers in names by size."""

    def place(name: str) -> tuple[int, str, float]:
        kind = next((n for n, prefix in enumerate(_FIRST) if name.startswith(prefix)), len(_FIRST))
        word, at, number = name.partition("@")
        return kind, word, float(number) if at else 0.0

    return {name: intervals[name] for name in sorted(intervals, key=place)}


def _plain(interval: Interval) -> dict[str, float | None]:
    """JSON form; what is not known is null."""
    return {name: value if math.isfinite(value) else None for name, value in interval.to_dict().items()}
