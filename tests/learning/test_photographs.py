from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from segagent.core import Image, InputError
from segagent.datasets import open_dataset
from segagent.datasets.scenes import COLORS
from segagent.learning.photographs.colours import UNKNOWN, colour_name, colour_shares
from segagent.learning.photographs.expressions import ABSENCES, PhotoWriter
from segagent.learning.photographs.facts import is_farthest, see_things, stands_at
from segagent.learning.photographs.packing import pack_photographs
from segagent.learning.photographs.sentences import SentenceRules, write_sentences
from segagent.learning.photographs.store import PhotoSets, draw_photographs
from segagent.learning.photographs.views import CutOuts, Photo, kept_things, load_photos, random_view, whole_view
from segagent.learning.photographs.words import BARE_NOUNS, COCO_NOUNS, missing_nouns, nouns_in, photo_vocabulary
from segagent.learning.policy.absence import Doubted, accuracies, operating_point
from segagent.learning.policy.classes import ALL_CATEGORIES, UNKNOWN_CLASS, architecture, class_numbers
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.recipe import train_policy
from segagent.learning.policy.scene_store import (
    ABSENT_TARGET,
    NOT_ASKED,
    SceneMix,
    SceneStore,
    StoredExpression,
    write_shard,
)
from segagent.learning.policy.train_detector import centre_loss, detection_batch
from segagent.learning.policy.train_grounding import PerceivedScene, said_twice, with_borrowed, with_unknown_words
from segagent.learning.policy.train_kinds import settle
from segagent.learning.policy.train_objects import attribute_loss
from segagent.learning.policy.warm_start import grown
from segagent.policies.embedded.kinds import NUM_KINDS, Kinds
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.objects import EMBEDDING, NUM_GEOMETRY, Appearance
from segagent.policies.embedded.perception import MAX_OBJECTS, perceive
from segagent.policies.embedded.prm import Prm
from segagent.policies.embedded.regions import NUM_SEEN
from segagent.policies.embedded.tokens import PADDING, split_words
from segagent.policies.embedded.tokens import UNKNOWN as UNKNOWN_WORD
from segagent.vision.encoder import Encoder, from_published
from segagent.vision.sight import FILE, Sight, save_encoder, sight_for_training, sight_of
from segagent.vision.weights import read_weights

TINY = PolicyTraining(
    minutes=60.0,
    steps=2,
    tool="disc",
    scenes=4,
    grounding_scenes=4,
    state_scenes=6,
    held_out_scenes=3,
    rounds=1,
    episodes=3,
    episode_steps=2,
    outlined_pictures=4,
    batch_scale=0.1,
    looks=3,
    prm_scenes=1,
    given_masks=4,
)
_EVERYTHING = frozenset(COCO_NOUNS)
BOXES = {"person": (60, 20, 110, 180), "dog": (150, 120, 230, 190)}


def _sight(folder: Path) -> Sight:
    torch.manual_seed(0)
    save_encoder(Encoder(), folder / FILE)
    return sight_of(folder / FILE)


