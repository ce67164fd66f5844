"""What the embedded policy sees and understands, before any click: objects found, named, and singled out by sentences.

    python benchmarks/bench_perception.py --weights OLD.safetensors --weights NEW.safetensors --photographs COCO_FOLDER

On generated scenes of the val split and, if given, the held-out photographs of a COCO-format folder with sentences made
from its annotations. "found": share of sentences whose target the detector found (IoU above 0.35); "named": share of
found objects with the right category, colour, pattern, size, where known; "right object": share of all sentences whose
likeliest object is the target, by kind; "absent": of sentences that nothing fits, the share with "none of them" above
one half; "refused": the same of sentences whose target was found, where it is wrong. n are counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from segagent.evaluation.bootstrap import bootstrap_ratio
from segagent.learning.photographs.store import draw_photographs
from segagent.learning.policy.classes import CLASSES
from segagent.learning.policy.perception_recipe import draw_scenes
from segagent.learning.policy.scene_store import StoredScene
from segagent.learning.policy.train_grounding import grounding_batch, perceive_scene, run
from segagent.policies.network import PolicyNetwork, load_network
from segagent.policies.objects import EMBEDDING

ATTRIBUTES = ("category", "color", "pattern", "size")


def measure(network: PolicyNetwork, scenes: list[StoredScene]) -> dict[str, object]:
    """All shares of the module's text over ``scenes``, each with its count."""
    seen = [perceive_scene(network.detector, network.encoder, scene) for scene in scenes]
    named: dict[str, list[bool]] = {}
    hits: dict[str, list[tuple[int, bool]]] = {}
    for number, (scene, percept) in enumerate(zip(scenes, seen, strict=True)):
        for row, truth in enumerate(percept.truth[: percept.num]):
            parts = np.split(percept.tokens[row][EMBEDDING:], np.cumsum(network.architecture.num_classes)[:-1])
            for kind, names, table, part in zip(
                ATTRIBUTES, scene.names[truth] if truth >= 0 else [""] * 4, CLASSES, parts, strict=True
            ):
                if names:
                    named.setdefault(kind, []).append(table[int(part.argmax())] == names)
        if not scene.expressions:
            continue
        chosen = [(number, e) for e in range(len(scene.expressions))]
        batch = grounding_batch(np.random.default_rng(0), seen, chosen, network.vocabulary, augment=False)
        with torch.no_grad():
            logits = run(network.grounding, batch).logits
        none = (logits.softmax(1)[:, 0] > 0.5).tolist()
        right = batch.targets[:, 1:].gather(1, logits[:, 1:].argmax(1, keepdim=True))[:, 0].tolist()
        found = batch.targets[:, 1:].any(1).tolist()
        for e, hit, refused, there in zip(scene.expressions, right, none, found, strict=True):
            if e.kind == "absent":
                hits.setdefault("absent", []).append((number, refused))
                continue
            hits.setdefault("found", []).append((number, there))
            hits.setdefault("right object", []).append((number, hit))
            hits.setdefault(f"right object, {e.kind}", []).append((number, hit))
            if there:
                hits.setdefault("refused", []).append((number, refused))
    result: dict[str, object] = {
        f"named, {kind}": {"value": round(float(np.mean(values)), 4), "n": len(values)}
        for kind, values in named.items()
    }
    for kind, values in sorted(hits.items()):
        groups, shares = zip(*values, strict=True)
        result[kind] = {**bootstrap_ratio(shares, groups=groups).to_dict(), "n": len(values)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, action="append", required=True)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--scenes", type=int, default=250)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as work:
        sets = {"scenes": list(draw_scenes(Path(work), "scenes", "val", 0, options.scenes))[: options.scenes]}
        if options.photographs is not None:
            sets["photographs"] = list(draw_photographs(Path(work) / "p", options.photographs, "validation", 10**4))
        for name, scenes in sets.items():
            for number, weights in enumerate(options.weights):
                result = measure(load_network(weights), scenes)
                report[f"{name}, weights {number}"] = result
                print(f"{name} ({len(scenes)} pictures), {weights.name} (weights {number})")
                for what, value in result.items():
                    interval = f" [{value['low']:.3f}, {value['high']:.3f}]" if "low" in value else ""
                    print(f"  {what:28}{value['value']:.3f}{interval}  n {value['n']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
