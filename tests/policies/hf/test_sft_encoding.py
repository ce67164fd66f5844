"""What a checkpoint is taught, token by token."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import numpy as np
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sft_examples import EXAMPLES, SIZE, DrawnDataset, example, observation_of, training_set
from tiny_checkpoints import make_llava, make_qwen3, make_qwen25, make_qwen_vl

from segagent.core import Action, Box, Click, Finish, Image, InputError, InvalidAction, Undo, encode_rle
from segagent.learning.examples import Example
from segagent.learning.sft.hf.data import EncodedExamples, LeftOut, data_fingerprint, too_long
from segagent.learning.sft.hf.encoding import NOT_TAUGHT, Collator, Encoder
from segagent.learning.sft.hf.model import is_vision, limit_pictures
from segagent.learning.sft.hf.order import training_order
from segagent.policies.chat import FORMATS, ask, parse_spec
from segagent.policies.hf import checkpoint_format
from segagent.policies.hf.loading import Checkpoint, load_checkpoint
from segagent.policies.hf.model import LocalModel
from segagent.policies.hf.prompts import closing_token

MAKERS = {"llava": make_llava, "qwen2.5": make_qwen25, "qwen3": make_qwen3, "qwen-vl": make_qwen_vl}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folders = {name: make(tmp_path_factory.mktemp(name.replace(".", ""))) for name, make in MAKERS.items()}
    return {name: load_checkpoint(str(folder), device="cpu", dtype="float32") for name, folder in folders.items()}


@pytest.fixture(scope="module")
def encoders(loaded: dict[str, Checkpoint]) -> dict[str, Encoder]:
    return {
        name: Encoder(one, checkpoint_format(parse_spec("anything", ()), one), 4096) for name, one in loaded.items()
    }


def taught(encoder: Encoder, one: Example) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids before the reply, ids of the reply, and labels of all."""
    encoded = encoder(one, DrawnDataset().load_image(one.image))
    ids, labels = encoded["input_ids"][0], encoded["labels"][0]
    assert encoded["attention_mask"].shape == encoded["labels"].shape == encoded["input_ids"].shape
    assert encoded["attention_mask"].all()
    start = int((labels != NOT_TAUGHT).nonzero()[0])
    return ids[:start], ids[start:], labels


actions = st.one_of(
    st.builds(Click, st.integers(0, SIZE[1] - 1), st.integers(0, SIZE[0] - 1), st.booleans()),
    st.just(Finish()),
    st.just(Undo()),
    st.builds(lambda x, y: Box(x, y, SIZE[1], SIZE[0]), st.integers(0, 50), st.integers(0, 50)),
)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(action=actions, iou=st.floats(0, 1), text=st.text(min_size=1, max_size=20), number=st.integers(0, 5))
def test_exactly_the_reply_is_taught(
    name: str,
    loaded: dict[str, Checkpoint],
    encoders: dict[str, Encoder],
    action: Action,
    iou: float,
    text: str,
    number: int,
) -> None:
    encoder, tokenizer = encoders[name], loaded[name].tokenizer
    one = example(number, action, iou, text)
    before, reply, labels = taught(encoder, one)
    # Prompt and pictures are what inference sends, and none of it is taught.
    model = LocalModel(loaded[name])
    inputs = model._inputs([ask(encoder.format, observation_of(one))])
    assert inputs["input_ids"][0].tolist() == before.tolist()
    assert (labels[: len(before)] == NOT_TAUGHT).all()
    assert labels[len(before) :].tolist() == reply.tolist()
    encoded = encoder(one, DrawnDataset().load_image(one.image))
    assert torch.equal(encoded["pixel_values"], inputs["pixel_values"])
    # The reply is the format's text and the token that ends it.
    assert reply[-1] == closing_token(loaded[name])
    assert int(reply[-1]) in model._end_tokens
    text_taught = tokenizer.decode(reply[:-1].tolist())
    assert text_taught == encoder.format.render(action, *SIZE, iou)
    read, predicted = encoder.format.parse(text_taught, *SIZE)
    assert type(read) is type(action)
    if predicted is not None:  # "1%" is not read by the paper's format, which cannot know its scale.
        assert predicted == pytest.approx(iou, abs=0.006)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("iou", [0.0, 0.05, 0.374, 0.5, 0.99, 1.0])
