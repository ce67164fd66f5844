import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.core import InputError
from segagent.imaging import load_mask, save_png, write_bytes


def test_png_round_trip(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    mask = generator.random((7, 9)) < 0.5
    save_png(tmp_path / "mask.png", mask)
    with PillowImage.open(tmp_path / "mask.png") as picture:
        assert picture.mode == "L"
        assert set(np.unique(np.asarray(picture))) <= {0, 255}
    np.testing.assert_array_equal(load_mask(tmp_path / "mask.png", 7, 9), mask)
    pixels = generator.integers(0, 256, (5, 6, 3), np.uint8)
    save_png(tmp_path / "picture.png", pixels)
    with PillowImage.open(tmp_path / "picture.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    with pytest.raises(ValueError, match="float64"):
        save_png(tmp_path / "float.png", np.zeros((3, 3)))  # type: ignore[arg-type]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mask.png", "picture.png"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")

    def fail(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / "missing" / "a.json", b"")


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(previous)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
