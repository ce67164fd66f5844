"""Weights from the hub: announced, fetched once, never offline; and what is said where they cannot be had."""

from __future__ import annotations

import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub as hub_client
import pytest
from fake_hub import FakeHub

from segagent.annotation.machine import Gpu, Machine, this_machine
from segagent.annotation.presets import load_preset
from segagent.cli.main import main
from segagent.core import MissingExtraError, WeightsError
from segagent.core.hub import fetch, go_offline, here, is_pinned, located, look_up, offline

NAME, GATED = "nvidia/EGM-4B", "facebook/sam3"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A checkpoint in two shards, as far as the hub is concerned."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}')
    (folder / "1.safetensors").write_bytes(b"1" * 700_000)
    (folder / "2.safetensors").write_bytes(b"2" * 800_000)
    (folder / "notes.pdf").write_bytes(b"0")
    return folder


@pytest.fixture
def hub(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub({NAME: model, GATED: model, "facebook/sam2.1-hiera-large": model}, frozenset({GATED})) as served:
        constants = hub_client.constants
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", served.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield served


def test_a_model_is_announced_and_fetched_once(hub: FakeHub, tmp_path: Path) -> None:
    told: list[str] = []
    assert here(NAME, COMMIT) is None
    folder = fetch(NAME, COMMIT, told.append)
    cache = tmp_path / "cache"
    assert told == [f"fetching {NAME}: 1.5 MB, licence apache-2.0, revision {COMMIT}, into {cache}"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "1.safetensors", "2.safetensors", "config.json", "model.safetensors.index.json",
    ]  # fmt: skip
    assert (folder / "2.safetensors").read_bytes() == b"2" * 800_000
    hub.asked.clear()
    assert fetch(NAME, COMMIT, told.append) == folder == Path(located(NAME, COMMIT))
    assert (len(told), hub.asked) == (1, []), "a commit never changes, so nobody is asked"


def test_a_branch_is_asked_for_and_its_commit_told(hub: FakeHub) -> None:
    told: list[str] = []
    folder = fetch(NAME, "main", told.append)
    assert f"revision {hub.commits[NAME]}, into" in told[0]
    assert folder.name == hub.commits[NAME]
    fetch(NAME, "main", told.append)
    assert len(told) == 1, "the same commit is not fetched again"


def test_what_was_interrupted_is_fetched_to_its_end(hub: FakeHub) -> None:
    folder = fetch(NAME, COMMIT, lambda told: None)
    lost = folder / "2.safetensors"
    lost.resolve().unlink()
    lost.unlink()
    assert here(NAME, COMMIT) is None
    told: list[str] = []
    hub.fetched.clear()
    fetch(NAME, COMMIT, told.append)
    assert told[0].startswith(f"fetching {NAME}: 0.8 MB")
    assert hub.fetched == [f"{NAME}/2.safetensors"]


def test_nothing_is_fetched_offline(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(NAME, COMMIT, lambda told: None)
    fetch(NAME, "main", lambda told: None)
    hub.asked.clear()
    assert not offline()
    go_offline()
    assert offline()
    assert fetch(NAME, COMMIT, pytest.fail) == here(NAME, COMMIT) != fetch(NAME, "main", pytest.fail)
    with pytest.raises(
        WeightsError, match="nothing is fetched offline; fetch it where there is a connection: hf download"
    ):
        fetch("Qwen/Qwen3-VL-4B-Instruct", COMMIT, pytest.fail)
    with pytest.raises(WeightsError, match="not asked offline"):
        look_up(NAME, "main")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "revision", "why"),
    [
        (GATED, COMMIT, r"ask for access at http://127\.0\.0\.1:\d+/facebook/sam3, then 'hf auth login'"),
        ("no/such", COMMIT, "knows no such model"),
        (NAME, "v9", "has no revision v9"),
        ("a b/c d", COMMIT, "cannot be asked"),
    ],
)
def test_why_a_model_cannot_be_had(hub: FakeHub, name: str, revision: str, why: str) -> None:
    with pytest.raises(WeightsError, match=why):
        fetch(name, revision, lambda told: None)


def test_without_the_client_presets_are_listed_still(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["presets"]) == 0
    assert "8.9 GB to fetch" in capsys.readouterr().out
    with pytest.raises(MissingExtraError, match=r"pip install 'segagent\[hf\]'"):
        fetch(NAME, COMMIT, pytest.fail)


