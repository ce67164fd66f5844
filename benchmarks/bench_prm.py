"""Does the predicted IoU tell right masks from wrong ones on photographs, and what does a refine gain by it?

    python benchmarks/bench_prm.py --expressions REFCOCO_DEV --photographs COCO_SMALL --photographs VOC_ANIMALS \\
        -o measured --policy embedded --tool embedded --json prm.json

Of the COCO-format folders only pictures whose id is a multiple of --every count (20: what nothing was trained or fitted
on), with the category's name as the text; of a folder with a manifest all. Half of the masks are spoiled in known ways
(as by ``segagent corrupt``), then audited and refined as by the commands (interrupted, the same command goes on).

AUROC of each kind of spoiled mask against the clean ones, by what is asked for separately:
"tool, box" and "tool, click": IoU of the mask with what the tool makes of its box, of one click at its deepest point
(no policy and no words); "hypotheses": the embedded policy's IoU without its process reward model; "outline": its
text-free part alone; "predicted IoU": as the audit has it, calibrated; "audit's order": what an audit sorts by.
Then what the refine gained, and how predicted and true IoU agree over the states of the policy's own episodes, on the
expressions and on made sentences about the photographs: their Pearson correlation, and the expected calibration error
and share accepted at IoU 0.8 of what was predicted, and of what is expected of it (calibrated, by doubts too).
Intervals are 95 % bootstrap by picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from bench_repair import measure
from repair_metrics import NAMED, Mended, repair_metrics
from segagent.annotation.batch import RunConfig, audit_score, make_models, open_run, run_job
from segagent.core import Box, Click, Observation, SegmentationTool, SegmentRequest, empty_mask, iou
from segagent.core.texts import read_json
from segagent.cpu import cpu_words
from segagent.datasets import CocoDataset, Dataset, FolderDataset, open_dataset
from segagent.datasets.corrupted import Spoiling, read_truth, write_corrupted
from segagent.datasets.loading import load_samples
from segagent.evaluation.bootstrap import Interval, bootstrap_statistic
from segagent.evaluation.calibration import Calibration, expected_calibration_error
from segagent.evaluation.filtering import accepted_share, auroc
from segagent.evaluation.own_states import OwnStates, own_states
from segagent.imaging import encode_png, write_bytes
from segagent.learning.photographs.views import load_photos
from segagent.learning.policy.train_prm import known_photograph
from segagent.learning.tool.sources import NOT_OBJECTS
from segagent.policies.embedded.policy import EmbeddedPolicy
from segagent.policies.embedded.prm import mean_and_spread

GROUPS = {
    "spoiled": [kind for kind in NAMED if kind != "clean"],
    "geometric": ["dilate", "erode", "cut", "shift", "coarse", "merge"],
    "wrong object, swap": ["swap", "wrong object"],
    **{kind: [kind] for kind in NAMED if kind != "clean"},
}


@dataclass(frozen=True)
class Judged:
    """A mask with a known fault, of picture ``image``, and what each way of judging says of it."""

    image: str
    kind: str
    says: dict[str, float]


def held_out_part(folder: Path, every: int, out: Path) -> Dataset:
    """The objects of a COCO-format folder on pictures whose id is a multiple of ``every``."""
    data = read_json(folder / "instances.json")
    images = [image for image in data["images"] if int(image["id"]) % every == 0]
    kept = {image["id"] for image in images}
    objects = [
        one
        for one in data["annotations"]
        if one["image_id"] in kept and not one.get("iscrowd", 0) and one.get("kind") not in (*NOT_OBJECTS, "part")
    ]
    out.mkdir(parents=True, exist_ok=True)
    part = out / "instances.json"
    part.write_text(json.dumps({**data, "images": images, "annotations": objects}))
    return CocoDataset(part, folder / "images")


def made_sentences(folder: Path, every: int, most: int, out: Path) -> Dataset:
    """One sentence made from the annotations of each such picture, as a folder."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    samples = []
    photos = [photo for photo in load_photos(folder, validation=True) if photo.image_id % every == 0]
    for number, photo in enumerate(photos[:most]):
        known = known_photograph(photo, number, 8)
        said = [one for one in known.expressions if one.target >= 0]
        if said:
            mask, image = f"images/{number}_mask.png", f"images/{number}.png"
            write_bytes(out / image, encode_png(photo.pixels))
            write_bytes(out / mask, encode_png(known.masks[said[0].target]))
            samples.append({"image": image, "mask": mask, "text": said[0].text})
    (out / "manifest.json").write_text(json.dumps({"samples": samples}))
    return FolderDataset(out)


