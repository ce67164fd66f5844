import json
from pathlib import Path

import pytest

from segagent.core import InputError
from segagent.runs.journal import Journal, read_journal

CONFIG = {"tool": "disc", "starts": ["empty"]}
UNITS = [[{"a": 1}, {"a": "\ud800é\n"}], [], [{"b": 2}], [{"c": i} for i in range(4)], []]


def write(path: Path, units: list[list[dict[str, object]]] = UNITS, config: dict[str, object] = CONFIG) -> list[object]:
    """Write what is missing; returns what was there before."""
    seen: list[object] = []
    with Journal(path, config, {"note": 1}, kept=lambda record: seen.append(record["unit"])) as journal:
        for number in range(journal.next_unit, len(units)):
            journal.append(number, units[number])
    return seen


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path)
    header, records = read_journal(path)
    assert (header["config"], header["notes"]) == (CONFIG, {"note": 1})
    found = list(records)
    assert [{k: v for k, v in record.items() if k != "unit"} for record in found] == [r for unit in UNITS for r in unit]
    assert [record["unit"] for record in found[:4]] == [[0, 0, 2], [0, 1, 2], [2, 0, 1], [3, 0, 4]]


def test_writing_again_adds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path)
    content = path.read_bytes()
    assert len(write(path)) == 7
    assert path.read_bytes() == content


def test_every_cut(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    torn = tmp_path / "torn"
    for length in range(len(content)):
        for garbage in [b"", b"\0\0", b'{"half\n'] if length > 40 else [b""]:
            torn.write_bytes(content[:length] + garbage)
            write(torn)
            assert torn.read_bytes() == content


def test_reading_leaves_out_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path)
    path.write_bytes(path.read_bytes()[:-3])
    assert len(list(read_journal(path)[1])) == 6


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match=r'begun with other settings \(tool "disc", now "sam"\)'):
        write(path, config={**CONFIG, "tool": "sam"})
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"precious", b"{}\n", b'{"schema": "x"}\n', b"\0" * 50])
def test_other_files_are_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a journal"):
        write(path)
    assert path.read_bytes() == content
    with pytest.raises(InputError, match="not a journal"):
        read_journal(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [*lines[:2], b"{oops\n", *lines[3:]],
        lambda lines: [*lines[:2], b"[]\n", *lines[3:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [*lines[:4], *lines[3:]],
        lambda lines: [*lines, *lines[1:3]],
        lambda lines: [lines[0], b'{"a": 1}\n', *lines[1:]],
    ],
)
def test_damage_inside_is_told_with_its_line(tmp_path: Path, damage) -> None:
    path = tmp_path / "j"
    write(path)
    path.write_bytes(b"".join(damage(path.read_bytes().splitlines(keepends=True))))
    content = path.read_bytes()
    with pytest.raises(InputError, match=r"j, line \d+: ") as error:
        write(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, CONFIG, {}), pytest.raises(InputError, match="another process"):
        Journal(path, CONFIG, {})
    Journal(path, CONFIG, {}).close()


def test_units_only_go_upwards(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", CONFIG, {}) as journal:
        journal.append(3, [{}])
        with pytest.raises(ValueError, match="written already"):
            journal.append(3, [{}])


def test_unusable_places(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "j", "/dev/null"):
        with pytest.raises(InputError, match=str(path)):
            Journal(path, CONFIG, {})
    with pytest.raises(InputError, match="cannot be read"):
        read_journal(tmp_path / "absent")


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "j", CONFIG, {})

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> object:
            return getattr(file, name)

    file = journal._file
    monkeypatch.setattr(journal, "_file", Full())
    with pytest.raises(InputError, match="No space left on device"):
        journal.append(0, [{}])
    monkeypatch.setattr(journal, "_file", file)
    journal.close()


def test_lines_are_ascii_json(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path)
    for line in path.read_bytes().splitlines():
        json.loads(line.decode("ascii"))
