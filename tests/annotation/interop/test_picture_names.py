import unicodedata

import pytest

from segagent.annotation.interop.picture_names import PictureNames

NAMES = [
    "a.png",
    "sub/b.png",
    "one/c.png",
    "two/c.png",
    "train_0",
    "deep/sub/b.png",
    "caf\u00e9.jpg",
    "x.gif",
    "x.gif.png",
    "my cup #1.jpg",
    "once more.png",
    "once%20more.png",
]


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("a.png", "a.png"),
        ("./a.png", "a.png"),
        ("images/a.png", "a.png"),
        ("/data/set/a.png", "a.png"),
        ("C:\\set\\a.png", "a.png"),
        ("/data/local-files/?d=set/a.png", "a.png"),
        ("/data/upload/12/0a1b2c3d-a.png", "a.png"),
        ("https://host/x/sub/b.png", "sub/b.png"),
        ("x/deep/sub/b.png", "deep/sub/b.png"),
        ("one\\c.png", "one/c.png"),
        ("train_0.png", "train_0"),
        ("set/train_0.png", "train_0"),
        ("x.gif.png", "x.gif.png"),
        (unicodedata.normalize("NFD", "caf\u00e9.jpg"), "caf\u00e9.jpg"),
        ("my%20cup%20%231.jpg", "my cup #1.jpg"),
        ("/data/local-files/?d=set/my%20cup%20%231.jpg", "my cup #1.jpg"),
        ("https://host/x/a.png?token=1", "a.png"),
        ("D:sub\\b.png", "sub/b.png"),
        ("once%20more.png", "once%20more.png"),
        # Several could be meant, or none.
        ("x/once%20more.png", None),
        ("c.png", None),
        ("b.png", None),
        ("three/c.png", None),
        ("A.png", None),
        ("aa.png", None),
        ("a", None),
        ("", None),
        ("/", None),
        (None, None),
    ],
)
def test_names(told: str | None, name: str | None) -> None:
    assert PictureNames(NAMES).find(told) == name


def test_what_is_not_clear_by_name_is_by_the_objects() -> None:
    names = PictureNames(NAMES)
    assert names.find("c.png", {"two/c.png"}) == "two/c.png"
    assert names.find("upload/c.png", {"two/c.png"}) == "two/c.png"
    assert names.find("upload/c.png", {"two/c.png", "one/c.png"}) is None
    assert names.find("one/c.png", {"two/c.png"}) == "one/c.png"
    # A copied shape does not make another picture of it.
    assert names.find("upload/c.png", {"a.png"}) is None
    assert names.find(None, {"a.png"}) == "a.png"
