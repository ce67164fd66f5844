"""Generated scenes: repeatable, well-formed, and every sentence true of exactly one object.

The sentences are judged by the small parser below, which shares nothing with the writer: it reads the text, looks at
the masks, and uses plain readings without margins ("left" is the left half).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from segagent.core.errors import InputError
from segagent.datasets import CocoDataset
from segagent.datasets.scenes import (
    CATEGORIES,
    COLORS,
    KINDS,
    PATTERNS,
    SIZES,
    Expression,
    Scene,
    SceneConfig,
    SceneObject,
    generate_leaf_scene,
    generate_scene,
    scene_rng,
    vocabulary,
)
from segagent.datasets.scenes.export import write_scenes

COMPLEXITIES = ("simple", "mixed", "hard")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [
        generate_scene(scene_rng("test", 7, index), SceneConfig(complexity=complexity))
        for complexity in COMPLEXITIES
        for index in range(30)
    ]


# --- an independent reader of the sentences -------------------------------------------------------------------------

SYNONYMS = {
    "little": "small", "tiny": "small", "big": "large", "grey": "gray", "spotted": "dotted", "checkered": "checked",
    "shiny": "glossy", "stripes": "striped", "dots": "dotted", "checks": "checked",
}  # fmt: skip
SIDES = {"upper": "top", "lower": "bottom", "middle": "center"}


def fitting(phrase: str, objects: tuple[SceneObject, ...]) -> list[SceneObject]:
    """The objects a plain noun phrase fits; every word must be understood."""
    found = list(objects)
    for typed in phrase.split():
        word = SYNONYMS.get(typed, typed)
        if word in ("the", "one", "object", "thing", "with"):
            continue
        names = {"category": CATEGORIES, "color": COLORS, "pattern": PATTERNS, "size": SIZES}
        field = next(field for field, values in names.items() if word in values)
        found = [item for item in found if getattr(item, field) == word]
    return found


def centroid(item: SceneObject) -> tuple[float, float]:
    rows, columns = np.nonzero(item.mask)
    height, width = item.mask.shape
    return (columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height


def gap(a: SceneObject, b: SceneObject) -> float:
    dx = max(0, a.bbox[0] - b.bbox[2], b.bbox[0] - a.bbox[2])
    dy = max(0, a.bbox[1] - b.bbox[3], b.bbox[1] - a.bbox[3])
    return float(np.hypot(dx, dy))


def box_area(item: SceneObject) -> int:
    x0, y0, x1, y1 = item.bbox
    return (x1 - x0) * (y1 - y0)


def at_place(item: SceneObject, place: str) -> bool:
    x, y = centroid(item)
    tests = {
        "left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5,
        "center": abs(x - 0.5) < 0.2 and abs(y - 0.5) < 0.2,
    }  # fmt: skip
    return all(tests[SIDES.get(word, word)] for word in place.split())


LINKS = (
    r"to the left of|on the left of|left of|to the right of|on the right of|right of|above|over|below|under|beneath"
    r"|next to|beside|near|closest to|nearest to"
)
PLACE = r"(?:top|bottom|upper|lower) (?:left|right)|left|right|top|bottom|upper|lower|center|middle"
EXTREMES = {
    "largest": (0, 1), "biggest": (0, 1), "larger": (0, 1), "bigger": (0, 1), "smallest": (0, -1), "smaller": (0, -1),
    "leftmost": (1, -1), "rightmost": (1, 1), "topmost": (2, -1), "highest": (2, -1), "bottommost": (2, 1),
    "lowest": (2, 1),
}  # fmt: skip


def read(text: str, objects: tuple[SceneObject, ...]) -> tuple[str, list[SceneObject]]:
    """(kind, all objects the sentence may mean)."""
    text = re.sub(r"^the ", "", text)
    if found := re.fullmatch(rf"(.+?) ({LINKS}) (.+)", text):
        (anchor,) = fitting(found[3], objects)
        others = [item for item in fitting(found[1], objects) if item is not anchor]
        x, y = centroid(anchor)
        link = found[2]
        if re.search("next|beside|near$", link):
            return "relation", [o for o in others if gap(o, anchor) == min(gap(p, anchor) for p in others)]
        if re.search("closest|nearest", link):
            far = [float(np.hypot(centroid(o)[0] - x, centroid(o)[1] - y)) for o in others]
            return "relation", [o for o, d in zip(others, far, strict=True) if d == min(far)]
        if "left" in link:
            return "relation", [o for o in others if centroid(o)[0] < x]
        if "right" in link:
            return "relation", [o for o in others if centroid(o)[0] > x]
        if link in ("above", "over"):
            return "relation", [o for o in others if centroid(o)[1] < y]
        return "relation", [o for o in others if centroid(o)[1] > y]
    if found := re.fullmatch(r"second (.+) from (?:the )?(left|right)", text):
        ranked = sorted(fitting(found[1], objects), key=lambda o: centroid(o)[0], reverse=found[2] == "right")
        return "superlative", ranked[1:2]
    if found := re.fullmatch(r"(.+) furthest to the (left|right)", text):
        text = f"{found[2]}most {found[1]}"
    if (word := text.split()[0]) in EXTREMES:
        axis, sign = EXTREMES[word]
        items = fitting(text.removeprefix(word), objects)
        best = {
            max(items, key=lambda o: sign * measure(o)).index
            for measure in ((lambda o: o.mask.sum(), box_area) if axis == 0 else (lambda o: centroid(o)[axis - 1],))
        }
        return "superlative", [o for o in items if o.index in best]
    for pattern in (
        rf"(?P<np>.+) (?:on|at|in)(?: the)? (?P<place>{PLACE})(?: side| corner)?",
        rf"(?P<place>{PLACE}) (?P<np>.+)",
    ):
        if found := re.fullmatch(pattern, text):
            return "position", [o for o in fitting(found["np"], objects) if at_place(o, found["place"])]
    return "attribute", fitting(text, objects)


# --- tests ----------------------------------------------------------------------------------------------------------


def same(a: Scene, b: Scene) -> bool:
    return (
        np.array_equal(a.image, b.image)
        and a.expressions == b.expressions
        and len(a.objects) == len(b.objects)
        and all(np.array_equal(p.mask, q.mask) for p, q in zip(a.objects, b.objects, strict=True))
    )


def test_the_same_stream_gives_the_same_scene():
    first = generate_scene(scene_rng("train", 3, 11))
    generate_scene(scene_rng("train", 3, 12))
    assert same(first, generate_scene(scene_rng("train", 3, 11)))
    assert first.seed == generate_scene(scene_rng("train", 3, 11)).seed != ()


def test_streams_of_splits_seeds_and_indices_differ():
    streams = [
        scene_rng(split, seed, index).bytes(16)
        for split in ("train", "val", "test")
        for seed in (0, 1, 2)
        for index in (0, 1, 2)
    ]
    assert len(set(streams)) == len(streams)
    assert not same(generate_scene(scene_rng("train", 0, 0)), generate_scene(scene_rng("val", 0, 0)))


def test_scenes_are_well_formed(scenes: list[Scene]):
    for scene in scenes:
        assert scene.image.dtype == np.uint8
        assert scene.image.shape == (256, 256, 3)
        assert not scene.image.flags.writeable
        assert 2 <= len(scene.objects) <= 7
        taken = np.zeros((256, 256), int)
        for index, item in enumerate(scene.objects):
            assert item.index == index
            assert item.mask.dtype == np.bool_
            assert item.mask.shape == (256, 256)
            assert not item.mask.flags.writeable
            assert item.mask.sum() >= 0.004 * 256 * 256
            rows, columns = np.nonzero(item.mask)
            assert item.bbox == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert item.category in CATEGORIES
            assert item.color in COLORS
            assert item.pattern in PATTERNS
            assert item.size in SIZES
            taken += item.mask
        assert taken.max() == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_sentence_singles_out_its_target(scenes: list[Scene], kind: str):
    checked = 0
    for scene in scenes:
        for expression in scene.expressions:
            if expression.kind != kind:
                continue
            read_kind, meant = read(expression.text, scene.objects)
            assert read_kind == kind, expression
            assert [item.index for item in meant] == [expression.target], expression
            checked += 1
    assert checked > 100


def noun_phrase(expression: Expression) -> str:
    """The sentence without its place, superlative or relation."""
    text = re.sub(rf" (?:{LINKS}) .*| (?:on|at|in) .*| furthest .*| from .*", "", expression.text.removeprefix("the "))
    return re.sub(rf"^(?:second|{'|'.join(EXTREMES)}|{PLACE}) ", "", text)


def test_candidates_are_the_objects_of_the_noun_phrase(scenes: list[Scene]):
    for scene in scenes:
        for expression in scene.expressions:
            expected = tuple(item.index for item in fitting(noun_phrase(expression), scene.objects))
            assert expression.candidates == expected, expression
            assert expression.target in expression.candidates
            assert (expression.anchor is not None) == (expression.kind == "relation")
            assert expression.anchor != expression.target


def test_every_word_is_in_the_vocabulary(scenes: list[Scene]):
    words = {word for scene in scenes for expression in scene.expressions for word in expression.text.split()}
    assert words <= set(vocabulary())
    assert set(CATEGORIES) | set(COLORS) | set(PATTERNS) | set(SIZES) <= set(vocabulary())
    assert list(vocabulary()) == sorted(set(vocabulary()))
    assert len(words) > 0.9 * len(vocabulary())


def test_scenes_hold_what_sentences_need(scenes: list[Scene]):
    kinds = Counter(expression.kind for scene in scenes for expression in scene.expressions)
    assert min(kinds[kind] for kind in KINDS) > 0.12 * sum(kinds.values())
    assert sum(kinds.values()) >= 6 * len(scenes)
    assert {item.category for scene in scenes for item in scene.objects} == set(CATEGORIES)
    twins = [len({item.category for item in scene.objects}) < len(scene.objects) for scene in scenes]
    assert np.mean(twins) > 0.5
    plain = [item.pattern == "plain" for scene in scenes for item in scene.objects]
    assert 0.35 < np.mean(plain) < 0.7


def test_simple_scenes_do_not_overlap_and_hard_ones_do(scenes: list[Scene]):
    def touching(scene: Scene) -> bool:
        wide = [cv2.dilate(item.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) for item in scene.objects]
        return bool(np.sum(wide, axis=0).max() > 1)

    assert not any(touching(scene) for scene in scenes[:30])
    assert np.mean([touching(scene) for scene in scenes[60:]]) > 0.3


def test_colors_look_as_they_are_named():
    """Plain objects of the undisturbed picture are, by hue and lightness, closest to their own colour's average."""
    config = SceneConfig(degrade=0.0, complexity="simple")
    seen: dict[str, list[np.ndarray]] = {name: [] for name in COLORS}
    for index in range(40):
        scene = generate_scene(scene_rng("test", 1, index), config)
        lab = cv2.cvtColor(scene.image, cv2.COLOR_RGB2LAB)
        for item in scene.objects:
            if item.pattern == "plain":
                seen[item.color].append(np.median(lab[item.mask], axis=0))
    means = {name: np.median(values, axis=0) for name, values in seen.items() if values}
    right = [
        min(means, key=lambda other: float(np.linalg.norm(means[other] - value))) == name
        for name, values in seen.items()
        for value in values
    ]
    assert len(right) > 60
    assert np.mean(right) > 0.85


