"""Exports read back, compared with what inference shows and reads."""

import json
import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from segagent.core import (
    Action,
    Click,
    Finish,
    InputError,
    Observation,
    SpecError,
    Start,
    Step,
    Trajectory,
    decode_rle,
    encode_rle,
)
from segagent.datasets import FolderDataset
from segagent.learning.exports import (
    Conversation,
    Conversations,
    export_format,
    read_llama_factory,
    read_trl,
    write_llama_factory,
    write_trl,
)
from segagent.learning.exports.conversations import example_of_note
from segagent.learning.sft import load_annotator_set
from segagent.policies.chat import FORMATS, ask, load_format
from segagent.runs.journal import Journal

SIZE = 30, 44


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FolderDataset:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    mask = np.zeros(SIZE, np.uint8)
    mask[5:20, 10:30] = 255
    PillowImage.fromarray(mask).save(folder / "m.png")
    samples = []
    for name in ("a.png", "b.png"):
        PillowImage.fromarray(rng.integers(0, 256, (*SIZE, 3), np.uint8)).save(folder / name)
        samples.append({"id": name[0], "image": name, "mask": "m.png", "text": "the bar"})
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return FolderDataset(folder)


def written(path: Path, dataset: FolderDataset, trajectories: Sequence[Trajectory]) -> Path:
    with Journal(path, {"dataset": dataset.fingerprint}, {"dataset": dataset.spec}) as journal:
        for number, one in enumerate(trajectories):
            journal.append(number, [one.to_dict()])
    return path


masks = st.builds(
    lambda y, x, h, w: np.pad(np.ones((h, w), np.bool_), ((y, SIZE[0] - y - h), (x, SIZE[1] - x - w))),
    st.integers(0, 10),
    st.integers(0, 10),
    st.integers(0, 20),
    st.integers(0, 30),
)
clicks = st.builds(Click, st.integers(0, SIZE[1] - 1), st.integers(0, SIZE[0] - 1), st.booleans())
actions: st.SearchStrategy[Action] = st.one_of(clicks, clicks, clicks, st.just(Finish()))


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    states = draw(st.lists(st.tuples(actions, masks, st.floats(0, 1)), max_size=4))
    steps = [
        Step(action, "", encode_rle(mask), number, reward=iou) for number, (action, mask, iou) in enumerate(states)
    ]
    name = draw(st.sampled_from("ab"))
    text = draw(st.text(min_size=1, max_size=30) | st.sampled_from(['a "<image>" <video>', "\u65e5\u672c", "\ud800"]))
    start = Start("empty", encode_rle(draw(masks)), reward=draw(st.floats(0, 1)))
    stopped = draw(st.sampled_from(["tau_stop", "max_steps"]))
    return Trajectory(name, f"{name}.png", *SIZE, text, "p", "t", 0, start, tuple(steps), len(steps), stopped)


def same(a: Conversation, b: Conversation) -> bool:
    pictures = len(a.pictures) == len(b.pictures) and all(map(np.array_equal, a.pictures, b.pictures))
    return pictures and (a.example, a.prompt, a.reply, a.names) == (b.example, b.prompt, b.reply, b.names)