def spoiled(name: str, dataset: Dataset, options: argparse.Namespace) -> Path:
    """``dataset`` with masks spoiled, written once."""
    folder = options.out / name / "spoiled"
    if not (folder / "manifest.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for stale in ("images", "masks"):
            if (folder / stale).exists():
                raise SystemExit(f"{folder}: left unfinished; remove it")
        spoiling = Spoiling(per_image=options.per_image, max_images=options.max_images, seed=options.seed)
        print(name, write_corrupted(folder, dataset, spoiling)[0], flush=True)
    return folder


def agreement(tool: SegmentationTool, embedding: object, mask: np.ndarray) -> dict[str, float]:
    """IoU of a mask with what the tool makes of its box and of one click at its deepest point."""
    padded = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(padded.argmax()), padded.shape)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    prompts = {"tool, click": Click(int(x), int(y), True), **({"tool, box": box} if tool.accepts_box else {})}
    empty = empty_mask(*mask.shape)
    answers = tool.segment([SegmentRequest(embedding, empty, None, (prompt,)) for prompt in prompts.values()])
    return {name: iou(answer.mask, mask) for name, answer in zip(prompts, answers, strict=True)}


def apart(folder: Path, policy: object, tool: SegmentationTool) -> dict[str, dict[str, float]]:
    """What tool and parts of the policy say of each given mask, by sample id."""
    said: dict[str, dict[str, float]] = {}
    for group in open_dataset(str(folder)).groups():
        loaded = load_samples(group.samples())
        embedding = tool.embed([loaded[0].image])[0]
        for one in loaded:
            values = agreement(tool, embedding, one.mask)
            if isinstance(policy, EmbeddedPolicy):
                found = policy.examine(Observation(one.image, one.sample.text, one.mask))
                values["hypotheses"] = float(mean_and_spread(found.mixture.iou)[0])
                if found.quality is not None:
                    values["outline"] = float(mean_and_spread(found.quality.iou[0].softmax(0))[0])
            said[one.sample.sample_id] = values
    return said


def measured(name: str, folder: Path, options: argparse.Namespace) -> tuple[list[Judged], list[Mended]]:
    """Audit and refine of one spoiled set."""
    models = partial(make_models, options.policy, options.tool, "none")
    for config in (RunConfig("audit"), RunConfig("refine").with_given(sure=options.sure, margin=options.margin)):
        run_job(open_dataset(str(folder)), models, options.out / name / config.job, config)
    made = models()
    said = apart(folder, made.policy, made.tool)
    truths = read_truth(folder)
    audited, refined = (open_run(options.out / name / job) for job in ("audit", "refine"))
    judged = []
    for record in audited.objects():
        says = {"predicted IoU": record.given_iou or 0.0, "audit's order": audit_score(record) or 0.0}
        kind = truths[record.object_id].kind
        judged.append(Judged(f"{name}/{record.image}", kind, {**said[record.object_id], **says}))
    return judged, measure(audited, refined, truths, f"{name}/")


def separated(masks: Sequence[Judged], way: str, kinds: Sequence[str]) -> Interval:
    """AUROC of masks of ``kinds`` against clean ones by how low a value is."""
    chosen = [one for one in masks if one.kind == "clean" or one.kind in kinds]
    scores = np.array([-one.says[way] for one in chosen])
    wrong = np.array([one.kind != "clean" for one in chosen])
    return bootstrap_statistic(
        lambda rows: auroc(scores[rows].tolist(), wrong[rows].tolist()), [one.image for one in chosen]
    )


def tell_judged(title: str, masks: Sequence[Judged], report: dict[str, object]) -> None:
    """AUROC by kind and way, as Markdown."""
    ways = list(dict.fromkeys(way for one in masks for way in one.says))
    print(f"\n{title}: {len({one.image for one in masks})} pictures, {len(masks)} masks\n")
    print("| kind | n | " + " | ".join(ways) + " |\n|---|---|" + "---|" * len(ways))
    table: dict[str, object] = {}
    for group, kinds in GROUPS.items():
        count = sum(one.kind in kinds for one in masks)
        if not count:
            continue
        cells = {way: separated(masks, way, kinds) for way in ways}
        print(f"| {group} | {count} | " + " | ".join(map(str, cells.values())) + " |", flush=True)
        table[group] = {"n": count} | {way: cell.to_dict() for way, cell in cells.items()}
    report[title] = {"auroc": table}


