"""Examples that are read from the disk: the same ones, in an order that needs no memory per example."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from segagent.cli.main import main
from segagent.core import Box, Click, Finish, InputError, decode_rle, encode_rle
from segagent.datasets import open_dataset
from segagent.learning.examples import Example
from segagent.learning.sft import TrainingSet, load_annotator_set
from segagent.learning.sft.hf import order as ordering
from segagent.learning.sft.sets import annotator_sets, as_trajectories, streamed_set, write_examples
from segagent.learning.sft.streamed import stream_examples
from segagent.learning.trajectories import read_trajectories

SCENES = "scenes:6:seed=8,split=train,sentences=2,size=64"


@pytest.fixture(scope="module")
def d_0(tmp_path_factory):
    path = tmp_path_factory.mktemp("d_0") / "traj.jsonl"
    made = ["trajectories", SCENES, "-o", str(path), "--tool", "disc", "--max-steps", "3", "--workers", "1", "--json"]
    assert main(made) == 0
    return path


def test_they_are_those_in_memory(d_0, tmp_path):
    whole = list(load_annotator_set(d_0).examples)
    streamed = stream_examples(d_0, tmp_path / "i")
    assert list(streamed) == whole
    assert [streamed[index] for index in range(len(streamed))] == whole
    assert streamed[3:5] == whole[3:5]
    with pytest.raises(IndexError):
        streamed[len(whole)]
    sizes = {tuple(int(n) for n in size) for size in streamed.rows["size"]}
    assert sizes == {(64, 64)}
    # One picture, one number.
    pictures = {(int(row["unit"]), streamed.of_row(place)[0].image) for place, row in enumerate(streamed.rows)}
    assert len(pictures) == len({image for _, image in pictures}) == 6
    assert (streamed.rows["words"] >= [len(streamed.of_row(n)[0].text) for n in range(len(streamed.rows))]).all()


def test_boxes_are_taught_before_what_follows_them(d_0, tmp_path):
    streamed = stream_examples(d_0, tmp_path / "i", boxes=True)
    boxes = [one for one in streamed if one.asks == "box"]
    trajectories = [one for one in read_trajectories(d_0) if one.start.kind == "box"]
    assert len(boxes) == len(trajectories) == len(streamed) - len(load_annotator_set(d_0).examples) > 0
    targets = {sample.sample_id: sample.load_target()[0] for sample in open_dataset(SCENES)}
    for one in boxes:
        rows, columns = np.nonzero(targets[one.sample_id])
        assert one.action == Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert not decode_rle(one.mask).any()
        assert one.current_iou == 0


def test_an_index_is_made_once_for_a_file_as_it_is(d_0, tmp_path, monkeypatch):
    path = tmp_path / "t.jsonl"
    lines = d_0.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    first = stream_examples(path, tmp_path / "i")
    with monkeypatch.context() as patch:
        patch.setattr("segagent.learning.sft.streamed._write_index", None)
        assert stream_examples(path, tmp_path / "i").digest == first.digest
    path.write_bytes(b"".join(lines) + lines[-1][:40])  # Longer, and torn at its end.
    second = stream_examples(path, tmp_path / "i")
    assert list(second) == list(load_annotator_set(d_0).examples)
    assert second.digest != first.digest
    damaged = bytearray(b"".join(lines))
    damaged[len(lines[0]) + len(lines[1]) + 200] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(InputError, match="line 3: damaged"):
        stream_examples(path, tmp_path / "i")
    with pytest.raises(InputError, match="was it changed"):
        first.of_row(1)


def test_odd_sentences_and_lines_without_checksums(d_0, tmp_path):
    """What stands between quotation marks is never taken for a part of the record."""
    header, *lines = d_0.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("crc")
        record["text"] = 'the "height": 3, "width": 4, "parent": \\ <|[INST]{%\n"'
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join([header, *(json.dumps(record) for record in records)]) + "\n")
    plain = stream_examples(path, tmp_path / "i")
    assert list(plain) == [replace(one, text=records[0]["text"]) for one in load_annotator_set(d_0).examples]
    from segagent.runs.journal import Journal

    with Journal(tmp_path / "crc.jsonl", {}, {}) as journal:
        for unit, record in enumerate(records):
            record.pop("unit")
            journal.append(unit, [record])
    checked = stream_examples(tmp_path / "crc.jsonl", tmp_path / "j")
    assert list(checked) == list(plain)
    assert checked.rows["words"].tolist() == plain.rows["words"].tolist()
    # What the prompt quotes is at most as long.
    from segagent.policies.chat.templates import quote

    assert len(quote(records[0]["text"]).encode()) <= int(plain.rows[0]["words"]) + 2


def test_a_trajectory_without_rewards_is_named(d_0, tmp_path):
    path = tmp_path / "t.jsonl"
    header, first, *_ = d_0.read_text().splitlines()
    record = json.loads(first)
    record.pop("crc")
    record["steps"][0]["reward"] = None
    path.write_text(f"{header}\n{json.dumps(record)}\n")
    with pytest.raises(InputError, match="has no reward for state 1"):
        stream_examples(path, tmp_path / "i")


def test_examples_of_any_origin_are_written_and_read(d_0, tmp_path):
    mask = encode_rle(np.eye(8, 9, dtype=np.bool_))
    made = [
        [
            Example("a", "p1", 'the "mug"\n', mask, 0.123456789, Click(3, 4, positive=False), "replaced"),
            Example("a", "p1", 'the "mug"\n', mask, 0.5, None, "dropped"),
        ],
        [],
        [Example("b", "p1", "x", mask, 0.97, Finish(), "annotator", "good")],
        [Example("c", "p2", "x", mask, 0.0, Box(1, 2, 3, 4), "annotator", "box")],
    ]
    dataset = open_dataset(SCENES)
    write_examples(tmp_path / "e.jsonl", dataset, made)
    one = streamed_set(tmp_path / "e.jsonl", dataset)
    assert list(one.examples) == [example for examples in made for example in examples]
    assert one.examples.rows["unit"].tolist() == [0, 0, 1]


class Numbered:
    """Examples of which only the picture is known."""

    def __init__(self, pictures):
        self.examples = [Example(str(n), name, "", {}, 0.0, None, "kept") for n, name in enumerate(pictures)]


def sets_of(*pictures, weights=None):
    weights = weights or [None] * len(pictures)
    return [TrainingSet(None, Numbered(names).examples, w) for names, w in zip(pictures, weights, strict=True)]


def test_each_example_once_an_epoch_however_many_windows(monkeypatch):
    monkeypatch.setattr(ordering, "_WINDOW", 8)
    sets = sets_of([f"p{n // 3}" for n in range(20)], [f"p{n % 4}" for n in range(13)])
    order = ordering.Order(sets, 99, 5).tolist()
    everything = [[0, n] for n in range(20)] + [[1, n] for n in range(13)]
    for epoch in range(3):
        assert sorted(order[33 * epoch : 33 * (epoch + 1)]) == everything
    # Neighbours share pictures: a picture's examples lie within two windows and what is shuffled into them.
    named = [(which, sets[which].examples[place].image) for which, place in order[:33]]
    for name in set(named):
        places = [place for place, other in enumerate(named) if other == name]
        assert places[-1] // 8 - places[0] // 8 <= 2


def test_weights_share_out_every_window(monkeypatch):
    monkeypatch.setattr(ordering, "_WINDOW", 16)
    sets = sets_of(["a"] * 5, ["b"] * 50, weights=[3.0, 1.0])
    order = ordering.Order(sets, 160, 5).tolist()
    for window in range(10):
        drawn = Counter(which for which, _ in order[16 * window : 16 * (window + 1)])
        assert drawn == {0: 12, 1: 4}
    few = Counter(place for which, place in order if which == 0)
    assert set(few.values()) == {24}  # 120 draws of five: each as often as any.
    assert sorted(place for which, place in order if which == 1) == sorted(set(p for w, p in order if w == 1))
    assert ordering.Order(sets, 7, 5).tolist() == order[:7]
    for weights in ([1.0, None], [1.0, 0.0], [1.0, 1e-4]):
        with pytest.raises(InputError, match="weights"):
            ordering.Order(sets_of(["a"], ["b"], weights=weights), 9, 0)


def test_what_files_are_made_into(d_0, tmp_path):
    sets = annotator_sets("hf:x", [d_0, d_0], tmp_path, weights=[2.0, 1.0])
    assert [one.weight for one in sets] == [2.0, 1.0]
    assert sets[0].examples.digest == sets[1].examples.digest
    for policy, options in (
        ("embedded", {"weights": [1.0]}),
        ("embedded", {"boxes": True}),
        ("hf:x", {"weights": [1]}),
    ):
        with pytest.raises(InputError):
            annotator_sets(policy, [d_0] * (1 + (policy == "hf:x")), tmp_path, **options)


def test_published_trajectories_teach_what_ours_do(tmp_path):
    """Ours, written in the published format and read back, with the pictures beside."""
    scenes, ours = tmp_path / "scenes", tmp_path / "ours.jsonl"
    assert main(["scenes", str(scenes), "--num", "2", "--seed", "3", "--json"]) == 0
    made = ["trajectories", str(scenes), "-o", str(ours), "--tool", "disc", "--max-steps", "3", "--starts", "empty"]
    assert main([*made, "--tau-stop", "0.5", "--tau-diff", "-1", "--workers", "1", "--json"]) == 0
    published = tmp_path / "published.json"
    assert main(["export-examples", str(ours), "--to", "published", "-o", str(published), "--json"]) == 0
    with pytest.raises(InputError, match="--images"):
        as_trajectories([published], None, tmp_path / "out")
    with pytest.raises(InputError, match="--images is for"):
        as_trajectories([ours], scenes, tmp_path / "out")
    (path,) = as_trajectories([published], scenes, tmp_path / "out")
    theirs, own = load_annotator_set(path), load_annotator_set(ours)
    clicks = [[(e.image, e.text, e.mask, e.action) for e in one.examples if e.action] for one in (theirs, own)]
    assert Counter(map(repr, clicks[0])) == Counter(repr(c) for c in clicks[1] if not isinstance(c[3], Finish))
    assert {e.current_iou for e in theirs.examples} == {e.current_iou for e in own.examples}
    picture = theirs.examples[0].image
    assert (theirs.dataset.load_image(picture).pixels == own.dataset.load_image(picture).pixels).all()
    assert [s.text for s in theirs.dataset] == [s.text for s in open_dataset(f"published:{published}:images={scenes}")]