@pytest.mark.parametrize("kind", ["llama-factory", "messages", "prompt-completion"])
@pytest.mark.parametrize("name", ["paper", "qwen2.5", "segagent-qwen", "gemini", "molmo", "segagent"])
@settings(max_examples=12, deadline=None)
@given(made=st.lists(trajectories(), min_size=1, max_size=4))
def test_what_is_read_back_is_what_was_written(
    kind: str, name: str, data: FolderDataset, made: list[Trajectory]
) -> None:
    if kind != "llama-factory":
        pytest.importorskip("pyarrow")
    fmt = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        file, out = written(Path(folder) / "t.jsonl", data, made), Path(folder) / "out"
        training_set = load_annotator_set(file)
        expected = Conversations([training_set], fmt)
        if not expected:
            with pytest.raises(InputError, match="no example to write"):
                write_llama_factory([file], out, fmt)
            assert [path.name for path in Path(folder).iterdir()] == ["t.jsonl"]
            return
        if kind == "llama-factory":
            exported, read = write_llama_factory([file], out, fmt), list(read_llama_factory(out))
        else:
            columns: Any = kind
            exported = write_trl([file], out, fmt, columns=columns, bytes_per_file=3000)
            read = list(read_trl(out))
        assert len(read) == len(expected) == exported.num_written
        assert exported.num_left_out == expected.num_left_out
        assert all(same(one, expected.conversation(number)) for number, one in enumerate(read))
        taught = [one for one in training_set.examples if one.action is not None]
        assert [one.example for one in read] == taught
        assert load_format(str(out / "segagent_format.json")) == fmt


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20, deadline=None)
@given(made=trajectories())
def test_pictures_prompts_and_replies_are_those_of_inference(name: str, data: FolderDataset, made: Trajectory) -> None:
    fmt = FORMATS[name]
    with tempfile.TemporaryDirectory() as folder:
        training_set = load_annotator_set(written(Path(folder) / "t.jsonl", data, [made]))
    all_ = Conversations([training_set], fmt)
    for number in range(len(all_)):
        one = all_.conversation(number)
        image = data.load_image(one.example.image)
        question = ask(fmt, Observation(image, made.text, decode_rle(one.example.mask)))
        assert one.prompt == question.prompt
        assert all(map(np.array_equal, one.pictures, (picture.pixels for picture in question.pictures)))
        # The green layer, seen again: the format without resizing changes exactly the mask's pixels.
        if fmt.shown(SIZE) == SIZE and not fmt.send_clean:
            changed = (one.pictures[0] != image.pixels).any(axis=2)
            assert not changed[~decode_rle(one.example.mask)].any()
        action, iou = fmt.parse(one.reply, *SIZE)
        assert type(action) is type(one.example.action)
        if isinstance(action, Click) and isinstance(one.example.action, Click):
            assert action.positive == one.example.action.positive
            assert abs(action.x - one.example.action.x) <= 1
            assert abs(action.y - one.example.action.y) <= 1
        if iou is not None:
            assert iou == pytest.approx(one.example.current_iou, abs=0.006)
        assert example_of_note(one.note()) == one.example


def episode(name: str = "a") -> Trajectory:
    mask = encode_rle(np.pad(np.ones((5, 5), np.bool_), ((5, 20), (10, 29))))
    start = Start("empty", encode_rle(np.zeros(SIZE, np.bool_)), reward=0.0)
    steps = (Step(Click(3, 4, True), "", mask, 0, reward=0.5), Step(Click(5, 9, False), "", mask, 1, reward=0.6))
    return Trajectory(name, f"{name}.png", *SIZE, "the bar", "p", "t", 0, start, steps, 2, "tau_stop")


