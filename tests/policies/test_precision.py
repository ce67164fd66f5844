"""How the embedded networks compute on a CPU: decided by what it has, on record, and of little effect on answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cheap_models import Saying
from segagent import cpu
from segagent.annotation import annotate_image
from segagent.annotation.batch import Budget, Models, RunConfig, run_job
from segagent.cli.main import main
from segagent.conformance.policies import observation
from segagent.core import Click, Image, InputError, Observation, Proposal, empty_mask, iou
from segagent.cpu import Precision, autocast, computing_in, on_one_thread, precision
from segagent.datasets import open_dataset
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.run import evaluate
from segagent.policies import make_policy
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.policy import EmbeddedPolicy
from segagent.runs.fingerprint import known_answers, policy_answers
from segagent.runs.journal import Journal, read_journal
from segagent.search import SearchConfig
from segagent.tools import make_tool
from segagent.tools.fake import DiscTool

BOTH: tuple[Precision, Precision] = ("bfloat16", "float32")


class PrecisePolicy(Saying):
    """Clicks in one place in float32 and in another in bfloat16: the worst that rounding could do."""

    name = "embedded:anything"

    def __init__(self, places: tuple[int, int] = (10, 20)) -> None:
        self._places = dict(zip(BOTH, places, strict=True))

    def says(self, look: Observation, seed: int) -> Proposal:
        return Proposal(Click(self._places[precision()], 5, positive=True), 0.5, None, "")


def precise_models() -> Models:
    return Models(PrecisePolicy(), DiscTool())


@pytest.fixture(autouse=True)
def _by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(cpu.VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("has_flag", "onednn_takes_it", "expected"),
    [
        (True, True, "bfloat16"),
        (False, True, "float32"),  # AVX512 alone, and ARM.
        (True, False, "float32"),  # oneDNN is held to AVX2 by its environment variable.
        (False, False, "float32"),
    ],
)
def test_the_cpu_decides(has_flag: bool, onednn_takes_it: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_flag, raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn_takes_it, raising=False)
    assert cpu._by_cpu() == expected


def test_without_a_way_to_tell_it_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where torch comes without oneDNN, on macOS, or another release of it has no such question."""
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert cpu._by_cpu() == "float32"
    monkeypatch.undo()
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert cpu._by_cpu() == "float32"


def test_the_environment_overrules_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in BOTH:
        monkeypatch.setenv(cpu.VARIABLE, asked)
        assert precision() == asked
        with autocast():
            assert torch.is_autocast_enabled("cpu") is (asked == "bfloat16")
        assert f"precision {asked}" in cpu.cpu_words()
    for asked in ("auto", ""):
        monkeypatch.setenv(cpu.VARIABLE, asked)
        assert precision() == cpu._by_cpu()


def test_an_unknown_format_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cpu.VARIABLE, "half")
    with pytest.raises(InputError, match=r"SEGAGENT_PRECISION.*'half'.*bfloat16, float32 or auto"):
        precision()
    assert main(["audit", "scenes:1:size=64", "-o", str(tmp_path / "run")]) == 2
    assert "SEGAGENT_PRECISION" in capsys.readouterr().err


def test_what_was_chosen_holds_inside_alone() -> None:
    before = precision()
    with computing_in("float32"):
        assert precision() == "float32"
        with computing_in("bfloat16"):
            assert precision() == "bfloat16"
        assert precision() == "float32"
    assert precision() == before


