import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.cli.main import main

Captured = pytest.CaptureFixture[str]


def bomb(path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 100_000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def truncated(path: Path) -> None:
    generator = np.random.default_rng(0)
    PillowImage.fromarray(generator.integers(0, 256, (50, 60, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])


def floating(path: Path) -> None:
    PillowImage.fromarray(np.zeros((5, 5), np.float32)).save(path, "TIFF")


BAD_IMAGES: dict[str, Callable[[Path], None]] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),  # type: ignore[dict-item,return-value]
    "text": lambda path: path.write_text("hello\nworld"),  # type: ignore[dict-item,return-value]
    "truncated": truncated,
    "bomb": bomb,
    "floating": floating,
}


def refused(capsys: Captured, out: Path, *arguments: object) -> str:
    """Run; check exit code 2, one line on stderr, nothing on stdout, nothing written; give the line."""
    before = sorted(path.name for path in out.parent.iterdir())
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 2, captured
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert sorted(path.name for path in out.parent.iterdir()) == before
    return captured.err


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_bad_images(tmp_path: Path, kind: str, json: bool, capsys: Captured) -> None:
    path = tmp_path / f"{kind}.png"
    BAD_IMAGES[kind](path)
    out = tmp_path / "out"
    extra = ["--json"] if json else []
    line = refused(capsys, out, "annotate", path, "x", "-o", out, "--policy", "centre", "--tool", "disc", *extra)
    assert str(path) in line


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_bad_masks(tmp_path: Path, photo: Path, kind: str, capsys: Captured) -> None:
    path = tmp_path / f"{kind}.png"
    BAD_IMAGES[kind](path)
    out = tmp_path / "out"
    for command in (["annotate", "-o", out, "--tool", "disc"], ["refine", "-o", out, "--tool", "disc"], ["score"]):
        line = refused(capsys, out, command[0], photo, "x", "--mask", path, "--policy", "centre", *command[1:])
        assert str(path) in line


GOOD_IMAGES: dict[str, Callable[[Path], None]] = {
    "one_bit": lambda path: PillowImage.new("1", (9, 7), 1).save(path),
    "grey": lambda path: PillowImage.new("L", (9, 7), 90).save(path),
    "sixteen_bit": lambda path: PillowImage.fromarray(np.full((7, 9), 30000, np.uint16)).save(path),
    "palette": lambda path: PillowImage.new("P", (9, 7), 3).save(path),
    "rgba": lambda path: PillowImage.new("RGBA", (9, 7), (1, 2, 3, 4)).save(path),
    "animated": lambda path: PillowImage.new("RGB", (9, 7)).save(
        path, save_all=True, append_images=[PillowImage.new("RGB", (9, 7), "red")]
    ),
    "one_pixel_high": lambda path: PillowImage.new("RGB", (9, 1)).save(path),
    "one_pixel": lambda path: PillowImage.new("RGB", (1, 1)).save(path),
}