def test_the_lazy_rows_are_the_written_ones(data: FolderDataset, tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", data, [episode("a"), episode("b")])
    for columns, names in (("messages", {"messages"}), ("prompt-completion", {"prompt", "completion"})):
        kind: Any = columns
        rows = Conversations([load_annotator_set(file)], FORMATS["segagent"], columns=kind)
        again = pickle.loads(pickle.dumps(rows))
        assert len(rows) == 6
        assert [row["images"][0].size for row in rows[1:3]] == [SIZE[::-1]] * 2
        assert again[5] == rows[5] == rows[-1]
        assert set(rows[0]) == names | {"images"}
        user, assistant = [message for name in sorted(names, reverse=True) for message in rows[0][name]]
        assert [part["type"] for part in user["content"]] == ["image", "image", "text"]
        assert assistant == {
            "role": "assistant",
            "content": [{"type": "text", "text": "Current IoU: 0. Positive point: (3, 4)"}],
        }
        with pytest.raises(IndexError):
            rows[6]


def test_datasets_reads_the_parquet(data: FolderDataset, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    datasets = pytest.importorskip("datasets")
    file = written(tmp_path / "t.jsonl", data, [episode("a"), episode("b")])
    write_trl([file], tmp_path / "out", FORMATS["paper"], bytes_per_file=1)
    read = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    rows = Conversations([load_annotator_set(file)], FORMATS["paper"])
    assert len(read) == len(rows)
    for row, ours in zip(read, rows, strict=True):
        assert row["messages"] == ours["messages"]
        assert [np.asarray(one).tolist() for one in row["images"]] == [np.asarray(o).tolist() for o in ours["images"]]


def test_parquet_has_the_features_of_datasets(data: FolderDataset, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = written(tmp_path / "t.jsonl", data, [episode(name) for name in "abab"])
    write_trl([file], tmp_path / "out", FORMATS["paper"], bytes_per_file=5000)
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert len(files) > 1
    assert [path.name for path in files] == [f"train-{n:05d}-of-{len(files):05d}.parquet" for n in range(len(files))]
    table = parquet.read_table(files[0])
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == [{"_type": "Image"}]
    assert set(features) == set(table.column_names) == {"messages", "images", "segagent"}
    assert str(table.schema.field("images").type).startswith("list<")
    assert table.column("images")[0].as_py()[0]["bytes"].startswith(b"\x89PNG")


def test_llama_factory_finds_what_it_looks_for(data: FolderDataset, tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", data, [episode("a"), episode("a")])
    write_llama_factory([file], tmp_path / "out", FORMATS["segagent"])
    (info,) = json.loads((tmp_path / "out" / "dataset_info.json").read_text()).values()
    assert info["formatting"] == "sharegpt"
    rows = [json.loads(line) for line in (tmp_path / "out" / info["file_name"]).read_text().splitlines()]
    tags = info["tags"]
    for row in rows:
        user, assistant = row[info["columns"]["messages"]]
        images = row[info["columns"]["images"]]
        assert (user[tags["role_tag"]], assistant[tags["role_tag"]]) == (tags["user_tag"], tags["assistant_tag"])
        assert user[tags["content_tag"]].count("<image>") == len(images) == 2
        assert all((tmp_path / "out" / path).is_file() for path in images)
    # Equal pictures are one file: the clean one, without a mask, and with one.
    assert len(list((tmp_path / "out" / "images").rglob("*.png"))) == 3


def test_what_fails_leaves_nothing(data: FolderDataset, tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", data, [episode("a"), episode("missing")])
    for write in (write_llama_factory, write_trl):
        with pytest.raises(InputError, match=r"missing\.png"):
            write([file], tmp_path / "out", FORMATS["paper"])
    other = written(tmp_path / "u.jsonl", data, [episode("a")])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    with pytest.raises(InputError, match="holds something already"):
        write_llama_factory([other], tmp_path / "taken", FORMATS["paper"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "taken", "u.jsonl"]
    # What a killed process left is no hindrance, and an empty folder is taken.
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "half").touch()
    (tmp_path / "out").mkdir()
    assert write_llama_factory([other], tmp_path / "out", FORMATS["paper"]).num_written == 3
    assert not (tmp_path / ".out.part").exists()
    assert not (tmp_path / "out" / "half").exists()


def test_damaged_exports_are_told(data: FolderDataset, tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", data, [episode("a")])
    out = tmp_path / "out"
    write_llama_factory([file], out, FORMATS["paper"])
    lines = (out / "segagent.jsonl").read_text().splitlines()
    changes: list[dict[str, Any]] = [
        {"messages": []},
        {"images": ["../t.jsonl"]},
        {"images": []},
        {"segagent": "{}"},
        {"segagent": None},
    ]
    for change in changes:
        (out / "segagent.jsonl").write_text(json.dumps(json.loads(lines[0]) | change) + "\n")
        with pytest.raises(InputError, match=r"segagent\.jsonl, line 1"):
            list(read_llama_factory(out))
    with pytest.raises(InputError, match="cannot be read"):
        list(read_llama_factory(tmp_path))
    pytest.importorskip("pyarrow")
    with pytest.raises(InputError, match=r"holds no data"):
        list(read_trl(out))
    (out / "data").mkdir()
    (out / "data" / "train.parquet").write_bytes(b"PAR1 and so on")
    with pytest.raises(InputError, match=r"train\.parquet: not a file of"):
        list(read_trl(out))


def test_formats_with_options() -> None:
    assert export_format("qwen3?grid=8").grid == 8
    with pytest.raises(SpecError, match="no first box"):
        export_format("qwen3?box=first")
    with pytest.raises(SpecError, match="unknown chat format"):
        export_format("nonsense")


def test_a_template_with_a_picture_of_its_own_is_refused(data: FolderDataset, tmp_path: Path) -> None:
    template = tmp_path / "prompt.txt"
    template.write_text("Look <image> here: {{object}}")
    file = written(tmp_path / "t.jsonl", data, [episode("a")])
    with pytest.raises(InputError, match="another prompt template"):
        write_llama_factory([file], tmp_path / "out", export_format(f"paper?prompt={template}"))