def test_embedded_models_compute_on_one_thread(untrained: PolicyNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    look = observation(40, 50, "red mug")
    policy, tool = EmbeddedPolicy(untrained), make_tool("embedded")
    answer: Callable[..., object] = tool._network.click.forward  # type: ignore[attr-defined]
    perceive = policy._perceive
    monkeypatch.setattr(policy, "_perceive", lambda image: (used.append(torch.get_num_threads()), perceive(image))[1])
    monkeypatch.setattr(
        tool._network.click,  # type: ignore[attr-defined]
        "forward",
        lambda *inputs: (used.append(torch.get_num_threads()), answer(*inputs))[1],
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        annotate_image(look.image, "red mug", policy, tool, SearchConfig(max_steps=1))
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), on_one_thread():
            _ = 1 / 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(used) == {1}
    assert len(used) > 1


def test_a_picture_is_looked_at_anew_in_another_format(untrained: PolicyNetwork) -> None:
    look, policy = observation(40, 50, "red mug"), EmbeddedPolicy(untrained)
    seen = []
    for number_format in BOTH:
        with computing_in(number_format):
            seen.append(policy._percept(look.image).features)
    assert not torch.equal(*seen)
    assert torch.allclose(*seen, atol=0.05)


def test_both_formats_say_nearly_the_same() -> None:
    """One picture only: where bfloat16 is slow, it is slow here too."""
    policy = make_policy("embedded")
    scene = generate_scene(scene_rng("val", 11, 0), SceneConfig(size=160))
    look = Observation(Image.of(scene.image), scene.expressions[0].text, empty_mask(160, 160))
    replies = []
    for number_format in BOTH:
        with computing_in(number_format):
            replies.append(policy.propose([look])[0][0])
    ours, others = (reply.action for reply in replies)
    assert isinstance(ours, Click)
    assert isinstance(others, Click)
    assert ours.positive == others.positive
    assert np.hypot(ours.x - others.x, ours.y - others.y) <= 2
    assert abs((replies[0].predicted_iou or 0) - (replies[1].predicted_iou or 0)) <= 0.02


@pytest.mark.slow
def test_both_formats_make_nearly_the_same_masks() -> None:
    """All but one of 12: where two objects are as likely, rounding may decide."""
    policy, tool = make_policy("embedded"), make_tool("embedded")
    same = []
    for number in range(12):
        scene = generate_scene(scene_rng("val", 11, number), SceneConfig(size=160))
        masks = []
        for number_format in BOTH:
            with computing_in(number_format):
                made = annotate_image(
                    Image.of(scene.image), scene.expressions[0].text, policy, tool, SearchConfig(max_steps=3)
                )
            assert made.versions["embedded policy precision"] == number_format
            masks.append(made.mask_at(made.returned))
        same.append(iou(*masks) > 0.95)
    assert np.mean(same) > 0.9


def test_weights_are_known_again_on_another_kind_of_cpu(tmp_path: Path) -> None:
    digests = set()
    for number_format in BOTH:
        with computing_in(number_format):
            digests.add(policy_answers(PrecisePolicy()))
    (digest,) = digests
    other = policy_answers(PrecisePolicy((10, 21)))
    assert other != digest
    # What earlier versions wrote: the answers in bfloat16.
    earlier = policy_answers(PrecisePolicy((10, 10)))
    assert policy_answers(PrecisePolicy(), earlier) == earlier
    assert policy_answers(PrecisePolicy(), other) == digest
    path = tmp_path / "journal.jsonl"
    assert known_answers(path) == ""
    path.write_bytes(b"no journal")
    assert known_answers(path) == ""
    path.unlink()
    with Journal(path, {"policy_answers": earlier}, {}):
        pass
    assert known_answers(path) == earlier


def test_a_run_goes_on_in_another_format(tmp_path: Path) -> None:
    dataset = open_dataset("scenes:2:size=64,sentences=1")
    config = RunConfig("annotate", SearchConfig(max_steps=1), batch_images=1)
    for number_format, calls in (("float32", 1), ("bfloat16", None)):
        with computing_in(number_format):
            progress = run_job(
                dataset,
                lambda: Models(PrecisePolicy(), DiscTool()),
                tmp_path,
                config,
                budget=Budget(policy_calls=calls),
            )
            assert progress.num_images == (1 if calls else 2)
    header, _ = read_journal(tmp_path / "journal.jsonl")
    assert header["notes"]["versions"]["embedded policy precision"] == "float32"
    with pytest.raises(InputError, match="policy_answers"):
        run_job(dataset, lambda: Models(PrecisePolicy((10, 21)), DiscTool()), tmp_path, config)


def test_an_evaluation_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    dataset, config = open_dataset("scenes:2:size=64,sentences=1"), EvaluationConfig()
    evaluate(dataset, PrecisePolicy((10, 10)), DiscTool(), tmp_path, config)  # Its digest is of bfloat16.
    assert evaluate(dataset, PrecisePolicy(), DiscTool(), tmp_path, config).num_kept_images == 2
    with pytest.raises(InputError, match="policy_answers"):
        evaluate(dataset, PrecisePolicy((20, 20)), DiscTool(), tmp_path, config)


def test_other_policies_have_no_precision_and_load_no_torch_to_say_so() -> None:
    asked = (
        "import sys; from segagent.search.versions import versions_with as v; "
        "from segagent.policies import CentrePolicy; "
        "assert 'embedded policy precision' not in v(CentrePolicy()); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", asked], check=True)
