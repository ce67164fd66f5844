import io
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from formats import HEIGHT, WIDTH, picture, square
from PIL import Image as PillowImage

from segagent.core import InputError, MissingExtraError
from segagent.datasets import open_dataset


def test_the_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'segagent\[parquet\]'"):
        open_dataset(f"parquet:{tmp_path}")


def png(array: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    PillowImage.fromarray(array).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write(path: Path, rows: dict[str, list[Any]], **options: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path.parent.mkdir(exist_ok=True, parents=True)
    parquet.write_table(pyarrow.table(rows), path, **options)


def rows() -> dict[str, list[Any]]:
    image = np.full((HEIGHT, WIDTH, 3), 7, np.uint8)
    return {
        "image": [png(image + n) for n in range(3)],
        "mask": [png(square().astype(np.uint8) * 255), None, png(square().astype(np.uint8) * 255)],
        "text": [["the cat", "left"], ["the dog"], ["a cat"]],
        "category": ["cat", None, "cat"],
    }


def test_rows_are_read(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train-0.parquet", rows(), row_group_size=2)
    write(
        tmp_path / "data" / "train-1.parquet", {"image": rows()["image"], "mask": rows()["mask"], "text": list("abc")}
    )
    spec = f"parquet:{tmp_path / 'data'}"
    dataset = open_dataset(spec)
    assert dataset.num_images == 6
    samples = list(dataset)
    assert [sample.text for sample in samples] == ["the cat", "left", "the dog", "a cat", "a", "b", "c"]
    assert [sample.sample_id for sample in samples][1:4] == [
        "train-0.parquet#0-1",
        "train-0.parquet#1-0",
        "train-0.parquet#2-0",
    ]
    assert [sample.category for sample in samples][:4] == ["cat", "cat", None, "cat"]
    groups = pickle.loads(pickle.dumps(list(dataset.groups())))
    assert len(groups) == 6
    for number, group in enumerate(groups):
        image = group.samples()[0].load_image()
        assert image.pixels[0, 0, 0] == 7 + number % 3
        assert np.array_equal(dataset.load_image(group.image_name).pixels, image.pixels)
        mask = group.samples()[0].load_target(image)[0]
        assert np.array_equal(mask, square() if number % 3 != 1 else np.zeros_like(square()))
    again = open_dataset(dataset.spec)
    assert (again.spec, again.fingerprint) == (dataset.spec, dataset.fingerprint)
    for name in ("train-0.parquet#3", "x#0", "train-0.parquet#-1", ""):
        with pytest.raises(InputError, match="no image"):
            dataset.load_image(name)


def test_columns_and_paths(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    names = {"picture": ["a.png", "../b.png", "absent.png"], "m": [None] * 3, "caption": ["a", "b", "c"]}
    write(tmp_path / "a.parquet", names)
    dataset = open_dataset(f"parquet:{tmp_path / 'a.parquet'}:image=picture,mask=m,text=caption")
    first, outside, absent = dataset
    assert first.load_image().width == WIDTH
    with pytest.raises(InputError, match="outside"):
        outside.load_image()
    with pytest.raises(InputError, match=r"absent\.png cannot be read"):
        absent.load_image()
    with pytest.raises(InputError, match=r"no column 'image' but caption, m, picture; say which"):
        open_dataset(f"parquet:{tmp_path / 'a.parquet'}")


def test_damaged_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", rows())
    content = (tmp_path / "a.parquet").read_bytes()
    rng = np.random.default_rng(1)
    for number in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 1 + number % 5):
            damaged[place] = rng.integers(256)
        (tmp_path / f"b{number}.parquet").write_bytes(damaged if number % 2 else content[: len(content) * number // 60])
        message = ""
        try:
            for sample in open_dataset(f"parquet:{tmp_path}/b{number}.parquet"):
                sample.load_target()
        except InputError as error:
            message = str(error)
        assert "\n" not in message