def test_without_an_action_only_the_iou_is_taught(
    name: str, iou: float, loaded: dict[str, Checkpoint], encoders: dict[str, Encoder]
) -> None:
    encoder = encoders[name]
    _, reply, _ = taught(encoder, example(1, None, iou, "a lamp"))
    text = loaded[name].tokenizer.decode(reply.tolist())
    for action in (Click(3, 4, positive=True), Click(60, 50, positive=False), Finish(), Undo()):
        whole = encoder.format.render(action, *SIZE, iou)
        assert whole.startswith(text)
        _, with_action, _ = taught(encoder, example(1, action, iou, "a lamp"))
        assert with_action[: len(reply)].tolist() == reply.tolist()
    number = f"{round(iou, 4):g}" if encoder.format.iou_style == "unit" else f"{round(100 * iou)}"
    assert number in text
    assert not any(word in text for word in ("ositive", "egative", "inish", "ndo", "("))
    assert not {int(token) for token in reply} & LocalModel(loaded[name])._end_tokens


@pytest.mark.parametrize("name", MAKERS)
def test_a_batch_is_its_rows(name: str, loaded: dict[str, Checkpoint], encoders: dict[str, Encoder]) -> None:
    """Padding changes nothing: each row of a batch scores its own reply as if it were alone."""
    checkpoint, data = loaded[name], DrawnDataset()
    rows = [encoders[name](one, data.load_image(one.image)) for one in EXAMPLES]
    collate = Collator(checkpoint.tokenizer.pad_token_id)
    together = collate(rows)
    assert (together["labels"][together["attention_mask"] == 0] == NOT_TAUGHT).all()
    with torch.no_grad():
        logits = checkpoint.model(**together).logits
        for number, row in enumerate(rows):
            alone = checkpoint.model(**collate([row])).logits[0]
            taught = (row["labels"][0] != NOT_TAUGHT).nonzero()[:, 0] - 1
            torch.testing.assert_close(logits[number, taught], alone[taught], atol=2e-5, rtol=1e-4)


def test_pictures_of_different_make_up_are_joined() -> None:
    parts = [{"pixel_values": torch.ones(1, 2, 3)}, {"pixel_values": torch.ones(1, 5, 3)}]
    joined = Collator(0)(parts)["pixel_values"]
    assert joined.shape == (2, 5, 3)
    assert joined[0, 2:].sum() == 0
    assert joined.sum() == 21


