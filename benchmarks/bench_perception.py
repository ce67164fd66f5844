"""What the embedded policy sees and understands, before any click: objects found, named, and singled out by sentences.

    python benchmarks/bench_perception.py --weights OLD.safetensors --weights NEW.safetensors --photographs COCO_FOLDER

On generated scenes of the val split and, if given, the held-out photographs of COCO-format folders, each apart and then
all, with sentences made from their annotations. The chain of what must go right, link by link: "target outlined": share
of the things that sentences are about with an outline above that IoU; "category of true outlines": of things with a
known category, the share named right, given the true outline; "found": share of sentences whose target the detector
found (IoU above 0.35), "right if found": of those, the share whose likeliest object is the target; "right object": the
same of all sentences, by kind. Besides: "named": share of found objects with the right category, colour, pattern, size,
where known; "refused": of sentences whose target was found, the share with "none of them" above one half, where it is
wrong. "N-acc": of sentences that nothing fits, the share answered with "no such object" at the bar of the weights, over
all and by what is missing ("borrowed": sentences about other pictures, of things that are not in this one), "T-acc": of
all others, found or not, the share not answered so; of weights without a bar, "none of them" above one half. "noun":
right if found over the sentences that name their target by a noun, with it as "taught", with an "untaught" one of the
same category in its place, and with "no word" that could be read. n are counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch

from segagent.core import Image
from segagent.evaluation.bootstrap import bootstrap_ratio
from segagent.learning.photographs.store import PhotoSets, held_out
from segagent.learning.policy.classes import CLASSES
from segagent.learning.policy.perception_recipe import draw_scenes
from segagent.learning.policy.scene_store import ABSENT_TARGET, StoredScene
from segagent.learning.policy.train_grounding import PerceivedScene, answered, perceive_scene, with_borrowed
from segagent.policies.embedded.network import PolicyNetwork, load_network
from segagent.policies.embedded.objects import EMBEDDING
from segagent.policies.embedded.perception import describe, enlarged, find_objects
from segagent.policies.embedded.regions import scenery
from untaught_nouns import with_nouns

ATTRIBUTES = ("category", "color", "pattern", "size")


Pictures = list[tuple[Image, StoredScene]]
"""Pictures at their own size, and what is known of them and said about them at the working size."""


def outlined(network: PolicyNetwork, image: Image, scene: StoredScene) -> dict[int, float]:
    """The best IoU of any found outline with each thing that a sentence is about."""
    found = np.stack([enlarged(c) > 0.5 for c in find_objects(network, image).coverage.numpy()])
    best = {}
    for target in {e.target for e in scene.expressions if e.target >= 0}:
        true = scene.mask(target)
        overlap, union = (found & true).sum((1, 2)), (found | true).sum((1, 2))
        best[target] = float((overlap / np.maximum(union, 1)).max())
    return best


def category_hits(network: PolicyNetwork, image: Image, scene: StoredScene) -> list[tuple[str, bool]]:
    """The known categories of a picture's things, and whether each is named right with its true outline given."""
    known = [number for number, names in enumerate(scene.names) if names[0]]
    if not known:
        return []
    masks = [scene.mask(number).astype(np.float32) for number in known]
    view = None if network.sight is None else scenery(network.sight, image)
    with torch.no_grad():
        tokens, *_ = describe(network, view, scene.pixels, masks)
    chosen = tokens[:, EMBEDDING : EMBEDDING + network.architecture.num_classes[0]].argmax(1).tolist()
    return [(scene.names[k][0], CLASSES[0][c] == scene.names[k][0]) for k, c in zip(known, chosen, strict=True)]