@pytest.mark.parametrize("kind", GOOD_IMAGES)
def test_unusual_images_are_taken(tmp_path: Path, kind: str, capsys: Captured) -> None:
    path = tmp_path / "picture.png"
    GOOD_IMAGES[kind](path)
    out = tmp_path / "out"
    code = main(["annotate", str(path), "x", "-o", str(out), "--policy", "centre", "--tool", "disc", "--json"])
    assert (code, capsys.readouterr().err) == (0, "")
    with PillowImage.open(path) as picture, PillowImage.open(out / "mask.png") as mask:
        assert mask.size == picture.size


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--box", "1,2,3"], "four whole numbers"),
        (["--box", "1,2,3,x"], "four whole numbers"),
        (["--box", ""], "four whole numbers"),
        (["--box", "1.5,2,3,4"], "four whole numbers"),
        (["--box", "5,5,5,9"], "0 <= X0 < X1 <= 40"),
        (["--box", "0,0,41,30"], "0 <= X0 < X1 <= 40"),
        (["--box=-1,0,10,30"], "0 <= X0 < X1 <= 40"),
        (["--policy", "nobody"], "nobody"),
        (["--tool", "nothing"], "nothing"),
        (["--steps", "0"], "--steps"),
        (["--steps", "101"], "--steps"),
        (["--steps", "many"], "--steps"),
        (["--candidates", "0"], "--candidates"),
        (["--candidates", "65"], "--candidates"),
        (["--candidates", "2"], "predicts no IoU"),
        (["--seed", "-1"], "--seed"),
        (["--frobnicate"], "--frobnicate"),
        (["one", "argument", "too many"], "see 'segagent annotate --help'"),
    ],
)
def test_bad_options(tmp_path: Path, photo: Path, arguments: list[str], complaint: str, capsys: Captured) -> None:
    out = tmp_path / "out"
    common = ["annotate", photo, "x", "-o", out, "--policy", "centre", "--tool", "disc"]
    assert complaint in refused(capsys, out, *common, *arguments)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "empty"), (" \t\n", "empty"), ("x" * 2001, "2001 characters"), ("bad \udcff byte", "UTF-8")],
)
def test_bad_text(tmp_path: Path, photo: Path, text: str, complaint: str, capsys: Captured) -> None:
    out = tmp_path / "out"
    mask = tmp_path / "mask.png"
    PillowImage.new("L", (40, 30)).save(mask)
    for command in (["annotate", "-o", out], ["refine", "-o", out, "--mask", mask], ["score", "--mask", mask]):
        line = refused(capsys, out, command[0], photo, text, *command[1:], "--policy", "centre")
        assert complaint in line


def test_mask_and_box_together_and_mask_of_another_size(tmp_path: Path, photo: Path, capsys: Captured) -> None:
    out, mask = tmp_path / "out", tmp_path / "mask.png"
    PillowImage.new("L", (30, 40)).save(mask)
    common = ["annotate", photo, "x", "-o", out, "--policy", "centre", "--tool", "disc", "--mask", mask]
    assert "cannot be used together" in refused(capsys, out, *common, "--box", "1,1,2,2")
    line = refused(capsys, out, *common)
    assert "30 x 40" in line
    assert "40 x 30" in line


def test_unusable_out(tmp_path: Path, photo: Path, capsys: Captured) -> None:
    taken = tmp_path / "file"
    taken.write_text("mine")
    for out in (taken, taken / "below", tmp_path / ("x" * 300), tmp_path / "nul\0"):
        refused(capsys, tmp_path / "o", "annotate", photo, "x", "-o", out, "--policy", "centre", "--tool", "disc")
    assert taken.read_text() == "mine"


def test_a_full_disk_leaves_nothing(tmp_path: Path, photo: Path, monkeypatch, capsys: Captured) -> None:
    import os

    calls = []
    real = os.replace

    def fail_third(source: object, target: object) -> None:
        calls.append(target)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", fail_third)
    out = tmp_path / "out"
    line = refused(capsys, out, "annotate", photo, "x", "-o", out, "--policy", "centre", "--tool", "disc")
    assert "No space left" in line


def test_file_names_with_line_breaks_stay_on_one_line(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    line = refused(capsys, out, "annotate", tmp_path / "a\nb\x1b[31m.png", "x", "-o", out, "--policy", "centre")
    assert "\x1b" not in line
    assert "\\n" in line


def test_interrupted(tmp_path: Path, photo: Path, monkeypatch, capsys: Captured) -> None:
    import segagent.tools

    def interrupt(spec: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(segagent.tools, "make_tool", interrupt)
    code = main(["annotate", str(photo), "x", "-o", str(tmp_path / "out"), "--policy", "centre"])
    captured = capsys.readouterr()
    assert code == 130
    assert captured.err.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_score_of_missing_mask_option(photo: Path, tmp_path: Path, capsys: Captured) -> None:
    assert "--mask" in refused(capsys, tmp_path / "out", "score", photo, "x")
    assert "--out" in refused(capsys, tmp_path / "out", "annotate", photo, "x")
    assert "TEXT" in refused(capsys, tmp_path / "out", "annotate", photo, "-o", tmp_path / "out")
    assert "bogus" in refused(capsys, tmp_path / "out", "bogus")
