"""Real referring expressions on photographs: text to mask, beside blind baselines, all with the same tool.

    python benchmarks/bench_refcoco.py FOLDER --policy embedded --tool embedded --steps 7 --json refcoco.json

FOLDER holds manifest.json (image, mask or null, text), the images and masks, and instances.json (per image: polygons of
all its instances). Rows: the policy's search; its "own outline" of what is meant, with no click and no tool, where it
finds objects by itself; "image centre", one click there with the same tool; "largest instance", the largest mask of
instances.json, which is TOLD the true masks and uses no tool. cIoU is total intersection over total union; gIoU the
mean over expressions, where one that nothing fits counts 1 for an empty prediction and else 0. First-click hits are
over expressions that have a target. Intervals are 95 % bootstrap by image.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from segagent.core import Click, Outliner, empty_mask, intersection_and_union
from segagent.datasets.coco_masks import decode_segmentation
from segagent.datasets.folder import FolderDataset
from segagent.environment import Episode
from segagent.evaluation.bootstrap import bootstrap_ratio
from segagent.policies import make_policy
from segagent.search import SearchConfig, rollout
from segagent.tools import make_tool


def load_policy(spec: str):
    """A policy by its specification, or the embedded one with the weights of a .safetensors file."""
    if spec.endswith(".safetensors"):
        from segagent.policies.embedded.policy import EmbeddedPolicy

        return EmbeddedPolicy.load(Path(spec))
    return make_policy(spec)


def largest_instances(folder: Path) -> dict[str, np.ndarray]:
    """The largest instance's mask (height, width) of each image, by the image's file stem."""
    found = {}
    for name, record in json.loads((folder / "instances.json").read_text()).items():
        size = record["height"], record["width"]
        masks = [decode_segmentation(one["polygons"], *size) for one in record["instances"] if one.get("polygons")]
        found[name] = max(masks, key=lambda mask: int(mask.sum())) if masks else empty_mask(*size)
    return found


def measured(name: str, masks: list, targets: list, images: list[str], firsts: list | None) -> dict[str, object]:
    """Prints one row and returns it; ``firsts`` are the first actions, None for a row without clicks."""
    overlaps = [
        intersection_and_union(mask, target, ignore) for mask, (target, ignore) in zip(masks, targets, strict=True)
    ]
    each = [
        (1.0 if not mask.any() else 0.0) if not target.any() else i / max(u, 1)
        for mask, (target, _), (i, u) in zip(masks, targets, overlaps, strict=True)
    ]
    total = bootstrap_ratio(*zip(*overlaps, strict=True), groups=images)
    mean = bootstrap_ratio(each, groups=images)
    row: dict[str, object] = {"cIoU": total.to_dict(), "gIoU": mean.to_dict()}
    line = f"{name:34} cIoU {total}   gIoU {mean}"
    if firsts is not None:
        real = [n for n, (target, _) in enumerate(targets) if target.any()]
        hits = [isinstance(a := firsts[n], Click) and a.positive and bool(targets[n][0][a.y, a.x]) for n in real]
        hit = bootstrap_ratio(hits, groups=[images[n] for n in real])
        row["first_click_hit"] = hit.to_dict()
        line += f"   first click on it {hit}"
    print(line, flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--policy", action="append", help="specification or .safetensors; may be repeated")
    parser.add_argument("--tool", default="embedded")
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = sorted(FolderDataset(options.folder), key=lambda sample: sample.image_name)
    images = [sample.image_name for sample in samples]
    pictures = {sample.image_name: sample.load_image() for sample in samples}
    targets = [sample.load_target(pictures[sample.image_name]) for sample in samples]
    episodes = [Episode(pictures[s.image_name], s.text, s.sample_id, s.image_name, seed=0) for s in samples]
    nothing = sum(not target.any() for target, _ in targets)
    print(f"{len(samples)} expressions on {len(pictures)} images, {nothing} of them with no such object")
    tool = make_tool(options.tool)
    report: dict[str, object] = {"expressions": len(samples), "images": len(pictures), "without_object": nothing}
    blind = SearchConfig(max_steps=2, use_prm=False)
    runs = [(spec, load_policy(spec), SearchConfig(options.steps)) for spec in options.policy or ["embedded"]]
    for number, (spec, policy, config) in enumerate([*runs, ("centre", make_policy("centre"), blind)]):
        done = list(rollout(episodes, policy, tool, config))
        # A blind baseline returns its last mask; the policy's search the one it scores best.
        masks = [t.mask_at(len(t.steps) if spec == "centre" else t.returned) for t in done]
        firsts = [t.steps[0].action if t.steps else None for t in done]
        name = "image centre, same tool" if spec == "centre" else f"{number}: {Path(spec).name} + {options.tool}"
        report[name] = measured(name, masks, targets, images, firsts)
        if isinstance(policy, Outliner):
            outlines = [policy.outline(episode.image, episode.text) for episode in episodes]
            name = f"{number}: own outline, no click"
            report[name] = measured(name, outlines, targets, images, None)
    told = largest_instances(options.folder)
    largest = [told[Path(name).stem] for name in images]
    report["largest instance (told the true masks)"] = measured(
        "largest instance (told true masks)", largest, targets, images, None
    )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
