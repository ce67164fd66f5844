"""Questions as a checkpoint's own tensors, and how its replies end: shared by inference and training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image as PillowImage

from segagent.policies.chat import Question
from segagent.policies.hf.loading import Checkpoint
from segagent.policies.hf.pictures import quick_processor


def encode_questions(processor: Any, questions: Sequence[Question]) -> Any:
    """A left-padded batch of prompts up to where the reply begins, as the processor makes it; pictures before text."""
    texts = [prompt_text(processor, question) for question in questions]
    pictures = [[picture.pixels for picture in question.pictures] for question in questions]
    quick = quick_processor(processor)
    shown = pictures if quick is not processor else [[PillowImage.fromarray(one) for one in row] for row in pictures]
    return quick(text=texts, images=shown, padding=True, return_tensors="pt")


def prompt_text(processor: Any, question: Question) -> str:
    """The text of a prompt up to where the reply begins, with one placeholder for each picture."""
    return str(processor.apply_chat_template([_asked(question)], tokenize=False, add_generation_prompt=True))


def end_tokens(checkpoint: Checkpoint) -> frozenset[int]:
    """All tokens that end a reply, by the model's generation settings and by its tokenizer."""
    named = getattr(checkpoint.model.generation_config, "eos_token_id", None)
    ids = {named} if isinstance(named, int) else set(named or ())
    return frozenset(int(token) for token in ids | {checkpoint.tokenizer.eos_token_id} if token is not None)


def closing_token(checkpoint: Checkpoint) -> int:
    """The one of :func:`end_tokens` with which the chat template closes a reply, else the tokenizer's own."""
    import jinja2

    ending = end_tokens(checkpoint)
    reply = "reply"
    messages = [_asked(Question((), "question")), {"role": "assistant", "content": [{"type": "text", "text": reply}]}]
    try:
        text = str(checkpoint.processor.apply_chat_template(messages, tokenize=False))
    except (TypeError, ValueError, KeyError, jinja2.TemplateError):
        text = ""  # A template for prompts only.
    tail = text.rpartition(reply)[2]
    closing = [token for token in checkpoint.tokenizer(tail, add_special_tokens=False)["input_ids"] if token in ending]
    return int(closing[0]) if closing else int(checkpoint.tokenizer.eos_token_id)


def _asked(question: Question) -> dict[str, Any]:
    content: list[dict[str, str]] = [{"type": "image"} for _ in question.pictures]
    return {"role": "user", "content": [*content, {"type": "text", "text": question.prompt}]}
