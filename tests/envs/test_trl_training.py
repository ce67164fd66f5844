"""TRL's GRPO through the environment: a random-weight Qwen2.5-VL of two layers learns easy scenes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")
sys.path.append(str(Path(__file__).parents[1] / "policies" / "hf"))

from easy_scenes import PLACES, EasyScenes
from tiny_checkpoints import make_qwen25

EXAMPLES = Path(__file__).parents[2] / "examples"


def call(name: str, **arguments: int) -> str:
    return "<tool_call>\n" + json.dumps({"name": name, "arguments": arguments}) + "\n</tool_call>"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the package's own
def test_a_tiny_model_learns_to_call_the_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from train_with_trl import train

    answers = [call("click_object", x=x, y=y) for x, y in PLACES]
    folder = make_qwen25(tmp_path / "tiny", [*answers, call("finish")])
    pictures = [f"<|{name}|>" for name in ("vision_start", "vision_end", "image_pad", "video_pad")]
    import transformers

    unsaid = transformers.AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(pictures)
    trainer = train(
        str(folder),
        EasyScenes(),
        str(tmp_path / "out"),
        "disc",
        clicks=1,
        max_steps=35,
        lr_scheduler_type="constant",
        max_tool_calling_iterations=1,
        max_completion_length=40,
        generation_kwargs={"suppress_tokens": unsaid, "max_new_tokens": 2},  # Or it draws pictures, being random.
        num_generations=8,
        per_device_train_batch_size=8,
        learning_rate=1e-2,
        beta=0.01,
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    rewards = [line["reward"] for line in trainer.state.log_history if "reward" in line]
    assert sum(rewards[:5]) / 5 < 0.3, rewards
    assert sum(rewards[-5:]) / 5 > 0.7, rewards