def test_a_hub_that_is_not_there(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fetch(NAME, "main", lambda told: None)
    monkeypatch.setattr(hub_client.constants, "ENDPOINT", "http://127.0.0.1:9")
    told: list[str] = []
    assert fetch(NAME, "main", told.append) == folder
    assert "the copy on this machine is used" in told[0]
    with pytest.raises(WeightsError, match="the hub cannot be asked"):
        fetch("Qwen/Qwen3-VL-4B-Instruct", COMMIT, pytest.fail)


def test_a_disk_that_is_full(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))
    with pytest.raises(WeightsError, match=r"1\.5 MB are to be fetched and .* has 1\.0 MB left; make room"):
        fetch(NAME, COMMIT, lambda told: None)
    assert hub.fetched == []


def test_a_model_on_modelscope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "modelscope://zzzmmz/SegAgent-Model"
    monkeypatch.setitem(sys.modules, "modelscope", None)
    with pytest.raises(MissingExtraError, match="pip install modelscope"):
        fetch(name, "master", lambda told: None)
    root = tmp_path / "scope"
    asked: list[tuple[str, str, bool]] = []

    def snapshot_download(model: str, revision: str, local_files_only: bool) -> str:
        asked.append((model, revision, local_files_only))
        if local_files_only and not root.is_dir():
            raise ValueError("not here")
        (root / "inner").mkdir(parents=True, exist_ok=True)
        (root / "inner" / "config.json").write_text("{}")
        return str(root)

    monkeypatch.setitem(sys.modules, "modelscope", types.SimpleNamespace(snapshot_download=snapshot_download))
    told: list[str] = []
    assert fetch(name, "master", told.append) == root / "inner"
    assert asked == [("zzzmmz/SegAgent-Model", "master", True), ("zzzmmz/SegAgent-Model", "master", False)]
    assert told == [f"fetching {name} (revision master)"]
    assert located(name, "master") == str(root / "inner"), "a folder that nests is looked into"
    assert len(asked) == 3


def test_a_preset_is_pinned_to_what_the_hub_says(
    hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "egm.toml"
    assert main(["presets", "egm-4b+sam2", "--pin", "-o", str(out)]) == 0
    pinned, was = load_preset(str(out)), load_preset("egm-4b+sam2")
    assert pinned.policy_weights is not None
    assert is_pinned(pinned.policy_weights.revision)
    assert pinned.policy_weights.revision == hub.commits[NAME]
    assert pinned.tool_weights == was.tool_weights, "a commit stays"
    assert (pinned.search, pinned.policy_options) == (was.search, was.policy_options)
    for wrong in (["--pin"], ["egm-4b+sam2", "--pin"], ["egm-4b+sam2", "-o", str(out)]):
        assert main(["presets", *wrong]) == 2
    assert main(["presets", "egm-4b+sam2", "--pin", "-o", str(tmp_path / "x.txt")]) == 2
    assert main(["presets", "segagent-qwen+sam", "--pin", "-o", str(out)]) == 2
    assert "ModelScope names no commits" in capsys.readouterr().err
    assert load_preset(str(out)) == pinned, "what is refused overwrites nothing"


def test_offline_is_an_option(hub: FakeHub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image as PillowImage

    photo = tmp_path / "photo.png"
    PillowImage.new("RGB", (64, 48)).save(photo)
    command = ["annotate", str(photo), "the mug", "--preset", "egm-4b+sam2", "--offline", "-o", str(tmp_path / "out")]
    assert main(command) == 2
    assert "revision main is not on this machine, and nothing is fetched offline" in capsys.readouterr().err
    assert hub.asked == []
    assert not (tmp_path / "out").exists()


def test_what_fits() -> None:
    small, large = Gpu("GPU A", 6.0, 8.0), Gpu("GPU B", 20.0, 24.0)
    machine = Machine(16.0, (small, large))
    assert machine.words() == "this machine: 16 GB of memory, GPU A (6 of 8 GB free), GPU B (20 of 24 GB free)"
    assert machine.fit(5) == "fits on GPU A"
    assert machine.fit(13) == "fits on GPU B"
    assert machine.fit(22) == "would fit on the GPU if it were free"
    assert Machine(16.0).fit(13) == "fits in memory, slow without a GPU"
    assert Machine(16.0, (small,)).fit(22) == "does not fit here"
    assert this_machine().memory > 0.1
