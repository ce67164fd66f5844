import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from segagent.core import InputError
from segagent.datasets import FolderDataset, StreamedFolder, manifest_entries, open_dataset

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
entries = st.fixed_dictionaries(
    {"image": st.sampled_from(["a.png", "b.png", "\u00e4/c.png"]), "mask": st.none(), "text": texts},
    optional={"more": st.recursive(st.integers() | texts, st.lists)},
)


def write(path: Path, samples: list[Any], indent: int | None = None, *, ascii_only: bool = True) -> Path:
    if path.suffix == ".jsonl":
        lines = [json.dumps(sample, ensure_ascii=ascii_only) + "\n" for sample in samples]
        path.write_bytes("\n".join(lines).encode())
    else:
        content = {"about": {"x": [1, "]"]}, "samples": samples, "end": 1}
        path.write_bytes(json.dumps(content, indent=indent, ensure_ascii=ascii_only).encode())
    return path


@settings(max_examples=40, deadline=None)
@given(st.lists(entries, max_size=8), st.sampled_from([None, 1]), st.booleans(), st.integers(1, 40))
def test_streamed_as_read_whole(
    tmp_path_factory: pytest.TempPathFactory, samples: list[Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    folder = tmp_path_factory.mktemp("m")
    whole = write(folder / "manifest.json", samples, indent, ascii_only=ascii_only)
    lines = write(folder / "manifest.jsonl", samples, ascii_only=ascii_only)
    expected = FolderDataset(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_entries, "_CHUNK", chunk)
        for path in (whole, lines):
            content = path.read_bytes()
            for (offset, length, value), sample in zip(manifest_entries.manifest_entries(path), samples, strict=True):
                assert value == sample
                assert json.loads(content[offset : offset + length]) == sample
            streamed = StreamedFolder(path)
            assert list(streamed) == list(expected)
            assert len(streamed) == len(expected)
            assert streamed.num_images == expected.num_images
            groups = pickle.loads(pickle.dumps(list(streamed.groups())))
            assert [(group.image_name, list(group.samples())) for group in groups] == [
                (group.image_name, list(group.samples())) for group in expected.groups()
            ]


GOOD = {"image": "a.png", "mask": None, "text": "x"}


def test_opened_as_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PillowImage.new("RGB", (3, 2)).save(tmp_path / "a.png")
    path = write(tmp_path / "manifest.jsonl", [GOOD, GOOD | {"text": "y"}])
    dataset = open_dataset(str(tmp_path))
    assert isinstance(dataset, StreamedFolder)
    assert dataset.spec == str(path)
    assert [sample.sample_id for sample in open_dataset(dataset.spec)] == ["000000", "000001"]
    assert dataset.load_image("a.png").width == 3
    before = dataset.fingerprint
    write(path, [GOOD])
    assert StreamedFolder(path).fingerprint != before
    write(tmp_path / "manifest.json", [GOOD])
    assert isinstance(open_dataset(str(tmp_path)), FolderDataset)
    monkeypatch.setattr("segagent.datasets.LARGE_MANIFEST_BYTES", 10)
    assert isinstance(open_dataset(str(tmp_path)), StreamedFolder)


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.json"])
@pytest.mark.parametrize(
    ("samples", "complaint"),
    [
        ([GOOD, GOOD | {"image": 3}], r"samples\[1\].*'image'"),
        ([GOOD, [1]], r"samples\[1\].*"),
        ([GOOD | {"id": 7}, GOOD, GOOD | {"id": "7"}], r"samples\[2\].*earlier"),
    ],
)
def test_bad_entries_are_named(tmp_path: Path, name: str, samples: list[Any], complaint: str) -> None:
    dataset = StreamedFolder(write(tmp_path / name, samples))
    assert next(iter(dataset)).text == "x"
    with pytest.raises(InputError, match=complaint):
        list(dataset.groups())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", b""),
        ("manifest.json", b"[]"),
        ("manifest.json", b'{"samples": {}}'),
        ("manifest.json", b'{"samples": ['),
        ("manifest.json", b'{"samples": [{"image": "a'),
        ("manifest.json", b'{"samples": [{"image": "\xff"}]}'),
        ("manifest.json", b'{"samples": [{"image": ' + b"[" * 100_000),
        ("manifest.jsonl", b"{"),
        ("manifest.jsonl", b"\xff\n"),
        ("manifest.jsonl", b"[" * 100_000),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as error:
        list(StreamedFolder(tmp_path / name))
    assert "\n" not in str(error.value)
