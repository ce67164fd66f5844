"""Tables of images and sentences as spreadsheets save them."""

from pathlib import Path

import pytest

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.datasets.listed import ListedSample


def read(folder: Path, content: str | bytes) -> list[ListedSample]:
    (folder / "p.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_dataset(f"prompts:{folder / 'p.csv'}"))  # type: ignore[arg-type]


@pytest.mark.parametrize("divider", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_divided_and_encoded_as_programs_do(tmp_path: Path, divider: str, encoding: str) -> None:
    rows = [["image", "text", "id"], ["a.png", f'"left{divider} small cup"', "x"], ["b.png", "café", "y"]]
    table = "".join(divider.join(row) + "\r\n" for row in rows)
    samples = read(tmp_path, table.encode(encoding))
    assert [(s.image_name, s.text, s.sample_id) for s in samples] == [
        ("a.png", f"left{divider} small cup", "x"),
        ("b.png", "café", "y"),
    ]


def test_a_sentence_may_hold_what_divides_other_files(tmp_path: Path) -> None:
    assert [s.text for s in read(tmp_path, "text;image\nleft, small;a.png")] == ["left, small"]
    assert [s.text for s in read(tmp_path, "Image,Text,note;more\na.png,cup; left,x")] == ["cup; left"]


def test_excels_hint_says_what_divides(tmp_path: Path) -> None:
    assert [s.text for s in read(tmp_path, "sep=|\r\nimage|text\r\na.png|left; small, cup\r\n")] == ["left; small, cup"]
    with pytest.raises(InputError, match=r"p\.csv, line 3: the text is empty"):
        read(tmp_path, "sep=|\r\nimage|text\r\na.png|\r\n")


def test_rows_and_columns_of_empty_cells_are_passed_over(tmp_path: Path) -> None:
    samples = read(tmp_path, "\nimage;text;;\na.png;cup;;\n;;;\n\n ; ; ; \nb.png;pan;;\n;;;\n")
    assert [(s.text, s.sample_id) for s in samples] == [("cup", "1"), ("pan", "5")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('image,text\na.png,"two\nlines"\n\na.png,\n', "line 5: the text is empty"),
        ("image,text\na.png,left, small\n", "line 2: has 3 fields, expected 2"),
        ("image;text;id\na.png;x;1\na.png;y;1\n", "line 3: id '1' is that of an earlier row"),
        ('image,text\na.png,"x\n', "line 2: not a CSV file"),
        ("image|text\na.png|x\n", "divided by commas, semicolons or tabs; got 'image|text'"),
        (
            "image,text\na.png,cup\nb.png,café\n".encode("latin-1"),
            r"line 3: not UTF-8 text \(byte 0xE9 behind 'b\.png,caf'",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_in_the_file(tmp_path: Path, content: str | bytes, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        read(tmp_path, content)