def test_unusable_examples(encoders: dict[str, Encoder], loaded: dict[str, Checkpoint]) -> None:
    encoder, image = encoders["llava"], DrawnDataset().load_image("1")
    with pytest.raises(InputError, match=r"sample1.*invalid reply"):
        encoder(example(1, InvalidAction("nonsense", "empty"), 0.5, "x"), image)
    with pytest.raises(InputError, match=r"sample1.*picture of"):
        encoder(EXAMPLES[1], Image.of(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(InputError, match=r"sample1.*max_length 50"):
        Encoder(loaded["llava"], FORMATS["paper"], 50)(EXAMPLES[1], image)


def test_pictures_are_shrunk_to_leave_room_for_words(tmp_path: Path) -> None:
    transformers.logging.disable_progress_bar()
    checkpoint = load_checkpoint(str(make_qwen25(tmp_path)), device="cpu", dtype="float32")
    limit_pictures(checkpoint, 60)
    fmt = checkpoint_format(parse_spec("x", ()), checkpoint)
    large = Image.of(np.zeros((400, 300, 3), np.uint8))
    assert np.prod(fmt.shown((400, 300))) <= 30 * 28 * 28
    encoded = Encoder(checkpoint, fmt, 9999)(
        replace(EXAMPLES[1], mask=encode_rle(np.zeros((400, 300), np.bool_))), large
    )
    _, rows, columns = encoded["image_grid_thw"][0].tolist()
    assert (rows * 14, columns * 14) == fmt.shown((400, 300))
    assert rows * columns // 4 <= 30


def test_order_is_every_example_once_an_epoch() -> None:
    sets = [training_set(), training_set(*EXAMPLES[:2])]
    assert len(training_order(sets, 18, seed=3)) == 18
    order = training_order(sets, 18, seed=3).tolist()
    for epoch in (order[:7], order[7:14]):
        assert {tuple(place) for place in epoch} == {(0, n) for n in range(5)} | {(1, 0), (1, 1)}
    assert order[:7] != order[7:14]
    assert training_order(sets, 18, seed=3).tolist() == order
    assert training_order(sets, 18, seed=4).tolist() != order
    assert training_order(sets, 9, seed=3).tolist() == order[:9]


def test_a_picture_is_kept_while_it_is_in_use(encoders: dict[str, Encoder]) -> None:
    one = training_set()
    left_out = LeftOut(frozenset(), (0, 0))
    data = EncodedExamples([one], training_order([one], 20, seed=0), encoders["llava"], left_out)
    assert all("labels" in data[position] for position in range(len(data)))
    assert isinstance(one.dataset, DrawnDataset)
    assert sorted(one.dataset.loads) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("name", MAKERS)
def test_the_length_is_known_without_the_picture(name: str, encoders: dict[str, Encoder]) -> None:
    tall = replace(EXAMPLES[1], mask=encode_rle(np.zeros((200, 90), np.bool_)), text="a lamp " * 30)
    pictures = {example.sample_id: DrawnDataset().load_image(example.image) for example in EXAMPLES}
    for one in (*EXAMPLES, EXAMPLES[0], tall):
        image = Image.of(np.full((200, 90, 3), 7, np.uint8)) if one is tall else pictures[one.sample_id]
        assert encoders[name].length(one) == encoders[name](one, image)["input_ids"].shape[1]


def test_examples_that_are_too_long_teach_nothing_in_their_places(
    encoders: dict[str, Encoder], loaded: dict[str, Checkpoint]
) -> None:
    long = example(2, Click(5, 5, positive=True), 0.5, "the lamp beside the " * 20)
    sets = [training_set(EXAMPLES[0], long), training_set(long, EXAMPLES[4])]
    lengths = sorted(encoders["llava"].length(one) for each in sets for one in each.examples)
    assert lengths[1] < lengths[2]
    encoder = Encoder(loaded["llava"], encoders["llava"].format, lengths[1])
    left_out = too_long(sets, encoder, lengths[1])
    assert left_out.places == {(0, 1), (1, 0)}
    order = training_order(sets, 8, seed=1)
    data = EncodedExamples(sets, order, encoder, left_out)
    taught = [bool((data[n]["labels"] != NOT_TAUGHT).any()) for n in range(8)]
    assert taught == [tuple(place) not in left_out.places for place in order.tolist()]
    with pytest.raises(InputError, match=rf"all 4 examples are longer than max_length 9, .* {lengths[0]} tokens"):
        too_long(sets, encoder, 9)


def test_fingerprint_follows_what_is_taught() -> None:
    changed = replace(EXAMPLES[1], current_iou=0.375)
    prints = {
        data_fingerprint(sets)
        for sets in (
            [training_set()],
            [training_set(), training_set()],
            [training_set(*EXAMPLES[:4])],
            [training_set(EXAMPLES[0], changed, *EXAMPLES[2:])],
        )
    }
    assert len(prints) == 4
    assert data_fingerprint([training_set()]) == data_fingerprint([training_set()])


@pytest.mark.parametrize(
    ("name", "vision"),
    [
        ("model.visual.blocks.0.attn.qkv.weight", True),
        ("model.visual.merger.mlp.0.weight", False),
        ("model.visual.deepstack_merger_list.0.norm.weight", False),
        ("model.vision_tower.embeddings.patch_embeddings.projection.weight", True),
        ("model.multi_modal_projector.linear_1.weight", False),
        ("model.connector.modality_projection.proj.weight", False),
        ("model.language_model.layers.0.self_attn.q_proj.weight", False),
        ("lm_head.weight", False),
    ],
)
def test_projectors_are_not_vision(name: str, vision: bool) -> None:
    assert is_vision(name) is vision
