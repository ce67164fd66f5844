import json
from pathlib import Path

import pytest

from segagent.core import InputError
from segagent.core.settings import claim


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.json"
    claim(path, {"seed": 3, "sides": (1, 2)})
    before = path.read_bytes()
    assert json.loads(before) == {"seed": 3, "sides": [1, 2]}
    claim(path, {"seed": 3, "sides": (1, 2)})
    with pytest.raises(InputError, match=r"new: was begun with other settings \(seed 3, now 4 \(--seed\)\); choose"):
        claim(path, {"seed": 4, "sides": (1, 2)}, {"seed": "--seed"})
    assert path.read_bytes() == before
    claim(path, {"seed": 4}, anew=True)
    assert json.loads(path.read_text()) == {"seed": 4}


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe"])
def test_what_is_no_record_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(InputError, match=str(tmp_path)):
        claim(tmp_path / "settings.json", {"seed": 3})
    assert (tmp_path / "settings.json").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="choose another folder"):
        claim(tmp_path / "file" / "settings.json", {"seed": 3})