def tell_mended(masks: Sequence[Mended]) -> dict[str, object]:
    """What the refine did, as Markdown."""
    found = repair_metrics(masks)
    print("\n| masks | n | IoU before | after | gain | replaced | by worse |\n|---|---|---|---|---|---|---|")
    for group, count in found.count.items():
        row = (found.before[group], found.after[group], found.gain[group], found.repaired[group], found.worsened[group])
        print(f"| {group} | {count} | " + " | ".join(map(str, row)) + " |")
    print(f"\nlikely error right: {found.accuracy}", flush=True)
    return found.to_dict()


def tell_states(title: str, states: OwnStates, calibration: Calibration | None, report: dict[str, object]) -> None:
    """How predicted, expected and true IoU agree over own states."""
    said, true = np.array(states.predicted), np.array(states.true)

    def pearson(rows: np.ndarray) -> float:
        return float(np.corrcoef(said[rows], true[rows])[0, 1])

    value = bootstrap_statistic(pearson, states.images)
    print(
        f"own states on {title}: {len(said)}, Pearson {value}, mean error {np.abs(said - true).mean():.3f}", flush=True
    )
    told: dict[str, object] = {"n": len(said), "doubted": sum(states.doubted), "pearson": value.to_dict()}
    expected = said if calibration is None else np.array(states.corrected(calibration))
    for name, values in (("predicted", said), ("expected", expected)):
        for which, rows in (("all", np.arange(len(said))), ("final", np.flatnonzero(states.final))):
            error = partial(_calibration_error, values[rows], true[rows])
            interval = bootstrap_statistic(error, [states.images[row] for row in rows])
            accepted = accepted_share(values[rows].tolist(), true[rows].tolist(), threshold=0.8)
            print(f"  {name}, {which} {len(rows)}: ECE {interval}, accepted@80 {accepted:.3f}", flush=True)
            told[f"{name}, {which}"] = {"ece": interval.to_dict(), "accepted@80": accepted}
    report[f"own states on {title}"] = told


def _calibration_error(said: np.ndarray, true: np.ndarray, rows: np.ndarray) -> float:
    return expected_calibration_error(said[rows].tolist(), true[rows].tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, action="append", default=[], help="a COCO-format folder")
    parser.add_argument("--expressions", type=Path, action="append", default=[], help="a folder with a manifest")
    parser.add_argument("-o", "--out", type=Path, required=True, help="spoiled sets and runs")
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--tool", default="embedded")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--per-image", type=int, default=3)
    parser.add_argument("--max-images", type=int)
    parser.add_argument("--steps", type=int, default=7, help="of own episodes; 0: none are made")
    parser.add_argument("--margin", type=float)
    parser.add_argument("--sure", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(cpu_words())
    sets = {folder.name: FolderDataset(folder) for folder in options.expressions}
    sets |= {
        folder.name: held_out_part(folder, options.every, options.out / folder.name) for folder in options.photographs
    }
    report: dict[str, object] = {}
    found = {name: measured(name, spoiled(name, dataset, options), options) for name, dataset in sets.items()}
    for name, (judged, mended) in found.items():
        tell_judged(name, judged, report)
        report[name] |= {"refine": tell_mended(mended)}
    if len(found) > 1:
        tell_judged("all", [one for judged, _ in found.values() for one in judged], report)
        report["all"] |= {"refine": tell_mended([one for _, mended in found.values() for one in mended])}
    if options.steps:
        made = make_models(options.policy, options.tool, "none")
        most = options.max_images or 10**9
        said = {folder.name: FolderDataset(folder) for folder in options.expressions}
        for folder in options.photographs:
            said[f"{folder.name}, made sentences"] = made_sentences(
                folder, options.every, most, options.out / folder.name / "said"
            )
        print()
        for name, dataset in said.items():
            states = own_states(made.policy, made.tool, dataset, max_steps=options.steps)
            tell_states(name, states, made.calibration, report)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