def _annotation(number: int, image: int, category: int, box: tuple[int, int, int, int]) -> dict[str, object]:
    x0, y0, x1, y1 = box
    area = (x1 - x0) * (y1 - y0)
    polygon = [x0, y0, x1, y0, x1, y1, x0, y1]
    return {"id": number, "image_id": image, "category_id": category, "segmentation": [polygon], "area": area}


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Three pictures of a person in red and two blue dogs, the last of them held out."""
    folder = tmp_path / "coco"
    (folder / "images").mkdir(parents=True)
    annotations, images = [], []
    for image in (1, 2, 10):
        pixels = np.full((200, 300, 3), 120, np.uint8)
        for x0, y0, x1, y1, color in (
            (*BOXES["person"], (200, 20, 20)), (*BOXES["dog"], (30, 60, 220)), (250, 130, 290, 190, (30, 60, 220)),
        ):  # fmt: skip
            pixels[y0:y1, x0:x1] = color
        cv2.imwrite(str(folder / "images" / f"{image}.png"), pixels[:, :, ::-1])
        images.append({"id": image, "file_name": f"{image}.png", "width": 300, "height": 200})
        for category, box in ((1, BOXES["person"]), (2, BOXES["dog"]), (2, (250, 130, 290, 190))):
            annotations.append(_annotation(len(annotations), image, category, box))
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("held_out", [False, True])
def test_made_sentences_are_a_data_set_with_the_objects_whole_masks(coco: Path, tmp_path: Path, held_out: bool) -> None:
    kinds = write_sentences(tmp_path / "made", [coco], SentenceRules(per_picture=3, absent_share=1, held_out=held_out))
    dataset = open_dataset(str(tmp_path / "made"))
    samples = list(dataset)
    assert dataset.num_images == (1 if held_out else 2)
    assert sum(kinds.values()) == len(samples)
    missing = [sample for sample in samples if not sample.load_target()[0].any()]
    assert len({sample.image_name for sample in missing}) == dataset.num_images
    whole = {(box[3] - box[1]) * (box[2] - box[0]) for box in (*BOXES.values(), (250, 130, 290, 190))}
    areas = {sample.text: int(sample.load_target()[0].sum()) for sample in samples}
    assert set(areas.values()) <= whole | {0}
    assert len(set(areas.values())) > 1


def test_packed_photographs_are_the_same_set_in_small(coco: Path, tmp_path: Path) -> None:
    sizes = pack_photographs(tmp_path / "packed", [coco], side=150, quality=60)
    assert list(sizes) == ["coco"]
    for held_out in (False, True):
        whole, small = (load_photos(f, validation=held_out) for f in (coco, tmp_path / "packed" / "coco"))
        assert [photo.names for photo in small] == [photo.names for photo in whole]
        for photo in small:
            assert photo.pixels.shape == (100, 150, 3)
            x0, y0, x1, y1 = BOXES["person"]
            label = [name[0] for name in photo.names].index("person") + 1
            assert int((photo.labels == label).sum()) == (x1 - x0) * (y1 - y0) // 4
    with pytest.raises(InputError, match="same name"):
        pack_photographs(tmp_path / "again", [coco, tmp_path / "packed" / "coco"], side=150, quality=60)


def test_views_keep_what_shows_and_ask_nothing_of_the_rest(coco: Path) -> None:
    photos = load_photos(coco, validation=False)
    assert len(photos) == 2
    assert len(load_photos(coco, validation=True)) == 1
    whole = whole_view(photos[0], 256)
    assert sorted(name[0] for name in whole.names) == ["dog", "dog", "person"]
    rng = np.random.default_rng(0)
    cut_outs = CutOuts(photos)
    for _ in range(30):
        view = random_view(rng, photos[0], 256)
        if rng.random() < 0.5:
            view = cut_outs.paste(rng, view)
        present = set(np.unique(view.labels).tolist()) - {0, NOT_ASKED}
        assert present == set(range(1, len(view.names) + 1))
        assert view.pixels.shape == (256, 256, 3)
        assert view.pixels.dtype == view.labels.dtype == np.uint8


def test_colours_are_named_only_where_clear() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :20], pixels[:, 20:] = (210, 20, 20), (30, 60, 220)
    half = np.zeros((40, 40), np.bool_)
    half[:, :18] = True
    assert colour_name(colour_shares(pixels, half)) == "red"
    assert colour_name(colour_shares(pixels, np.ones_like(half))) == UNKNOWN
    assert colour_shares(pixels, np.zeros_like(half)).sum() == 0


def test_sentences_single_out_one_thing(coco: Path) -> None:
    view = whole_view(load_photos(coco, validation=False)[0], 256)
    things = see_things(view)
    assert view.told == {"person", "dog"}  # of other things the two categories of the folder say nothing
    assert {t.fact.color for t in things} == {"red", "blue"}
    known = set(photo_vocabulary()) | set(COLORS)
    texts = {}
    for seed in range(40):
        for written in PhotoWriter(np.random.default_rng(seed), things, _EVERYTHING).write(8, absent_share=0.5):
            texts[written.text] = written
            assert set(split_words(written.text)) <= known
            assert (written.target == ABSENT_TARGET) == (written.kind in ABSENCES)
    there = {"attribute", "position", "superlative", "relation"}
    assert {w.kind for w in texts.values()} == there | set(ABSENCES) - {"absent person"}
    person = next(i for i, t in enumerate(things) if t.fact.category == "person")
    large, small = sorted((i for i in range(3) if i != person), key=lambda i: -things[i].fact.area)
    for text, written in texts.items():
        words = set(split_words(text))
        if written.kind in ABSENCES:
            continue
        if "leftmost" in words and words & set(BARE_NOUNS):
            assert written.target == person
        if words >= {"biggest", "dog"}:
            assert written.target == large
        if text == "dog":
            raise AssertionError("two dogs: the bare noun singles out none")
    facts = [t.fact for t in things]
    assert is_farthest(facts, [large, small], small, "rightmost")
    assert not is_farthest(facts, [large, small], large, "middle")
    assert stands_at(facts, [small], large, "left")


def test_what_a_sentence_misses_is_surely_not_there(coco: Path) -> None:
    view = whole_view(load_photos(coco, validation=False)[0], 256)
    things = see_things(view)
    missing: dict[str, set[str]] = {}
    for seed in range(150):
        rng = np.random.default_rng(seed)
        for written in PhotoWriter(rng, things, _EVERYTHING - {"cat"}).write(0, absent_share=1.0):
            missing.setdefault(written.kind, set()).add(written.text)
    assert set(missing) == set(ABSENCES) - {"absent person"}
    words = {kind: [set(split_words(text)) for text in texts] for kind, texts in missing.items()}
    known = {"puppy", "person", "man", "kitty"}  # of cats nobody has told
    assert not any(known & said for said in words["absent thing"])
    dogs = {"dog", "puppy", "animal"}
    assert all(bool(said & dogs) for said in words["absent colour"] if "red" in said)
    assert not any(said & dogs for said in words["absent colour"] if "blue" in said)
    assert not any("left" in said for said in words["absent place"])
    # Without knowing what its photograph tells, no thing is said to be missing.
    alone = [PhotoWriter(np.random.default_rng(seed), things).write(0, absent_share=1.0) for seed in range(5)]
    assert not any(alone)


def test_a_half_seen_thing_is_not_said_to_be_missing(coco: Path) -> None:
    photo = load_photos(coco, validation=False)[0]
    counts = np.bincount(photo.labels.ravel(), minlength=256)[1:4].astype(np.float64)
    first = photo.names.index(("dog", "", "", "")) + 1
    sliver = photo.labels.copy()
    sliver[(sliver == first) & (np.arange(300) > 155)] = 0
    assert "dog" in kept_things(photo, counts).told
    assert "dog" not in kept_things(replace(photo, labels=sliver), counts).told


def test_a_skier_is_told_by_the_skis() -> None:
    labels = np.zeros((256, 256), np.uint8)
    labels[60:180, 100:140], labels[150:185, 95:145], labels[60:180, 200:240] = 1, 2, 3
    labels[150:180, 100:140] = 1
    people = ("person", "", "", "")
    view = Photo(np.full((256, 256, 3), 90, np.uint8), labels, (people, ("skis", "", "", ""), people))
    first, _, second = see_things(view)
    assert first.roles == {"skier"}
    assert "skier" in first.nouns
    assert "skier" not in second.nouns


def test_sentences_are_borrowed_only_where_nothing_they_name_is() -> None:
    assert nouns_in("hot dog left of the cup of coffee") == {"hot dog", "cup of coffee"}
    missing = missing_nouns({"dog"}, frozenset({"dog", "cat", "horse", "teddy bear"}))
    assert {"cat", "kitty", "horse"} <= missing
    assert not missing & {"dog", "animal", "car", "bear"}  # a bear may be there: of those nobody has told
    empty = np.zeros((12, 3), np.float32)
    scene = PerceivedScene(empty, empty, empty[:, 0], 0, np.full(12, -1), (), missing=missing)
    texts = ("dog on left", "cat next to the dog", "left one", "big kitty", "car")
    others = [StoredExpression(text, 0, "position", (0,), None) for text in texts]
    (told,) = with_borrowed([replace(scene, expressions=tuple(others))], each=50)
    assert {e.text for e in told.expressions if e.target == ABSENT_TARGET} == {"big kitty"}


def test_what_is_said_twice_is_about_one_thing() -> None:
    left = StoredExpression("left man", 0, "position", (0, 1), None)
    others = (
        left,
        StoredExpression("man in red", 0, "attribute", (0,), None),
        StoredExpression("dog", 2, "", (2,), None),
    )
    both = said_twice(np.random.default_rng(0), left, others)
    assert (both.text, both.target, both.candidates) == ("left man man in red", 0, (0,))
    assert said_twice(np.random.default_rng(0), others[2], others) is others[2]
    gone = StoredExpression("cat", ABSENT_TARGET, "absent thing", (), None)
    assert said_twice(np.random.default_rng(0), gone, (gone, replace(gone, text="kitty"))) is gone


def test_unknown_words_are_put_between_the_others_which_all_stay() -> None:
    numbers = torch.tensor([[5, 6, 7], [8, 9, PADDING]]).repeat(200, 1)
    torch.manual_seed(0)
    longer = with_unknown_words(np.random.default_rng(0), numbers)
    extra = (longer == UNKNOWN_WORD).sum(1)
    assert set(extra.tolist()) >= {0, 1, 2, 3}
    for row, before in zip(longer.tolist(), numbers.tolist(), strict=True):
        words = [n for n in row if n != PADDING]
        assert row[: len(words)] == words  # no hole
        kept = [n for n in words if n != UNKNOWN_WORD]
        assert len(words) >= len([n for n in before if n != PADDING])
        assert kept == [n for n in before if n in kept]


def test_the_bar_of_absence_spares_the_sentences_with_a_target() -> None:
    there = [Doubted(n, "position", absent=False, probability=n / 200) for n in range(100)]
    gone = [Doubted(n, "absent thing", absent=True, probability=0.4 + n / 20) for n in range(10)]
    bar = operating_point(there + gone, 0.9)
    assert bar is not None
    found = accuracies(there + gone, bar)
    assert found["T-acc"] >= 0.9
    assert found["T-acc"] < 0.93
    assert found["N-acc"] == found["N-acc, absent thing"] == pytest.approx(0.8)
    assert operating_point(there) is None
    assert operating_point(gone) is None


def test_a_photo_store_trains_like_a_scene_store(coco: Path, tmp_path: Path) -> None:
    photographs = draw_photographs(tmp_path / "views", PhotoSets([coco]), "train", 6)
    write_shard(tmp_path / "scenes", "train", 0, count=2)
    mix = SceneMix([(0.5, photographs), (0.5, SceneStore(tmp_path / "scenes", "train"))])
    batch = detection_batch(np.random.default_rng(0), mix.draw(np.random.default_rng(0), 8), 256)
    assert batch.pictures.shape == (8, 256, 256, 3)
    assert batch.asked.shape == batch.centres.shape == (8, 32, 32)
    assert len(draw_photographs(tmp_path / "held", PhotoSets([coco]), "validation", 50)) == 1
    again = draw_photographs(tmp_path / "views2", PhotoSets([coco]), "train", 6)
    assert all(
        (a.pixels == b.pixels).all() and a.expressions == b.expressions for a, b in zip(photographs, again, strict=True)
    )


def test_unknown_classes_and_unasked_places_cost_nothing() -> None:
    assert class_numbers(("dog", UNKNOWN, UNKNOWN, "large"))[1:3] == [UNKNOWN_CLASS, UNKNOWN_CLASS]
    classes = torch.tensor([[0, UNKNOWN_CLASS, 1, UNKNOWN_CLASS], [1, UNKNOWN_CLASS, UNKNOWN_CLASS, 2]])
    logits = tuple(torch.zeros(2, 3, requires_grad=True) for _ in range(4))
    loss, measured = attribute_loss(Appearance(torch.zeros(2, 1), logits), classes)  # type: ignore[arg-type]
    assert torch.isfinite(loss)
    assert set(measured) == {"category", "pattern", "size"}
    nothing = torch.zeros(1, 4, 4)
    assert centre_loss(nothing + 5, nothing, torch.zeros(1, 4, 4, dtype=torch.bool)) == 0
    assert centre_loss(nothing + 5, nothing, torch.ones(1, 4, 4, dtype=torch.bool)) > 1


def test_a_grown_network_says_what_the_small_one_said() -> None:
    torch.manual_seed(0)
    small = PolicyNetwork(architecture(photographs=False)).eval()
    large = grown(small, architecture(photographs=True))
    assert large.architecture.num_classes[0] == len(ALL_CATEGORIES)
    texts = ["the red mug left of the ball"]
    before = small.grounding.text(torch.tensor(small.vocabulary.encode_padded(texts)))
    after = large.grounding.text(torch.tensor(large.vocabulary.encode_padded(texts)))
    assert torch.allclose(before.states, after.states)
    crops, places = torch.randn(2, 7, 48, 48), torch.rand(2, 10)
    old, new = small.encoder(crops, places), large.encoder(crops, places)
    assert torch.allclose(old.attributes[0], new.attributes[0][:, :24])
    with pytest.raises(InputError):
        grown(large, architecture(photographs=False))


def test_weights_without_an_encoder_begin_the_network_with_one(tmp_path: Path) -> None:
    old = PolicyNetwork(architecture(photographs=False)).eval()
    new = grown(old, architecture(photographs=True), _sight(tmp_path))
    crops, places = torch.randn(2, 7, 48, 48), torch.rand(2, 10)
    said = new.encoder(crops, places, torch.randn(2, NUM_SEEN))
    bias = new.encoder.seen[-1].bias  # type: ignore[index]
    assert torch.allclose(old.encoder(crops, places).embedding + bias, said.embedding, atol=1e-5)
    assert new.sight is not None
    assert old.sight is None
    folder = tmp_path / "other"
    folder.mkdir()
    moved = grown(new, architecture(photographs=True), _sight(folder))
    assert moved.sight is not new.sight
    assert all(torch.equal(a, b) for a, b in zip(new.state_dict().values(), moved.state_dict().values(), strict=True))


def test_a_grounding_that_sees_begins_as_it_was_and_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sight = _sight(tmp_path)
    blind = PolicyNetwork(architecture(photographs=True), sight).eval()
    seeing = grown(blind, replace(architecture(photographs=True), grounding_sees=True), sight)
    image = Image(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    before, after = perceive(blind, image), perceive(seeing, image)
    assert torch.equal(after.tokens[:, :-NUM_SEEN], before.tokens)
    words = blind.grounding.text(torch.tensor(blind.vocabulary.encode_padded(["the red mug"])))

    def logits(network: PolicyNetwork, tokens: torch.Tensor) -> torch.Tensor:
        valid = torch.ones(1, len(tokens), dtype=torch.bool)
        answer = network.grounding(words, tokens[None], after.geometry[None], after.certainty[None], valid)
        return answer.logits  # type: ignore[no-any-return]

    assert torch.allclose(logits(seeing, after.tokens), logits(blind, before.tokens), atol=1e-5)
    with torch.no_grad():
        seeing.grounding.look[-1].weight.normal_()  # type: ignore[index,operator,union-attr]
    told = logits(seeing, after.tokens)
    changed = after.tokens.clone()
    changed[:, -NUM_SEEN:] = torch.randn(len(changed), NUM_SEEN)
    assert not torch.allclose(told, logits(seeing, changed), atol=1e-3)
    save_network(tmp_path / "policy.safetensors", seeing, {})
    again = load_network(tmp_path / "policy.safetensors")
    assert again.architecture == seeing.architecture
    assert torch.allclose(logits(again, after.tokens), told, atol=0.05)


def test_what_is_no_single_thing_is_not_asked_about(coco: Path) -> None:
    path = coco / "instances.json"
    content = json.loads(path.read_text())
    content["categories"] = [{"id": n, "name": f"thing {n}"} for n in range(1, 31)]
    content["categories"][0]["name"], content["categories"][1]["name"] = "pottedplant", "dog"
    first = [a for a in content["annotations"] if a["image_id"] == 1]
    first[1]["kind"], first[2]["kind"] = "group", "part"
    content["annotations"].append({**_annotation(99, 1, 3, (0, 0, 50, 15)), "iscrowd": 1})
    path.write_text(json.dumps(content))
    photo = load_photos(coco, validation=False)[0]
    assert [name[0] for name in photo.names] == ["potted plant"]
    assert photo.labels[100, 80] == 1
    assert photo.labels[150, 200] == photo.labels[5, 20] == NOT_ASKED
    assert photo.labels[150, 280] == photo.labels[100, 5] == 0  # a part, and background
    content["categories"] = content["categories"][:3]
    path.write_text(json.dumps(content))
    few = load_photos(coco, validation=False)[0]
    assert few.labels[100, 5] == NOT_ASKED  # a set with three names does not outline everything


def test_sets_are_drawn_by_the_root_of_what_they_hold(coco: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    (small / "images").mkdir(parents=True)
    content = json.loads((coco / "instances.json").read_text())
    content["images"] = content["images"][:1]
    content["annotations"] = content["annotations"][:1]
    (small / "instances.json").write_text(json.dumps(content))
    (small / "images" / "1.png").write_bytes((coco / "images" / "1.png").read_bytes())
    sets = PhotoSets([coco, small])
    kinds = len({names[0] for photo in sets.training[0] for names in photo.names})
    assert kinds > 1
    assert np.allclose(sets.shares * (1 + (6 * kinds) ** 0.5), ((6 * kinds) ** 0.5, 1))
    assert len(sets.held_out) == 1
    pictures = list(sets.pictures(np.random.default_rng(0), 4))
    assert all(p.labels.shape == (256, 256) and p.image.width == 300 for p in pictures)
    assert {p.image.key for p in pictures} != {pictures[0].image.key}


@pytest.mark.slow
def test_training_with_photographs_from_nothing_and_from_weights(coco: Path, tmp_path: Path) -> None:
    sight = _sight(tmp_path)
    tiny = replace(TINY, photographs=(coco,), photo_views=4, grounding_photo_views=4, encoder=sight.path)
    trained = train_policy(tiny, tmp_path / "nothing")
    assert {"grounding_all", "photographs_grounding_all"} <= set(trained.measured)
    assert load_network(trained.weights).architecture == replace(architecture(photographs=True), grounding_sees=True)
    torch.manual_seed(0)
    old = PolicyNetwork(architecture(photographs=False))
    start = tmp_path / "old.safetensors"
    save_network(start, old, {})
    tuned = train_policy(replace(tiny, start=start, perception_only=True), tmp_path / "tuned")
    network = load_network(tuned.weights)
    kept = load_network(start).state.state_dict()
    assert all(torch.equal(value, kept[name]) for name, value in network.state.state_dict().items())
    card = tuned.weights.with_suffix(".json").read_text()
    assert str(tmp_path) not in card
    assert "--from WEIGHTS" in card


def test_a_process_reward_model_is_trained_on_what_there_is(coco: Path, tmp_path: Path) -> None:
    start = tmp_path / "start" / "policy.safetensors"
    start.parent.mkdir()
    network = PolicyNetwork(architecture(photographs=True), _sight(start.parent))
    save_network(start, network, {})
    tiny = replace(
        TINY, photographs=(coco,), start=start, prm_only=True, looks=3, prm_scenes=1, given_masks=4, clicked_share=0.5
    )
    trained = train_policy(tiny, tmp_path / "out")
    assert {"quality_r", "quality_auroc"} <= set(trained.measured)
    found = load_network(trained.weights)
    assert found.prm is not None
    before, after = network.state_dict(), found.state_dict()
    assert all(torch.allclose(after[name], value, atol=1e-2) for name, value in before.items())
    files = sorted((tmp_path / "out").rglob("looks_0.npz"))
    made = [path.stat().st_mtime_ns for path in files]
    assert len(made) == 2
    train_policy(replace(tiny, steps=3), tmp_path / "out")  # Goes on: what was looked at is not looked at again.
    assert [path.stat().st_mtime_ns for path in files] == made
    assert torch.load(tmp_path / "out" / "quality.pt", weights_only=True)["step"] == 3
    # Perception that changes leaves its judge behind.
    assert grown(found, architecture(photographs=True), found.sight).prm is None


def _published(folder: Path) -> Path:
    """A file as EfficientNet-Lite0's weights are published, all of them random."""
    asked: list[str] = []

    class Names(dict[str, torch.Tensor]):
        def __missing__(self, name: str) -> torch.Tensor:
            asked.append(name)
            return torch.tensor(len(asked) - 1)

    ours = {name: int(number) for name, number in from_published(Names()).items() if "num_batches" not in name}
    torch.manual_seed(1)
    values = Encoder().state_dict()
    weights = {asked[number]: values[name] for name, number in ours.items()}
    weights |= {f"_bn1.{name}": torch.ones(1280) for name in ("weight", "bias", "running_mean", "running_var")}
    weights |= {"_conv_head.weight": torch.randn(1280, 320, 1, 1)}
    weights |= {"_fc.weight": torch.randn(1000, 1280), "_fc.bias": torch.zeros(1000)}
    torch.save(weights, folder / "lite0.pth")
    return folder / "lite0.pth"


