"""Workers are dealt out over the GPUs, without any library being loaded to count them."""

from pathlib import Path

import pytest

from segagent.distributed import devices


@pytest.mark.parametrize(
    ("given", "found"),
    [("0,1", ["0", "1"]), ("3", ["3"]), ("", []), ("-1", []), ("1,-1,2", ["1"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_those_that_the_process_may_use(given: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert devices.gpus() == found


def test_those_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(devices, "_LISTED", tmp_path / "gpus")
    assert devices.gpus() == []
    for name in ("a", "b", "c"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    assert devices.gpus() == ["0", "1", "2"]


def test_workers_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for place in range(3):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
        devices.use_gpu(place)
        seen.append(devices.gpus())
    assert seen == [["4"], ["6"], ["4"]]
    for alone in ("5", ""):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", alone)
        devices.use_gpu(1)
        assert devices.gpus() == [alone] * bool(alone)
