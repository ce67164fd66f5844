"""The second opinion on found outlines, by the shipped click network."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segagent.core import Image, WeightsError, iou
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.policy import SHIPPED
from segagent.policies.embedded.redrawing import FILE, Redrawer
from segagent.vision.sight import Sight, packaged_encoder, sight_of

TOOL = Path(str(files("segagent") / "weights" / FILE))
DISC = np.hypot(*np.mgrid[-60:60, -80:80]) < 40
PICTURE = np.full((120, 160, 3), 200, np.uint8)
PICTURE[DISC] = (180, 30, 30)


@pytest.fixture(scope="module")
def redrawer() -> Redrawer:
    return Redrawer(TOOL, sight_of(packaged_encoder()))


def square_of(mask: np.ndarray, dx: int = 0) -> torch.Tensor:
    """A mask (height, width) as an outline that is none too sure, on 64 x 64 cells, moved to the right by so many."""
    rows, columns = (np.linspace(0, n - 1, 64).round().astype(int) for n in mask.shape)
    return torch.from_numpy(0.1 + 0.6 * np.roll(mask[np.ix_(rows, columns)], dx, 1).astype(np.float32))[None]


def test_an_outline_that_is_off_comes_nearer_the_thing(redrawer: Redrawer) -> None:
    true, off = square_of(DISC), square_of(DISC, dx=6)
    better = redrawer.redrawn(Image.of(PICTURE), torch.cat((off, true)))
    assert better.shape == (2, 64, 64)
    assert better.dtype == torch.float32
    assert 0 <= float(better.min()) <= float(better.max()) <= 1
    thing = true[0].numpy() > 0.5
    assert iou(better[0].numpy() > 0.5, thing) > iou(off[0].numpy() > 0.5, thing) + 0.05
    assert iou(better[1].numpy() > 0.5, thing) > 0.85


def test_each_outline_is_drawn_as_if_alone(redrawer: Redrawer) -> None:
    outlines = torch.cat([square_of(DISC, dx) for dx in (-8, 0, 5)])
    together = redrawer.redrawn(Image.of(PICTURE), outlines)
    for number in range(3):
        alone = redrawer.redrawn(Image.of(PICTURE), outlines[number : number + 1])
        assert torch.allclose(together[number], alone[0], atol=1e-4)


def test_what_would_be_lost_stays_as_it_was(redrawer: Redrawer) -> None:
    faint = square_of(DISC) * 0.1
    faint[0, 10, 10] = 0.6
    assert torch.equal(redrawer.redrawn(Image.of(PICTURE), faint), faint)


def test_weights_tell_whether_outlines_are_redrawn_and_with_what(redrawer: Redrawer, tmp_path: Path) -> None:
    network = load_network(SHIPPED)
    network.redrawer = redrawer
    path = tmp_path / SHIPPED.name
    save_network(path, network, {})
    assert not (tmp_path / FILE).exists()  # the packaged one will be found
    found = load_network(path).redrawer
    assert found is not None
    assert found.fingerprint == redrawer.fingerprint
    network.redrawer = None
    save_network(path, network, {})
    assert load_network(path).redrawer is None


def test_another_click_network_goes_with_the_weights(redrawer: Redrawer, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for suffix in (".json", ".safetensors"):
        shutil.copy(TOOL.with_suffix(suffix), own)
    tensors = {name: value * 1.5 if value.is_floating_point() else value for name, value in load_file(TOOL).items()}
    save_file(tensors, own / FILE)
    network = load_network(SHIPPED)
    network.redrawer = Redrawer(own / FILE, sight_in(network))
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / SHIPPED.name
    save_network(path, network, {})
    found = load_network(path).redrawer
    assert found is not None
    assert found.fingerprint == network.redrawer.fingerprint != redrawer.fingerprint
    (path.parent / FILE).unlink()
    with pytest.raises(WeightsError, match="another click network"):
        load_network(path)


def test_networks_of_two_encoders_do_not_go_together(untrained: PolicyNetwork) -> None:
    with pytest.raises(WeightsError, match="another encoder"):
        Redrawer(TOOL, sight_in(untrained))


def sight_in(network: PolicyNetwork) -> Sight:
    """What the network sees with."""
    assert network.sight is not None
    return network.sight