def test_nouns_are_added_and_all_else_stays(coco: Path, tmp_path: Path) -> None:
    encoder = _published(tmp_path)
    start = tmp_path / "start" / "policy.safetensors"
    start.parent.mkdir()
    network = PolicyNetwork(architecture(photographs=True), sight_for_training(encoder, start.parent))
    network.prm = Prm()
    save_network(start, network, {"command": "before"})
    adding = replace(TINY, photographs=(coco,), start=start, nouns_only=True, encoder=encoder)
    trained = train_policy(adding, tmp_path / "out")
    before, after = read_weights(start), read_weights(trained.weights)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert {name.partition(".")[0] for name in set(after) - set(before)} == {"kinds"}
    found = load_network(trained.weights)
    assert found.kinds is not None
    card = json.loads(trained.weights.with_suffix(".json").read_text())["card"]
    assert card["command"] == "before"
    assert "--nouns-only" in card["kinds"]["command"]
    kept = grown(found, architecture(photographs=True), found.sight).kinds
    assert kept is not None
    assert torch.equal(kept.name.weight, found.kinds.name.weight)
    # Another encoder sees otherwise: its classifier says nothing about what these weights see.
    (tmp_path / "other").mkdir()
    other = PolicyNetwork(architecture(photographs=True), _sight(tmp_path / "other"))
    other.kinds = found.kinds
    assert grown(other, architecture(photographs=True), found.sight).kinds is None
    save_network(tmp_path / "other" / "policy.safetensors", other, {})
    with pytest.raises(InputError, match="does not see with the encoder"):
        train_policy(replace(adding, start=tmp_path / "other" / "policy.safetensors"), tmp_path / "wrong")


