"""A chat model that vLLM's engine runs: its offline ``LLM`` class, asked for many prompts at once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image as PillowImage

from segagent.core import RefusedError, ReplyTokens, SegAgentError
from segagent.core.recent import Recent
from segagent.policies.chat import Question, Reply, Usage
from segagent.policies.hf.loading import Checkpoint
from segagent.policies.hf.prompts import prompt_text

_REMEMBERED = 20_000
"""Questions whose replies are kept: where one of many is refused, the others are asked again one by one."""


class _Request(NamedTuple):
    """A prompt with its pictures, and how its replies are to be sampled, both as vLLM takes them."""

    prompt: dict[str, Any]
    params: Any


_Key: TypeAlias = tuple[tuple[str, ...], str, int, float, int]
"""Pictures, prompt, number of replies, temperature and seed."""
_Outcome: TypeAlias = "Any | RefusedError"
"""A ``RequestOutput`` of vLLM, or why there is none."""


class EngineModel:
    """See the module. ``engine``: a ``vllm.LLM``; ``checkpoint``: how its model is addressed. ``max_new_tokens``: of
    the longest reply; ``keep_tokens``: whether replies come with their tokens; ``structured``: whether they are held to
    the question's JSON schema.

    A question's greedy reply and its samples are two requests with one prompt, one behind the other: the engine's
    prefix cache reads it once. The same question with the same seed is not asked twice.
    """

    def __init__(
        self,
        engine: Any,
        checkpoint: Checkpoint,
        *,
        max_new_tokens: int = 1024,
        keep_tokens: bool = False,
        structured: bool = False,
    ) -> None:
        self.engine = engine
        self.checkpoint = checkpoint
        self._max_new_tokens = max_new_tokens
        self._keep_tokens = keep_tokens
        self._structured = structured
        self._usage = Usage()
        self._answered: Recent[_Key, list[Reply]] = Recent(_REMEMBERED)

    @property
    def usage(self) -> Usage:
        """See :class:`segagent.policies.chat.ChatModel`. Here ``calls`` counts questions."""
        return self._usage

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        """See :class:`segagent.policies.chat.ChatModel`.

        Raises ``RefusedError`` where the engine refuses a question, too long a one for example. The others are
        answered all the same, and their replies are there when they are asked for again. Raises ``SegAgentError`` where
        the engine has died.
        """
        if seeds is None:
            seeds = [int(seed) for seed in np.random.default_rng().integers(2**62, size=len(questions))]
        keys: list[_Key] = [
            (tuple(one.key for one in question.pictures), question.prompt, num_replies, temperature, seed)
            for question, seed in zip(questions, seeds, strict=True)
        ]
        known = {key: row for key in keys if (row := self._answered.get(key)) is not None}
        missing = {key: place for place, key in enumerate(keys) if key not in known}
        known |= self._answer(missing, questions, num_replies, temperature)
        rows = []
        for place, key in enumerate(keys):
            paid = missing.get(key) == place
            rows.append(known[key] if paid else [replace(one, usage=Usage(cached=1)) for one in known[key]])
        self._usage += Usage(cached=num_replies * (len(keys) - len(missing)))
        return rows

    def _answer(
        self, asked: Mapping[_Key, int], questions: Sequence[Question], num_replies: int, temperature: float
    ) -> dict[_Key, list[Reply]]:
        """The replies to the questions at those places. What can be answered is remembered before this raises."""
        began = time.perf_counter()
        requests = []
        for key, place in asked.items():
            question, seed = questions[place], key[-1]
            prompt = self._prompt(question)
            requests.append(_Request(prompt, self._params(question, 1, 0.0, None)))
            if num_replies > 1:
                sampled = self._params(question, num_replies - 1, temperature, _spread(seed))
                requests.append(_Request(prompt, sampled))
        outcomes = self._generated(requests) if requests else []
        seconds = (time.perf_counter() - began) / max(len(asked), 1)
        refused = None
        each = len(requests) // max(len(asked), 1)
        rows = {}
        for number, key in enumerate(asked):
            try:
                row = self._replies(outcomes[number * each : (number + 1) * each], seconds)
            except RefusedError as error:
                refused = refused or error
                continue
            rows[key] = row
            self._answered.put(key, row)
            self._usage = sum((one.usage for one in row if one.usage is not None), self._usage)
        if refused is not None:
            raise refused
        return rows

    def _prompt(self, question: Question) -> dict[str, Any]:
        prompt: dict[str, Any] = {"prompt": prompt_text(self.checkpoint.processor, question)}
        if question.pictures:
            prompt["multi_modal_data"] = {"image": [PillowImage.fromarray(one.pixels) for one in question.pictures]}
            prompt["multi_modal_uuids"] = {"image": [one.key for one in question.pictures]}
        return prompt

    def _params(self, question: Question, count: int, temperature: float, seed: int | None) -> Any:
        from vllm import SamplingParams

        held = None
        if self._structured and question.schema is not None:
            from vllm.sampling_params import StructuredOutputsParams

            held = StructuredOutputsParams(json=dict(question.schema))
        # A checkpoint's default top-k, top-p and penalties are left out, as they would bend digits.
        return SamplingParams(
            n=count,
            temperature=temperature,
            seed=seed,
            max_tokens=self._max_new_tokens,
            logprobs=0,
            detokenize=False,
            structured_outputs=held,
        )

    def _generated(self, requests: Sequence[_Request]) -> list[_Outcome]:
        """What becomes of each. One that the engine does not take is found by halves; the others stay together."""
        from vllm.exceptions import VLLMClientError, VLLMServerError

        prompts, params = [one.prompt for one in requests], [one.params for one in requests]
        try:
            return list(self.engine.generate(prompts, params, use_tqdm=False))
        except VLLMServerError as error:
            raise SegAgentError(f"vLLM's engine has failed, what is done stays: {_short(error)}") from error
        except (VLLMClientError, ValueError) as error:
            if len(requests) == 1:
                return [RefusedError(f"vLLM does not take the question: {_short(error)}")]
        half = len(requests) // 2
        return [*self._generated(requests[:half]), *self._generated(requests[half:])]

    def _replies(self, outcomes: Sequence[_Outcome], seconds: float) -> list[Reply]:
        """The replies to one question; the first bears what all cost. Raises ``RefusedError`` where there are none."""
        row: list[Reply] = []
        for outcome in outcomes:
            if isinstance(outcome, RefusedError):
                raise outcome
            for written in outcome.outputs:
                if written.finish_reason not in ("stop", "length"):
                    raise RefusedError(f"vLLM gave up on the question: {written.finish_reason}")
                cost = Usage(replies=1, completion_tokens=len(written.token_ids))
                if not row:
                    cost += Usage(
                        calls=1,
                        prompt_tokens=len(outcome.prompt_token_ids),
                        cached_tokens=outcome.num_cached_tokens or 0,
                        seconds=seconds,
                    )
                row.append(self._reply(written, cost))
        return row

    def _reply(self, written: Any, cost: Usage) -> Reply:
        ids = tuple(written.token_ids)
        steps = zip(written.logprobs, ids, strict=True)
        # At temperature 1, before anything was done to them: vLLM's "raw_logprobs".
        tokens = ReplyTokens(tuple(min(float(step[token].logprob), 0.0) for step, token in steps), ids)
        cut = written.finish_reason == "length"
        # Special tokens are kept, as some families write <box> and <think> with them; the one that ends it is not.
        text = self.checkpoint.tokenizer.decode(list(ids if cut else ids[:-1]), skip_special_tokens=False)
        return Reply(text, tokens.log_prob, cut, cost, tokens=tokens if self._keep_tokens else None)


def _spread(seed: int) -> int:
    """A seed whose successors, which vLLM gives a request's further samples, are no other question's."""
    return int(np.random.SeedSequence(abs(seed)).generate_state(1, np.uint64)[0] >> np.uint64(2))


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
