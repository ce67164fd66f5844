from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segagent.annotation import annotate_image
from segagent.conformance.policies import observation
from segagent.core import Click, Finish, Image, InputError, Outliner, WeightsError
from segagent.policies.embedded.network import Architecture, PolicyNetwork, load_network, save_network
from segagent.policies.embedded.policy import EmbeddedPolicy
from segagent.policies.embedded.tokens import MAX_WORDS, UNKNOWN, Vocabulary, swap_sides
from segagent.policies.overlay import draw_overlay, seen_mask
from segagent.tools import make_tool
from segagent.vision.encoder import Encoder
from segagent.vision.sight import FILE, save_encoder


def test_each_picture_and_sentence_is_encoded_once(untrained: PolicyNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = EmbeddedPolicy(untrained)
    seen: list[str] = []
    perceive, encode = policy._perceive, policy._encode
    monkeypatch.setattr(policy, "_perceive", lambda image: (seen.append("image"), perceive(image))[1])
    monkeypatch.setattr(policy, "_encode", lambda text: (seen.append("text"), encode(text))[1])
    looks = [observation(40, 50, text, covered=covered) for text in ("red mug", "blue mug") for covered in (0.0, 0.5)]
    policy.propose(looks)
    policy.propose(looks)
    assert sorted(seen) == ["image", "text", "text"]


def test_the_mask_may_be_shown_in_another_colour(untrained: PolicyNetwork) -> None:
    policy = EmbeddedPolicy(untrained)
    look = observation(40, 50, "red mug", covered=0.5)
    empty = observation(40, 50, "red mug", covered=0.0)
    blue = policy.shown_in((0, 0, 255))
    assert np.array_equal(blue.read(empty).place, policy.read(empty).place)
    assert not np.array_equal(blue.read(look).place, policy.read(look).place)
    assert np.array_equal(policy.shown_in((0, 255, 0)).read(look).place, policy.read(look).place)


def test_the_best_box_lies_in_the_picture(untrained: PolicyNetwork) -> None:
    for height, width in ((40, 50), (300, 61), (256, 256)):
        box = EmbeddedPolicy(untrained).best_box(observation(height, width, "red mug"))
        assert box.inside(height, width)


def test_the_outline_is_the_likeliest_objects_and_of_the_pictures_size(untrained: PolicyNetwork) -> None:
    policy = EmbeddedPolicy(untrained)
    for height, width in ((40, 50), (300, 61), (256, 256)):
        look = observation(height, width, "red mug")
        outline = policy.outline(look.image, look.text)
        assert outline.shape == (height, width)
        assert outline.dtype == np.bool_
        # Cell by cell it is the coverage of the object that a box would be drawn around.
        likeliest = int(policy.read(observation(height, width, "red mug", covered=0.0)).objects[1:].argmax())
        coverage = policy._percept(look.image).coverage[likeliest].numpy()
        assert outline.mean() == pytest.approx((coverage > 0.5).mean(), abs=0.05)
    assert isinstance(policy, Outliner)


def test_memory_is_bounded(untrained: PolicyNetwork) -> None:
    policy = EmbeddedPolicy(untrained, remembered_images=2, remembered_texts=2)
    policy.propose([observation(40, 50, f"mug {n}", seed=n) for n in range(4)])
    assert len(policy._percepts._values) == len(policy._words._values) == 2


def test_the_predicted_iou_is_the_one_in_the_text(untrained: PolicyNetwork) -> None:
    ((proposal,),) = EmbeddedPolicy(untrained).propose([observation(40, 50, "red mug")])
    assert proposal.text.startswith(f"Current IoU: {round(100 * (proposal.predicted_iou or 0))}. ")


def test_bad_options_are_refused(untrained: PolicyNetwork) -> None:
    policy = EmbeddedPolicy(untrained)
    look = observation(40, 50, "red mug")
    for call in (
        lambda: policy.propose([look], 0),
        lambda: policy.propose([look], temperature=-1.0),
        lambda: policy.propose([look], temperature=float("nan")),
        lambda: policy.propose([look], seeds=[]),
        lambda: EmbeddedPolicy(untrained, iou_decoding="median"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError):
            call()


def test_weights_survive_the_disk(untrained: PolicyNetwork, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    save_network(path, untrained, {"note": "test"})
    loaded = load_network(path)
    assert json.loads((tmp_path / "policy.json").read_text())["card"] == {"note": "test"}
    for name, value in untrained.state_dict().items():
        if value.is_floating_point():
            assert np.allclose(value, loaded.state_dict()[name], atol=2e-3, rtol=2e-3), name


def test_no_such_object_is_an_answer_to_an_empty_mask_alone(untrained: PolicyNetwork, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    save_network(path, untrained, {})
    sure = load_network(path)
    sure.absent_above = 0.0
    save_network(path, sure, {})
    policy = EmbeddedPolicy(load_network(path))
    empty, begun = observation(40, 50, "red mug", covered=0.0), observation(40, 50, "red mug", covered=0.5)
    ((said, same), (click, _)) = policy.propose([empty, begun], 2)
    assert isinstance(said.action, Finish)
    assert said == same
    assert said.text.endswith("Finish")
    assert said.predicted_iou is not None
    assert isinstance(click.action, Click)
    assert not policy.outline(empty.image, "red mug").any()
    assert any("not to be in this picture" in doubt for doubt in policy.doubts(empty.image, "red mug"))
    trajectory = annotate_image(empty.image, "red mug", policy, make_tool("disc"))
    assert trajectory.stopped == "finish"
    assert not trajectory.mask_at(trajectory.returned).any()
    sure.absent_above = 1.1
    assert isinstance(EmbeddedPolicy(sure).propose([empty])[0][0].action, Click)
    assert isinstance(EmbeddedPolicy(untrained).propose([empty])[0][0].action, Click)  # it never learnt to tell


def test_a_word_read_as_another_is_told(untrained: PolicyNetwork) -> None:
    look = observation(40, 50, "red mug")
    assert "reads 'beaker' as 'cup'" not in EmbeddedPolicy(untrained).doubts(look.image, "beaker")  # it knows no cup
    network = PolicyNetwork(Architecture(("cup", "right"), (3, 2, 2, 3)), untrained.sight).eval()
    policy = EmbeddedPolicy(network)
    assert "reads 'rigth' as 'right'" in policy.doubts(look.image, "rigth cup")
    assert policy.unknown_words("rigth cup violin") == ["violin"]


def test_unusable_weights_say_so(untrained: PolicyNetwork, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    with pytest.raises(WeightsError, match="no policy weights"):
        load_network(path)
    save_network(path, untrained, {})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="damaged"):
        load_network(path)
    path.write_bytes(whole)
    card = path.with_suffix(".json")
    good = card.read_text()
    for bad in ("{", "[]", "{}", good.replace("policy/2", "policy/0"), good.replace('"mug",', '"mug", "cat",')):
        card.write_text(bad)
        with pytest.raises(WeightsError):
            load_network(path)


def test_the_encoder_stays_with_the_weights(untrained: PolicyNetwork, tmp_path: Path) -> None:
    path = tmp_path / "policy.safetensors"
    save_network(path, untrained, {})
    assert not any(name.startswith("sight") for name in untrained.state_dict())
    assert untrained.sight is not None
    own = tmp_path / FILE
    assert own.read_bytes() == untrained.sight.path.read_bytes()
    other = Encoder()
    save_encoder(other, own)
    with pytest.raises(WeightsError, match="another encoder"):
        load_network(path)
    own.unlink()
    with pytest.raises(WeightsError):
        load_network(path)


def test_a_picture_is_encoded_once_however_often_it_is_asked_about(untrained: PolicyNetwork) -> None:
    sight = untrained.sight
    assert sight is not None
    look = observation(90, 120, "red mug", covered=0.0, seed=77)
    sight.whole(look.image)
    before = sight.num_encoded
    policy = EmbeddedPolicy(untrained)
    policy.propose([look])
    num_objects = len(policy._percept(look.image).tokens)
    assert sight.num_encoded == before + num_objects
    policy.propose([look])
    assert sight.num_encoded == before + num_objects


def test_doubts_follow_what_is_seen_and_meant(untrained: PolicyNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    from segagent.policies.embedded import policy as embedded

    policy = EmbeddedPolicy(untrained)
    image = Image.of(np.full((48, 64, 3), 90, np.uint8))
    monkeypatch.setattr(embedded, "UNSURE_BELOW", 1.1)
    monkeypatch.setattr(embedded, "NONE_ABOVE", -0.1)
    sees, takes = policy.doubts(image, "the mug")
    assert sees.startswith("sees no object")
    assert takes.startswith("takes none")
    monkeypatch.setattr(embedded, "UNSURE_BELOW", 0.0)
    monkeypatch.setattr(embedded, "NONE_ABOVE", 1.0)
    assert policy.doubts(image, "the mug") == []


def test_unknown_words_are_named_not_refused(untrained: PolicyNetwork) -> None:
    policy = EmbeddedPolicy(untrained)
    assert policy.unknown_words("The RED zebra, left of a zebra") == ["zebra", "of", "a"]
    assert policy.unknown_words("") == []


def test_vocabulary() -> None:
    vocabulary = Vocabulary(["red", "mug"])
    assert vocabulary.encode("Red ... MUG?") == vocabulary.encode("red mug")
    assert vocabulary.encode("") == vocabulary.encode("zebra") == [UNKNOWN]
    assert len(vocabulary.encode("red " * 1000)) == MAX_WORDS
    assert vocabulary.encode_padded(["red mug", "mug"])[1][1] == 0
    assert swap_sides("Leftmost mug right of the ball") == "rightmost mug left of the ball"


def test_the_mask_is_seen_through_the_overlay() -> None:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (64, 64, 3), np.uint8)
    mask = np.zeros((64, 64), np.float32)
    mask[10:30, 20:50] = 1
    assert np.abs(seen_mask(draw_overlay(clean, mask), clean) - mask).max() < 0.05
    green = np.zeros((64, 64, 3), np.uint8)
    green[..., 1] = 255
    assert not seen_mask(draw_overlay(green, mask), green).any()
