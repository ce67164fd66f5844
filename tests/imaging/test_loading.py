import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import features

from segagent.core import InputError
from segagent.imaging import load_image, load_mask, load_mask_with_ignore


def one_line(error: BaseException, path: Path) -> str:
    message = str(error)
    assert "\n" not in message
    assert str(path) in message
    return message


def png_header_only(path: Path, width: int, height: int) -> None:
    """A PNG whose header promises ``width`` x ``height`` pixels and whose data hold none: a bomb if decoded first."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def test_missing_folder_empty_and_not_an_image(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    with pytest.raises(InputError) as error:
        load_image(missing)
    assert "no such file" in one_line(error.value, missing)
    with pytest.raises(InputError, match="is a folder"):
        load_image(tmp_path)
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    with pytest.raises(InputError, match="0 bytes"):
        load_image(empty)
    text = tmp_path / "text.png"
    text.write_text("I am no picture")
    with pytest.raises(InputError) as error:
        load_image(text)
    assert "not a picture" in one_line(error.value, text)
    with pytest.raises(InputError):
        load_image("nul\0byte.png")
    with pytest.raises(InputError):
        load_image("x" * 5000)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff", "bmp"])
def test_truncated_at_many_places(tmp_path: Path, suffix: str, photograph: np.ndarray) -> None:
    whole = tmp_path / f"whole.{suffix}"
    PillowImage.fromarray(photograph).save(whole)
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    for share in (0.001, 0.01, 0.1, 0.5, 0.9):
        cut.write_bytes(content[: max(1, int(len(content) * share))])
        with pytest.raises(InputError) as error:
            load_image(cut)
        one_line(error.value, cut)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "tiff", "bmp", "ppm", "jp2", "avif"])
def test_damaged_bytes_give_a_picture_or_one_line(tmp_path: Path, suffix: str, photograph: np.ndarray) -> None:
    if suffix in {"jp2", "avif"} and not features.check({"jp2": "jpg_2000", "avif": "avif"}[suffix]):
        pytest.skip(f"this Pillow was built without {suffix}")
    whole = tmp_path / f"whole.{suffix}"
    PillowImage.fromarray(photograph).save(whole)
    content = np.frombuffer(whole.read_bytes(), np.uint8)
    path = tmp_path / f"damaged.{suffix}"
    for seed in range(40):
        generator = np.random.default_rng(seed)
        damaged = content.copy()
        where = generator.integers(0, min(len(damaged), 400 if seed % 2 else len(damaged)), 8)
        damaged[where] = generator.integers(0, 256, 8)
        path.write_bytes(damaged.tobytes())
        try:
            image = load_image(path, max_pixels=1_000_000)
        except InputError as error:
            one_line(error, path)
        else:
            assert image.pixels.shape[2] == 3


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    for width, height in [(9000, 9000), (12000, 12000), (60000, 60000), (2_000_000_000, 2)]:
        path = tmp_path / f"{width}.png"
        png_header_only(path, width, height)
        for read in (load_image, lambda p: load_mask(p, 10, 10)):
            with pytest.raises(InputError) as error:
                read(path)
            assert "limit of 64 megapixels" in one_line(error.value, path)
    small = tmp_path / "small.png"
    PillowImage.new("RGB", (20, 20)).save(small)
    assert load_image(small, max_pixels=400).width == 20
    with pytest.raises(InputError, match="20 x 20 pixels, more than the limit of 399 pixels"):
        load_image(small, max_pixels=399)


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    import os

    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="not a regular file"):
        load_image(pipe)


def test_modes(tmp_path: Path) -> None:
    def read(picture: PillowImage.Image, suffix: str = "png", **options: object) -> np.ndarray:
        path = tmp_path / f"picture.{suffix}"
        picture.save(path, **options)
        image = load_image(path)
        assert image.pixels.dtype == np.uint8
        assert not image.pixels.flags.writeable
        return image.pixels

    one_bit = np.array([[True, False], [False, True]])
    assert read(PillowImage.fromarray(one_bit))[:, :, 0].tolist() == [[255, 0], [0, 255]]
    sixteen = np.array([[0, 128, 257], [32768, 65406, 65535]], np.uint16)
    assert read(PillowImage.fromarray(sixteen))[:, :, 1].tolist() == [[0, 0, 1], [128, 254, 255]]
    assert read(PillowImage.fromarray(sixteen), "tiff")[:, :, 2].tolist() == [[0, 0, 1], [128, 254, 255]]
    assert read(PillowImage.new("LA", (1, 1), (10, 0)))[0, 0].tolist() == [255, 255, 255]
    assert read(PillowImage.new("RGBA", (1, 1), (255, 0, 0, 255)))[0, 0].tolist() == [255, 0, 0]
    assert read(PillowImage.new("RGBA", (1, 1), (255, 0, 0, 0)))[0, 0].tolist() == [255, 255, 255]
    half = read(PillowImage.new("RGBA", (1, 1), (255, 0, 0, 128)))[0, 0]
    assert half[0] == 255
    assert abs(int(half[1]) - 127) <= 1
    palette = PillowImage.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 200, 30])
    palette.putpixel((1, 0), 1)
    assert read(palette)[0].tolist() == [[0, 0, 0], [9, 200, 30]]
    assert read(palette, transparency=0)[0].tolist() == [[255, 255, 255], [9, 200, 30]]
    assert read(palette, transparency=b"\x00\xff")[0].tolist() == [[255, 255, 255], [9, 200, 30]]
    assert read(PillowImage.new("L", (2, 2), 7), transparency=7)[0, 0].tolist() == [255, 255, 255]
    assert read(PillowImage.new("CMYK", (1, 1), (0, 0, 0, 0)), "jpg")[0, 0].tolist() == [255, 255, 255]
    path = tmp_path / "float.tiff"
    PillowImage.fromarray(np.ones((3, 3), np.float32)).save(path)
    with pytest.raises(InputError) as error:
        load_image(path)
    assert "convert it to 8-bit" in one_line(error.value, path)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    frames = [PillowImage.new("RGB", (12, 9), color) for color in ("#ff0000", "#00ff00", "#0000ff")]
    options: dict[str, object] = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    pixels = load_image(path).pixels
    assert pixels.shape == (9, 12, 3)
    assert pixels[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    from PIL import ImageOps

    stored = np.full((16, 32, 3), 255, np.uint8)
    stored[:8, :8] = 0
    path = tmp_path / f"turned.{suffix}"
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.fromarray(stored).save(path, exif=exif)
    got = load_image(path).pixels
    assert got.shape[:2] == ((16, 32) if orientation < 5 else (32, 16))
    with PillowImage.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    np.testing.assert_array_equal(got, expected)
    mask = load_mask(path, *got.shape[:2])
    np.testing.assert_array_equal(mask, got[:, :, 0] > 127)


def test_unreadable_exif_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "exif.jpg"
    PillowImage.new("RGB", (8, 4)).save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xffgarbage")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(path).pixels.shape == (4, 8, 3)


def mask_file(tmp_path: Path, picture: PillowImage.Image, **options: object) -> Path:
    path = tmp_path / "mask.png"
    picture.save(path, **options)
    return path


def test_mask_thresholds(tmp_path: Path) -> None:
    def read(picture: PillowImage.Image) -> list[list[bool]]:
        mask = load_mask(mask_file(tmp_path, picture), picture.height, picture.width)
        assert mask.dtype == np.bool_
        assert not mask.flags.writeable
        return mask.tolist()

    def grey(values: list[int], dtype: type = np.uint8) -> PillowImage.Image:
        return PillowImage.fromarray(np.array([values], dtype))

    assert read(grey([0, 127, 128, 255])) == [[False, False, True, True]]
    assert read(grey([0, 1, 1, 0])) == [[False, True, True, False]]
    assert read(grey([0, 0])) == [[False, False]]
    assert read(PillowImage.fromarray(np.array([[True, False]]))) == [[True, False]]
    assert read(grey([0, 32767, 32896, 65535], np.uint16)) == [[False, False, True, True]]
    assert read(grey([0, 255, 3], np.uint16)) == [[False, True, False]]
    assert read(PillowImage.fromarray(np.array([[[0, 0, 0], [0, 128, 0], [100, 100, 100]]], np.uint8))) == [
        [False, True, False]
    ]
    rgba = np.array([[[255, 255, 255, 255], [255, 255, 255, 0], [0, 0, 0, 255]]], np.uint8)
    assert read(PillowImage.fromarray(rgba)) == [[True, False, False]]
    labels = PillowImage.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    labels.putpalette([0, 0, 0, 64, 0, 0, 128, 0, 0])
    assert read(labels) == [[False, True, True]]
    swapped = PillowImage.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    swapped.putpalette([255, 255, 255, 0, 0, 0])
    assert read(swapped) == [[True, False]]


def test_mask_without_object_values_is_refused(tmp_path: Path) -> None:
    path = mask_file(tmp_path, PillowImage.new("L", (4, 4), 20))
    with pytest.raises(InputError) as error:
        load_mask(path, 4, 4)
    assert "brightest value 20" in one_line(error.value, path)


def test_label_images_are_no_masks(tmp_path: Path) -> None:
    labels = np.zeros((40, 40), np.uint8)
    labels[5:35, 5:35] = 255  # VOC's void pixels around an object
    labels[7:33, 7:33] = 15
    path = mask_file(tmp_path, PillowImage.fromarray(labels))
    for load in (load_mask, load_mask_with_ignore):
        with pytest.raises(InputError) as error:
            load(path, 40, 40)
        assert "label image (15 cover 676 pixels" in one_line(error.value, path)
    rows, columns = np.ogrid[:40, :40]
    soft = (np.clip(14 - np.hypot(rows - 20, columns - 20), 0, 12) / 12 * 255).astype(np.uint8)
    assert np.array_equal(load_mask(mask_file(tmp_path, PillowImage.fromarray(soft)), 40, 40), soft > 127)
    path = mask_file(tmp_path, PillowImage.fromarray(np.where(labels == 15, 128, 0).astype(np.uint8)))
    with pytest.raises(InputError) as error:
        load_mask_with_ignore(path, 40, 40)
    assert "128 marks undecided" in one_line(error.value, path)
    assert load_mask(path, 40, 40).sum() == 676


def test_another_spelling_of_the_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "Day 1").mkdir()
    PillowImage.new("RGB", (4, 4)).save(tmp_path / "Day 1" / "Cafe\u0301.PNG", "png")
    for wanted in ("Day 1/Cafe\u0301.png", "day 1/caf\u00e9.png", "Day%201/CAF\u00c9.PNG"):
        with pytest.raises(InputError) as error:
            load_image(tmp_path / wanted)
        assert "Day 1/Cafe\u0301.PNG' is there" in one_line(error.value, tmp_path / wanted)
    with pytest.raises(InputError, match="check the path"):
        load_image(tmp_path / "Day 2" / "a.png")


def test_mask_of_another_size_names_both(tmp_path: Path) -> None:
    path = mask_file(tmp_path, PillowImage.new("L", (40, 30), 255))
    for height, width in [(30, 41), (40, 30)]:
        with pytest.raises(InputError) as error:
            load_mask(path, height, width)
        message = one_line(error.value, path)
        assert "40 x 30" in message
        assert f"{width} x {height}" in message


def test_ignored_pixels(tmp_path: Path) -> None:
    path = mask_file(tmp_path, PillowImage.fromarray(np.array([[0, 128, 255]], np.uint8)))
    mask, ignore = load_mask_with_ignore(path, 1, 3)
    assert mask.tolist() == [[False, False, True]]
    assert ignore is not None
    assert ignore.tolist() == [[False, True, False]]
    assert load_mask_with_ignore(path, 1, 3, ignore_value=77)[1] is None
    path = mask_file(tmp_path, PillowImage.fromarray(np.array([[[0] * 3, [128] * 3, [255] * 3]], np.uint8)))
    mask, ignore = load_mask_with_ignore(path, 1, 3)
    assert mask.tolist() == [[False, True, True]]
    assert ignore is None
    path = mask_file(tmp_path, PillowImage.fromarray(np.array([[True, False]])))
    assert load_mask_with_ignore(path, 1, 2)[1] is None


@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 15, 16])
@pytest.mark.parametrize(
    ("suffix", "channels"),
    [("png", 1), ("png", 3), ("png", 4), ("tiff", 1), ("tiff", 3), ("tiff", 4), ("pgm", 1), ("ppm", 3)],
)
def test_sixteen_bit_pictures_are_read_from_the_bits_they_use(
    tmp_path: Path, bits: int, suffix: str, channels: int
) -> None:
    largest = 2**bits - 1
    values = np.random.default_rng(bits).integers(0, largest + 1, (9, 13, min(channels, 3))).astype(np.uint16)
    values[0, 0] = largest
    stored = values if channels < 4 else np.dstack([values, np.full((9, 13), 65535, np.uint16)])
    path = tmp_path / f"a.{suffix}"
    assert cv2.imwrite(str(path), np.squeeze(stored))
    got = load_image(path).pixels[:, :, ::-1].astype(int)
    wanted = values.astype(float) * 255 / largest
    assert np.abs(got - wanted).max() <= (0.5 if bits < 16 or channels == 1 else 1)


def test_a_dim_picture_of_16_bits_is_turned_and_keeps_its_transparency(tmp_path: Path) -> None:
    values = np.zeros((2, 3, 4), np.uint16)
    values[..., 3] = 65535
    values[0, 0] = (4095, 2048, 0, 65535)
    values[1, 2] = (4095, 0, 0, 0)
    assert cv2.imwrite(str(tmp_path / "a.png"), values)
    content = (tmp_path / "a.png").read_bytes()
    exif = b"eXIf" + exif_of(6)
    chunk = (len(exif) - 4).to_bytes(4, "big") + exif + zlib.crc32(exif).to_bytes(4, "big")
    pixels = load_image("a.png", content=content[:33] + chunk + content[33:]).pixels
    assert pixels.shape == (3, 2, 3)
    assert pixels[0, 1].tolist() == [0, 128, 255]
    assert pixels[2, 0].tolist() == [255, 255, 255]


def exif_of(orientation: int) -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    return exif.tobytes().removeprefix(b"Exif\0\0")
