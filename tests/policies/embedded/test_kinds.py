from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from segagent.conformance.policies import observation
from segagent.learning.policy.train_kinds import small_kinds
from segagent.policies.embedded.grounding import Grounded
from segagent.policies.embedded.kinds import NUM_KINDS, Kinds, asked_kinds, chance_of, lean, nouns, save_nouns
from segagent.policies.embedded.network import Architecture, PolicyNetwork, load_network, save_network
from segagent.policies.embedded.policy import EmbeddedPolicy
from segagent.policies.embedded.regions import CLOSER_ALL, CLOSER_INSIDE, NUM_SEEN
from segagent.vision.encoder import PublishedHead
from segagent.vision.sight import Sight

TABLE = {"tower": (1, 2), "church": (3,), "hot dog": (4,), "dog": (5, 6), "man": (), "shirt": ()}


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("the tower on the left", (1, 2)),
        ("Church Towers!", (1, 2)),
        ("tower behind the church", (1, 2)),
        ("hot dog", (4,)),
        ("a hot, wet dog", (5, 6)),
        ("man with a dog", ()),  # it is about the man
        ("dog shirt", ()),
        ("left one", ()),
        ("", ()),
    ],
)
def test_a_sentence_asks_for_its_first_noun(text: str, asked: tuple[int, ...]) -> None:
    assert asked_kinds(text, {"dog"}, TABLE) == (asked, text == "a hot, wet dog")


def test_the_packaged_nouns_are_kinds_of_imagenets() -> None:
    table = nouns()
    assert all(0 <= number < NUM_KINDS for classes in table.values() for number in classes)
    assert table["flower"] == (985, 986)  # daisy, yellow lady's slipper
    assert set(table["teapot"]) == {849}
    assert {437, 900} == set(table["tower"])  # beacon, water tower
    assert table["person"] == table["umbrella"] == ()
    assert not {"left", "light", "camera", "middle"} & set(table)


def test_a_table_of_nouns_survives_the_disk(tmp_path: Path) -> None:
    save_nouns(tmp_path / "nouns.tsv", TABLE)
    assert nouns(tmp_path / "nouns.tsv") == TABLE


def _head(rank: int) -> PublishedHead:
    name = torch.randn(NUM_KINDS, rank) @ torch.randn(rank, 1280) / 20
    return PublishedHead(torch.randn(1280, 320) / 18, torch.randn(1280), name, torch.randn(NUM_KINDS))


def test_the_small_classifier_says_what_the_published_one_says() -> None:
    torch.manual_seed(0)
    head, seen = _head(rank=60), torch.randn(300, NUM_SEEN)
    parts = (functional.linear(seen[:, part], head.widen, head.widen_bias) for part in (CLOSER_INSIDE, CLOSER_ALL))
    wide = torch.stack([functional.relu6(part) for part in parts]).mean(0)
    expected = functional.linear(wide, head.name, head.name_bias).log_softmax(1)
    found = small_kinds(head, seen[:200])(seen)[200:]
    assert float((found.argmax(1) == expected[200:].argmax(1)).float().mean()) > 0.9
    assert float((found - expected[200:]).abs().mean()) < 0.05 * float(expected[200:].std())


def test_evidence_speaks_for_what_looks_so_and_against_nothing_being_meant() -> None:
    logits = torch.zeros(2, 4)
    answer = Grounded(logits, logits, logits, torch.zeros(2, 4, 1))
    valid = torch.tensor([[True, True, False], [True, True, True]])
    evidence = torch.tensor([[-3.0, -1.0, 9.0], [2.0, 0.0, 0.0]])
    leaning = lean(answer, evidence, valid, torch.tensor([False, False]))
    assert leaning.logits.tolist() == [[0.0, -3.0, -1.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    assert leaning.absent.tolist() == [1.0, -2.0]
    assert not leaning.candidates[:, 1:].any()
    # That there is a dog does not say that there is one with a frisbee.
    assert lean(answer, evidence, valid, torch.tensor([True, True])).absent.tolist() == [1.0, 0.0]


def _with_kinds(sight: Sight) -> PolicyNetwork:
    torch.manual_seed(0)
    network = PolicyNetwork(Architecture(("left", "the"), (3, 2, 2, 3)), sight)
    network.kinds = small_kinds(_head(rank=60), torch.randn(100, NUM_SEEN))
    network.kinds.trust.fill_(1.0)
    network.absent_above = 0.5
    return network.eval().requires_grad_(False)


def test_an_untaught_noun_means_what_looks_like_it(untrained_sight: Sight, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = EmbeddedPolicy(_with_kinds(untrained_sight))
    look = observation(120, 160, "the teapot")
    one = policy._percept(look.image)
    assert one.kinds is not None
    assert one.kinds.shape == (len(one.tokens), NUM_KINDS)
    twice = {name: getattr(one, name)[:1].repeat_interleave(2, 0) for name in ("coverage", "tokens", "geometry")}
    percept = replace(one, certainty=torch.ones(2), **twice)

    def read(teapot: float, text: str) -> tuple[float, float]:
        """How likely object 1 is meant, and nothing, where it is a teapot with this probability."""
        kinds = torch.full((2, NUM_KINDS), 1e-6)
        kinds[1, 849] = teapot
        monkeypatch.setattr(policy, "_percept", lambda _: replace(percept, kinds=kinds.log()))
        reading = policy.read(observation(120, 160, text))
        assert reading.absent is not None
        return float(reading.objects[2]), reading.absent

    sure, unsure = read(0.9, "the teapot"), read(1e-6, "the teapot")
    assert sure[0] > 0.9 > unsure[0]
    assert sure[1] < unsure[1]
    assert any("not to be in this picture" in doubt for doubt in policy.doubts(look.image, "the teapot"))
    assert read(0.9, "the left") == read(1e-6, "the left")


def test_kinds_survive_the_disk_in_less_than_a_megabyte(untrained_sight: Sight, tmp_path: Path) -> None:
    network = _with_kinds(untrained_sight)
    save_network(tmp_path / "with.safetensors", network, {})
    loaded = load_network(tmp_path / "with.safetensors")
    assert isinstance(loaded.kinds, Kinds)
    seen = torch.randn(5, NUM_SEEN)
    assert network.kinds is not None
    assert torch.allclose(loaded.kinds(seen), network.kinds(seen), atol=0.05)
    assert float(chance_of(loaded.kinds(seen), tuple(range(NUM_KINDS))).abs().max()) < 1e-3
    network.kinds = None
    save_network(tmp_path / "without.safetensors", network, {})
    assert load_network(tmp_path / "without.safetensors").kinds is None
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("with", "without")]
    assert sizes[0] - sizes[1] < 2**20
