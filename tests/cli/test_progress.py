"""Progress in a log file: images and objects, each with its rate, of what this session does."""

import pytest

from segagent.cli import console


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(console, "time", made)
    return made


def test_objects_are_counted_beside_images(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with console.counting_parts("audit", 100, unit="images", part="objects", quiet=False) as update:
        update(0, 0, "")
        clock.now += 20
        update(40, 120, "118 audited, 2 failed")
    said = capsys.readouterr().err
    assert said == "audit: 40/100 images, 120 objects (2.0 images/s, 6.0 objects/s, 30 s left) 118 audited, 2 failed\n"


def test_what_was_there_before_is_no_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with console.counting_parts("audit", 100, unit="images", part="objects", quiet=False) as update:
        update(60, 600, "")
        clock.now += 20
        update(70, 650, "")
    assert "70/100 images, 650 objects (0.5 images/s, 2.5 objects/s, 60 s left)" in capsys.readouterr().err


def test_without_parts_and_without_a_total(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with console.counting("export", None, unit="trajectories", quiet=False) as update:
        update(0, "")
        clock.now += 10
        update(30, "")
    assert capsys.readouterr().err == "export: 30 (3.0 trajectories/s)\n"