@pytest.mark.parametrize("telling", [True, False])
def test_kinds_are_trusted_as_far_as_they_tell(telling: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = PolicyNetwork(architecture(photographs=True), _sight(tmp_path)).eval()
    network.kinds = Kinds()
    rng = np.random.default_rng(0)
    num = sum(network.architecture.num_classes)
    scenes = []
    for number in range(40):
        there = number % 4 < 2
        kinds = np.full((MAX_OBJECTS, NUM_KINDS), -9, np.float16)
        kinds[0, 849] = -0.5 if there == telling else -9  # a teapot
        expression = StoredExpression("the teapot", 0 if there else ABSENT_TARGET, "attribute", (0,) * there, None)
        tokens = rng.normal(size=(MAX_OBJECTS, EMBEDDING + num)).astype(np.float32)
        places = rng.random((MAX_OBJECTS, NUM_GEOMETRY), np.float32)
        truth = np.array([0, 1, *[-1] * (MAX_OBJECTS - 2)])
        certainty = np.ones(MAX_OBJECTS, np.float32)
        scenes.append(PerceivedScene(tokens, places, certainty, 2, truth, (expression,), kinds=kinds))
    measured = settle(network, scenes)
    assert float(network.kinds.trust) == pytest.approx(measured["kinds_trust"], abs=1e-6)
    if telling:
        assert measured["kinds_trust"] > 0.3
        assert measured["noun_untaught_absence_auroc_with_kinds"] == 1.0
        assert measured["noun_untaught_right_if_found_with_kinds"] == 1.0
    else:
        assert measured["kinds_trust"] == 0


def test_only_held_out_photographs_tell_their_number(coco: Path) -> None:
    assert [photo.image_id for photo in load_photos(coco, validation=True)] == [10]
