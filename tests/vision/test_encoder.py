from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import Image, WeightsError
from segagent.vision.encoder import CHANNELS, STRIDES, Encoder, encoder_input, from_published, read_published
from segagent.vision.sight import (
    Sight,
    fingerprint,
    load_encoder,
    packaged_encoder,
    save_encoder,
    sight_of,
)


def random_encoder() -> Encoder:
    """Random weights whose running statistics are not the trivial ones."""
    torch.manual_seed(3)
    encoder = Encoder().eval()
    for name, value in encoder.state_dict().items():
        if "running_mean" in name:
            value.normal_(0, 0.1)
        elif "running_var" in name:
            value.uniform_(0.5, 1.5)
    return encoder


def pictures(num: int = 2, side: int = 64) -> Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (num, side, side, 3), dtype=np.uint8)
    return encoder_input(torch.from_numpy(pixels))


def published_names(encoder: Encoder) -> dict[str, Tensor]:
    """The encoder's weights as the published file names them: blocks counted through, parts in its words."""
    words = {"expand.conv": "_expand_conv", "expand.norm": "_bn0", "depthwise.conv": "_depthwise_conv",
             "depthwise.norm": "_bn1", "project.conv": "_project_conv", "project.norm": "_bn2"}  # fmt: skip
    firsts = np.cumsum([0, *(len(stage) for stage in encoder.stages)])  # type: ignore[arg-type]
    published = {}
    for name, value in encoder.state_dict().items():
        if name.startswith("stem."):
            published[name.replace("stem.conv", "_conv_stem").replace("stem.norm", "_bn0")] = value
        else:
            _, stage, repeat, part, kind, leaf = name.split(".")
            published[f"_blocks.{firsts[int(stage)] + int(repeat)}.{words[f'{part}.{kind}']}.{leaf}"] = value
    return published | {"_fc.weight": torch.zeros(1)}


def test_shapes_and_size() -> None:
    pyramid = Encoder().eval()(pictures())
    assert [tuple(f.shape) for f in pyramid] == [
        (2, channels, 64 // stride, 64 // stride) for channels, stride in zip(CHANNELS, STRIDES, strict=True)
    ]
    # 3.4 M with the head's convolution (published), which has 320 x 1280 weights and 2 x 1280 of its normalisation.
    assert sum(p.numel() for p in Encoder().parameters()) + 320 * 1280 + 2 * 1280 == 3_371_008


def test_strided_convolutions_pad_behind_as_tensorflow_does() -> None:
    encoder = random_encoder()
    x = pictures()
    convolved = functional.conv2d(functional.pad(x, (0, 1, 0, 1)), encoder.stem.conv.weight, stride=2)
    assert torch.allclose(encoder.stem(x), functional.relu6(encoder.stem.norm(convolved)), atol=1e-5)


def test_published_weights_find_their_places(tmp_path: Path) -> None:
    encoder = random_encoder()
    torch.save(published_names(encoder), tmp_path / "lite0.pth")
    other = Encoder()
    other.load_state_dict(read_published(tmp_path / "lite0.pth"))
    for mine, theirs in zip(other.eval()(pictures()), encoder(pictures()), strict=True):
        assert torch.equal(mine, theirs)


def test_other_files_are_no_published_weights(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        from_published({"_conv_stem.weight": torch.zeros(1)})
    torch.save({"_conv_stem.weight": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "noise.pth").write_bytes(b"noise")
    for name in ("other.pth", "noise.pth", "none.pth"):
        with pytest.raises(WeightsError, match=name):
            read_published(tmp_path / name)


def test_folding_changes_no_feature() -> None:
    encoder = random_encoder()
    before = encoder(pictures())
    for old, new in zip(before, encoder.folded()(pictures()), strict=True):
        assert torch.allclose(old, new, atol=1e-4)


def test_saved_and_loaded(tmp_path: Path) -> None:
    encoder = random_encoder()
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    for old, new in zip(
        encoder(pictures()), load_encoder(tmp_path / "encoder.safetensors").eval()(pictures()), strict=True
    ):
        assert torch.allclose(old, new, atol=0.05)


@pytest.mark.parametrize("content", [b"", b"noise" * 100])
def test_damaged_weights_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "encoder.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"encoder\.safetensors"):
        load_encoder(tmp_path / "encoder.safetensors")
    with pytest.raises(WeightsError, match="no such file"):
        fingerprint(tmp_path / "missing.safetensors")


def test_a_picture_is_encoded_once_and_pictures_are_not_mixed_up() -> None:
    sight = Sight(random_encoder(), Path("encoder.safetensors"), "print")
    rng = np.random.default_rng(1)
    images = [Image.of(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)) for _ in range(3)]
    first = [sight.whole(image) for image in images]
    again = [sight.whole(Image.of(image.pixels)) for image in reversed(images)]
    assert sight.num_encoded == 3
    for old, new in zip(first, reversed(again), strict=True):
        assert torch.equal(old.stride8, new.stride8)
    assert not torch.equal(first[0].stride8, first[1].stride8)


def test_what_is_remembered_is_float32_whoever_asks_first() -> None:
    image = Image.of(np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8))
    sights = [Sight(random_encoder(), Path("encoder.safetensors"), "print") for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        first = sights[0].whole(image)
    for old, new in zip(first, sights[1].whole(image), strict=True):
        assert torch.equal(old, new)
        assert not old.is_inference()  # trainings of what reads the features keep them


def test_only_the_latest_pictures_are_remembered() -> None:
    sight = Sight(random_encoder(), Path("encoder.safetensors"), "print")
    images = [Image.of(np.full((8, 8, 3), n, np.uint8)) for n in range(17)]
    for image in images:
        sight.whole(image)
    sight.whole(images[-1])
    assert sight.num_encoded == 17
    sight.whole(images[0])
    assert sight.num_encoded == 18


def test_a_process_has_one_sight_per_file(tmp_path: Path) -> None:
    assert sight_of(packaged_encoder()) is sight_of(packaged_encoder())
    save_encoder(random_encoder(), tmp_path / "encoder.safetensors")
    assert sight_of(tmp_path / "encoder.safetensors") is not sight_of(packaged_encoder())
