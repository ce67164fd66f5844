from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import SpecError
from segagent.datasets.spec_options import parse_spec, write_spec

# What follows a comma or colon must not look like an option.
words = st.text(st.sampled_from("ab {}:,./+#-"), min_size=1, max_size=20)
OPTIONS = {"split": ("train", "val"), "text": None, "images": None}


@settings(deadline=None)
@given(
    words.filter(str.strip),
    st.fixed_dictionaries({}, optional={"split": st.sampled_from(["train", "val"]), "text": words, "images": words}),
)
def test_written_and_read(name: str, options: dict[str, str]) -> None:
    path = Path("/data") / name.strip("/. ") / "x"
    assert parse_spec(write_spec("lvis", path, options), OPTIONS) == (path.resolve(), options)


@settings(deadline=None)
@given(st.text(max_size=30))
def test_anything_else_is_told_in_one_line(text: str) -> None:
    try:
        path, options = parse_spec(f"lvis:{text}", OPTIONS)
    except SpecError as error:
        message = str(error)
    else:
        message = ""
        assert str(path)
        assert options.keys() <= OPTIONS.keys()
    assert "\n" not in message


def test_windows_and_odd_paths() -> None:
    assert parse_spec(r"coco:C:\data\x.json:text=a: {category}, b", OPTIONS) == (
        Path(r"C:\data\x.json"),
        {"text": "a: {category}, b"},
    )
    with pytest.raises(SpecError, match="each given once"):
        parse_spec("coco:x:text=a,text=b", OPTIONS)


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/data/a:split=val/x", {}),
        ("/data/x", {"images": "/pictures,split=val", "split": None}),
        ("/data/x", {"images": "/pictures,split=val", "split": "train"}),
    ],
)
def test_what_would_be_read_as_an_option_is_not_written(path: str, options: dict[str, str | None]) -> None:
    with pytest.raises(SpecError, match=r"reads as an option.*rename"):
        write_spec("lvis", Path(path), options)