def measure(network: PolicyNetwork, pictures: Pictures) -> dict[str, object]:
    """All shares of the module's text over ``pictures``, each with its count."""
    seen = with_borrowed([perceive_scene(network, scene, image) for image, scene in pictures])
    named: dict[str, list[bool]] = {}
    hits: dict[str, list[tuple[int, bool]]] = {}
    for number, ((image, scene), percept) in enumerate(zip(pictures, seen, strict=True)):
        for iou in outlined(network, image, scene).values():
            hits.setdefault("target outlined, IoU .5", []).append((number, iou >= 0.5))
            hits.setdefault("target outlined, IoU .7", []).append((number, iou >= 0.7))
        for category, hit in category_hits(network, image, scene):
            hits.setdefault("category of true outlines", []).append((number, hit))
            if category != "person":
                hits.setdefault("category, without persons", []).append((number, hit))
        for row, truth in enumerate(percept.truth[: percept.num]):
            parts = np.split(percept.tokens[row][EMBEDDING:], np.cumsum(network.architecture.num_classes)[:-1])
            for kind, names, table, part in zip(
                ATTRIBUTES, scene.names[truth] if truth >= 0 else [""] * 4, CLASSES, parts, strict=True
            ):
                if names:
                    named.setdefault(kind, []).append(table[int(part.argmax())] == names)
        if not percept.expressions:
            continue
        chosen = [(number, e) for e in range(len(percept.expressions))]
        with torch.no_grad():
            batch, answer = answered(network.grounding, seen, chosen, network.vocabulary, network.kinds)
        none = (answer.logits.softmax(1)[:, 0] > 0.5).tolist()
        bar = network.absent_above
        absent = none if bar is None else (answer.absent.sigmoid() >= bar).tolist()
        logits = answer.logits
        right = batch.targets[:, 1:].gather(1, logits[:, 1:].argmax(1, keepdim=True))[:, 0].tolist()
        found = batch.targets[:, 1:].any(1).tolist()
        for e, hit, refused, gone, there in zip(percept.expressions, right, none, absent, found, strict=True):
            if e.target == ABSENT_TARGET:
                hits.setdefault("N-acc", []).append((number, gone))
                hits.setdefault(f"N-acc, {e.kind}", []).append((number, gone))
                continue
            hits.setdefault("T-acc", []).append((number, not gone))
            hits.setdefault("found", []).append((number, there))
            hits.setdefault("right object", []).append((number, hit))
            hits.setdefault(f"right object, {e.kind}", []).append((number, hit))
            if there:
                hits.setdefault("right if found", []).append((number, hit))
                hits.setdefault("refused", []).append((number, refused))
    for kind in ("taught", "untaught", "no word"):
        hits[f"noun, {kind}"] = noun_hits(network, pictures, seen, kind)
    result: dict[str, object] = {
        f"named, {kind}": {"value": round(float(np.mean(values)), 4), "n": len(values)}
        for kind, values in named.items()
    }
    for kind, values in sorted(hits.items()):
        if not values:
            continue
        groups, shares = zip(*values, strict=True)
        result[kind] = {**bootstrap_ratio(shares, groups=groups).to_dict(), "n": len(values)}
    return result


def noun_hits(
    network: PolicyNetwork, pictures: Pictures, seen: list[PerceivedScene], kind: str
) -> list[tuple[int, bool]]:
    """Of sentences about found targets with nouns as :func:`with_nouns` puts them in, whether the target is chosen."""
    taught, hits = frozenset(network.vocabulary.words), []
    for number, ((_, scene), percept) in enumerate(zip(pictures, seen, strict=True)):
        asked = with_nouns(percept, tuple(names[0] for names in scene.names), taught, kind)
        chosen = [(0, e) for e in range(len(asked.expressions))]
        if not chosen:
            continue
        with torch.no_grad():
            batch, answer = answered(network.grounding, [asked], chosen, network.vocabulary, network.kinds)
        best = answer.logits[:, 1:].argmax(1, keepdim=True)
        right, found = batch.targets[:, 1:].gather(1, best)[:, 0], batch.targets[:, 1:].any(1)
        hits += [(number, bool(hit)) for hit, there in zip(right, found, strict=True) if there]
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, action="append", required=True)
    parser.add_argument("--photographs", type=Path, action="append", default=[])
    parser.add_argument("--scenes", type=int, default=250)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as work:
        sets: dict[str, Pictures] = {}
        if options.scenes:
            drawn = draw_scenes(Path(work), "scenes", "val", 0, options.scenes)
            sets["scenes"] = [(Image.of(drawn[n].pixels), drawn[n]) for n in range(options.scenes)]
        for folder in options.photographs:
            sets[folder.name] = list(held_out(PhotoSets([folder])))
        if len(options.photographs) > 1:
            sets["all photographs"] = [pair for folder in options.photographs for pair in sets[folder.name]]
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
