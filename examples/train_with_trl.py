"""GRPO by TRL, clicks as the tools of a conversation: ``python train_with_trl.py FOLDER scenes:200:split=train OUT``.

To train a model as SegAgent asks it, without tools and history, there is ``segagent train grpo hf:DIR``.
"""

import sys
from typing import Any

from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import qwen3_vl_chat_template

from datasets import Dataset
from segagent.envs import AnnotationEnv
from segagent.envs.trl_env import trl_environment, trl_rows
from segagent.policies.hf.loading import load_checkpoint


def train(folder: str, data: str, out: str, tool: str = "embedded", clicks: int = 4, **settings: Any) -> GRPOTrainer:
    checkpoint = load_checkpoint(folder, device=None, dtype=None)
    # Qwen2.5-VL's own template says nothing of tools; Qwen3-VL's does, in words that TRL reads.
    checkpoint.processor.chat_template = qwen3_vl_chat_template
    trainer = GRPOTrainer(
        checkpoint.model.requires_grad_(True),
        args=GRPOConfig(out, **settings),
        train_dataset=Dataset.from_list(trl_rows(AnnotationEnv(data, tool))),
        processing_class=checkpoint.processor,
        environment_factory=trl_environment(data, tool, max_steps=clicks),
    )
    trainer.train()
    trainer.save_model(out)
    return trainer


if __name__ == "__main__":
    train(*sys.argv[1:4], num_generations=8, beta=0.01, max_tool_calling_iterations=5, max_completion_length=2048)
