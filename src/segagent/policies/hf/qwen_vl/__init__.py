"""Qwen-VL and Qwen-VL-Chat, the family of the published SegAgent-Qwen: an architecture that transformers does not have.

Parts and parameters are named as in the published checkpoints, so that their files are read, and ours written, as they
are. The repository code that comes with such a checkpoint is never run.
"""

from segagent.policies.hf.qwen_vl.loading import is_qwen_vl, load_model, load_processor

__all__ = ["is_qwen_vl", "load_model", "load_processor"]