def test_other_shapes_and_limits():
    scene = generate_scene(scene_rng("val", 0, 0), SceneConfig(height=192, width=320, max_expressions=3))
    assert scene.image.shape == (192, 320, 3)
    assert len(scene.expressions) <= 3
    one = generate_scene(scene_rng("val", 0, 1), SceneConfig(min_objects=1, max_objects=1))
    assert len(one.objects) == 1
    crowd = generate_scene(scene_rng("val", 0, 3), SceneConfig(size=64, min_objects=40, max_objects=40))
    assert 1 <= len(crowd.objects) < 40
    assert generate_scene(scene_rng("val", 0, 2), SceneConfig(size=512, photographs=False)).image.shape[0] == 512


@pytest.mark.parametrize(
    "wrong",
    [{"size": 32}, {"min_objects": 5, "max_objects": 3}, {"min_objects": 0}, {"degrade": 2.0}, {"complexity": "x"}],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError):
        dataclasses.replace(SceneConfig(), **wrong)


def test_leaf_scenes_are_disjoint_and_repeatable():
    picture, masks = generate_leaf_scene(scene_rng("train", 0, 5), 128)
    again, _ = generate_leaf_scene(scene_rng("train", 0, 5), 128)
    assert np.array_equal(picture, again)
    assert picture.shape == (128, 128, 3)
    assert len(masks) >= 2
    assert np.sum(masks, axis=0).max() == 1
    assert all(mask.dtype == np.bool_ and mask.sum() >= 0.004 * 128 * 128 for mask in masks)


