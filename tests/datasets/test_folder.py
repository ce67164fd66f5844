import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.datasets.folder import FolderDataset


def write(folder: Path, samples: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return folder


def test_reads_what_the_folder_says(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "data",
        [
            {"image": "images/a.png", "mask": "masks/a.png", "text": "the dot", "kind": "plain", "width": 3},
            {"image": "images/a.png", "mask": None, "text": "the square", "id": "absent"},
            {"image": "images/a.png", "mask": "masks/a.png", "category": "dot"},
        ],
    )
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    PillowImage.new("RGB", (3, 2), "#102030").save(folder / "images" / "a.png")
    PillowImage.fromarray(np.array([[0, 128, 255], [0, 0, 0]], np.uint8)).save(folder / "masks" / "a.png")
    dataset = FolderDataset(folder)
    assert len(dataset) == 3
    assert [sample.sample_id for sample in dataset] == ["000000", "absent", "000002"]
    assert [sample.text for sample in dataset] == ["the dot", "the square", "dot"]
    assert dataset[0].kind == "plain"
    image = dataset[0].load_image()
    assert image.pixels[0, 0].tolist() == [16, 32, 48]
    mask, ignore = dataset[0].load_target(image)
    assert mask.tolist() == [[False, False, True], [False] * 3]
    assert ignore is not None
    assert ignore[0].tolist() == [False, True, False]
    mask, ignore = dataset[1].load_target()
    assert mask.shape == (2, 3)
    assert not mask.any()
    assert ignore is None


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path, [{"image": "absent.png", "mask": None, "text": "x"}] * 1000)
    dataset = FolderDataset(folder)
    assert len(dataset) == 1000
    with pytest.raises(InputError, match=r"absent\.png"):
        dataset[999].load_image()


GOOD = {"image": "a.png", "mask": None, "text": "x"}


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({**GOOD, "image": "../a.png"}, "outside"),
        ({**GOOD, "image": "b/../../a.png"}, "outside"),
        ({**GOOD, "image": "/etc/passwd"}, "outside"),
        ({**GOOD, "image": "..\\a.png"}, "outside"),
        ({**GOOD, "mask": "../m.png"}, "outside"),
        ({**GOOD, "image": None}, "path within the folder"),
        ({**GOOD, "image": ""}, "path within the folder"),
        ({**GOOD, "image": "a\0.png"}, "path within the folder"),
        ({**GOOD, "text": None}, "'text' or 'category'"),
        ({**GOOD, "text": "  "}, "'text' or 'category'"),
        ({**GOOD, "text": 3}, "must be text"),
        ({**GOOD, "id": [1]}, "'id' must be"),
        ("a.png", "expected an object"),
    ],
)
def test_bad_entries_are_named(tmp_path: Path, entry: object, complaint: str) -> None:
    folder = write(tmp_path, [GOOD, entry])
    with pytest.raises(InputError, match=complaint) as error:
        FolderDataset(folder)
    message = str(error.value)
    assert "samples[1]" in message
    assert str(folder / "manifest.json") in message
    assert "\n" not in message


def test_equal_ids_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, [{**GOOD, "id": 7}, GOOD, {**GOOD, "id": "7"}])
    with pytest.raises(InputError, match=r"samples\[2\].*samples\[0\]"):
        FolderDataset(folder)


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", [GOOD])
    (folder / "a.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(InputError, match="outside"):
        FolderDataset(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"samples": {}}', "[" * 100_000, "\xff"])
def test_bad_manifests(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"manifest\.json"):
        FolderDataset(tmp_path)


def test_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"manifest\.json: no such file"):
        FolderDataset(tmp_path)
    with pytest.raises(InputError):
        FolderDataset(tmp_path / "manifest.json")


def test_a_sample_without_the_key_mask_fails_alone_and_only_where_a_mask_is_needed(tmp_path: Path) -> None:
    dataset = FolderDataset(write(tmp_path, [GOOD, {"image": "a.png", "text": "x"}]))
    PillowImage.new("RGB", (3, 2)).save(tmp_path / "a.png")
    assert not dataset[0].load_target()[0].any()
    assert dataset[1].load_image().width == 3
    with pytest.raises(InputError, match=r"samples\[1\]: 'mask' is missing; write null"):
        dataset[1].load_target()


def test_ids_as_tables_write_them(tmp_path: Path) -> None:
    entries = [{**GOOD, "id": 1.0}, {**GOOD, "id": float("nan")}, {**GOOD, "id": None}, {**GOOD, "sample_id": "1.0"}]
    assert [sample.sample_id for sample in FolderDataset(write(tmp_path, entries))] == ["1", "000001", "000002", "1.0"]
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    streamed = open_dataset(str(tmp_path / "manifest.jsonl"))
    assert [sample.sample_id for sample in streamed] == ["1", "000001", "000002", "1.0"]
    assert [s.sample_id for group in streamed.groups() for s in group.samples()] == ["1", "000001", "000002", "1.0"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["manifest.json", "manifest.jsonl"])
def test_encodings_of_a_manifest(tmp_path: Path, encoding: str, name: str) -> None:
    entry = {**GOOD, "text": "caf\u00e9"}
    text = json.dumps({"samples": [entry]} if name.endswith("json") else entry, ensure_ascii=False)
    (tmp_path / name).write_bytes((text + "\r\n").encode(encoding))
    if encoding == "utf-16" and name.endswith("jsonl"):
        with pytest.raises(InputError, match="is UTF-16 text, which is not read as a stream; save it as UTF-8"):
            list(open_dataset(str(tmp_path)))
    else:
        assert [sample.text for sample in open_dataset(str(tmp_path))] == ["caf\u00e9"]