def test_exported_scenes_read_back_as_they_were_drawn(tmp_path: Path):
    done: list[int] = []
    path = write_scenes(tmp_path / "a", num=3, seed=5, split="val", progress=done.append)
    assert done == [1, 2, 3]
    manifest = json.loads(path.read_text())
    coco = CocoDataset(path.parent / "instances.json")
    assert coco.categories == CATEGORIES
    assert (manifest["seed"], manifest["split"]) == (5, "val")
    originals = [generate_scene(scene_rng("val", 5, index)) for index in range(3)]
    assert len(manifest["samples"]) == sum(len(scene.expressions) for scene in originals)
    for sample in manifest["samples"]:
        scene = originals[sample["scene"]]
        item = scene.objects[sample["object"]]
        image = cv2.imread(str(path.parent / sample["image"]))
        assert np.array_equal(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), scene.image)
        mask = cv2.imread(str(path.parent / sample["mask"]), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, item.mask.astype(np.uint8) * 255)
        assert (sample["text"], sample["kind"]) in {(e.text, e.kind) for e in scene.expressions}
        assert (sample["height"], sample["width"]) == (256, 256)
        rows = [one for one in coco if one.image_name == Path(sample["image"]).name]
        assert len(rows) == len(scene.objects)
        assert np.array_equal(rows[item.index].load_target()[0], item.mask)
        assert rows[item.index].category == sample["category"] == item.category
        first = next(e.text for e in scene.expressions if e.target == item.index)
        assert rows[item.index].text == first
    twin = write_scenes(tmp_path / "b", num=3, seed=5, split="val")
    files = [sorted(p.relative_to(q.parent) for p in q.parent.rglob("*") if p.is_file()) for q in (path, twin)]
    assert files[0] == files[1]
    assert all((path.parent / f).read_bytes() == (twin.parent / f).read_bytes() for f in files[0])


def test_export_keeps_what_is_there(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="not an empty folder"):
        write_scenes(tmp_path, num=1, seed=0)
    with pytest.raises(InputError, match="at least 1"):
        write_scenes(tmp_path / "new", num=0, seed=0)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
