"""A chat model behind an OpenAI-compatible server: vLLM, SGLang, transformers serve, llama.cpp, Ollama, hosted ones."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from segagent.policies.chat import Question, Reply, Usage
from segagent.policies.openai.budget import Budget, Tally
from segagent.policies.openai.cache import ReplyCache, cache_key
from segagent.policies.openai.encoding import EncodedPictures, PictureEncoding, UrlMarks
from segagent.policies.openai.transport import Patience, Transport, UnsupportedParameterError, is_loopback


@dataclass(frozen=True, slots=True)
class ServedModelConfig:
    """Settings of :class:`ServedModel`. ``max_tokens`` per reply; ``concurrency``: calls under way at once.

    ``wide_seeds``: send seeds of 63 bits, which some servers refuse, instead of 31.
    """

    max_tokens: int = 1024
    concurrency: int = 8
    wide_seeds: bool = False
    log_probs: bool = False
    encoding: PictureEncoding = field(default_factory=PictureEncoding)
    patience: Patience = field(default_factory=Patience)
    budget: Budget = field(default_factory=Budget)


class _Job(NamedTuple):
    """One question with the candidates wanted of it: index 0 is the greedy reply, others are sampled."""

    question: Question
    indices: tuple[int, ...]
    keys: tuple[str, ...]
    temperature: float
    seed: int


class ServedModel:
    """See the module. ``cache`` None keeps replies in memory only for the length of one call."""

    def __init__(
        self, model: str, url: str, config: ServedModelConfig = ServedModelConfig(), cache: ReplyCache | None = None
    ) -> None:
        self._model = model
        self._config = config
        self._cache = cache
        self._tally = Tally(config.budget)
        self._transport = Transport(url, self._tally, config.patience, connections=config.concurrency)
        encoding = config.encoding
        if encoding.compress is None:
            encoding = replace(encoding, compress=not is_loopback(url))
        self._pictures = EncodedPictures(encoding)
        self._marks = UrlMarks()
        self._workers: ThreadPoolExecutor | None = None
        self._refused: frozenset[str] = frozenset()
        self._one_at_a_time = False
        self._lock = threading.Lock()
        # Whoever forgets to close leaves no open connection behind.
        self._forgotten = weakref.finalize(self, _close, self._transport, cache)

    @property
    def usage(self) -> Usage:
        """See :class:`segagent.policies.chat.ChatModel`."""
        return self._tally.usage

    def close(self) -> None:
        """End all connections and workers."""
        self._transport.stop()
        if self._workers is not None:
            self._workers.shutdown(cancel_futures=True)
        self._forgotten()

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        """See :class:`segagent.policies.chat.ChatModel`. What is in the cache, or asked twice here, is asked once."""
        jobs: list[_Job] = []
        wanted: list[list[str]] = []
        known: dict[str, Reply] = {}
        planned: set[str] = set()
        fresh = np.random.default_rng()
        for number, question in enumerate(questions):
            seed = int(fresh.integers(2**63)) if seeds is None else seeds[number]
            # Unseeded samples are wanted anew each time: their keys hold a random seed.
            keys = [self._key(question, index, temperature, seed) for index in range(num_replies)]
            wanted.append(keys)
            for key in keys:
                if key not in known and self._cache is not None and (cached := self._cache.get(key)) is not None:
                    known[key] = cached
            for indices in ((0,), tuple(range(1, num_replies))):
                missing = tuple(i for i in indices if keys[i] not in known and keys[i] not in planned)
                if missing:
                    planned.update(keys[i] for i in missing)
                    jobs.append(
                        _Job(
                            question, missing, tuple(keys[i] for i in missing), temperature if missing[0] else 0.0, seed
                        )
                    )
        self._tally.add(cached=sum(key in known for keys in wanted for key in keys))
        costs = dict.fromkeys(known, Usage(cached=1))
        for job, (replies, spent) in zip(jobs, self._run(jobs), strict=True):
            known.update(replies)
            costs[job.keys[0]] = spent
        paid: set[str] = set()
        rows = []
        for keys in wanted:
            rows.append([replace(known[key], usage=Usage() if key in paid else costs.get(key)) for key in keys])
            # Asked a second time in this call, a reply that had to be fetched costs nothing more.
            paid.update(key for key in keys if key in planned)
        return rows

    def _run(self, jobs: list[_Job]) -> list[tuple[dict[str, Reply], Usage]]:
        if len(jobs) <= 1 or self._config.concurrency == 1:
            return [self._answer(job) for job in jobs]
        if self._workers is None:
            self._workers = ThreadPoolExecutor(self._config.concurrency, "segagent-chat")
        futures = [self._workers.submit(self._answer, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def _answer(self, job: _Job) -> tuple[dict[str, Reply], Usage]:
        """The replies to one job by key, and what they cost. Each is in the cache before this returns."""
        replies: dict[str, Reply] = {}
        tally = self._tally.part()
        if len(job.indices) > 1 and not self._one_at_a_time:
            # A server that honours n gives the same candidates for the same seed whichever of them are missing here.
            count = job.indices[-1]
            choices = self._ask(job.question, job.temperature, job.seed, count, tally)
            if len(choices) < count:
                self._one_at_a_time = True
            for index, key in zip(job.indices, job.keys, strict=True):
                if index <= len(choices):
                    replies[key] = self._keep(key, choices[index - 1], tally)
        for index, key in zip(job.indices, job.keys, strict=True):
            if key not in replies:
                seed = job.seed if index <= 1 else _other_seed(job.seed, index)
                replies[key] = self._keep(key, self._ask(job.question, job.temperature, seed, 1, tally)[0], tally)
        return replies, tally.usage

    def _keep(self, key: str, reply: Reply, tally: Tally) -> Reply:
        tally.add(replies=1)
        if self._cache is not None:
            self._cache.put(key, reply)
        return reply

    def _ask(self, question: Question, temperature: float, seed: int, count: int, tally: Tally) -> list[Reply]:
        """One request, its parameters cut down as far as the server insists. At least one reply."""
        while True:
            refused = self._refused
            try:
                body = self._body(question, temperature, seed, count)
                urls = [self._pictures.url(picture) for picture in question.pictures]
                answer = self._transport.complete(self._marks.encoded(body, urls), tally)
            except UnsupportedParameterError as error:
                if error.name in refused:
                    raise
                with self._lock:
                    self._refused |= {error.name}
                    self._one_at_a_time |= error.name == "n"
                continue
            usage = answer.get("usage")
            if isinstance(usage, dict):
                for name in ("prompt_tokens", "completion_tokens"):
                    if isinstance(usage.get(name), int):
                        tally.add(**{name: usage[name]})
            return [_reply_of(choice) for choice in answer["choices"][:count]]

    def _body(self, question: Question, temperature: float, seed: int, count: int) -> dict[str, Any]:
        """The request, its pictures' URLs by their marks."""
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": self._marks.mark(index)}}
            for index in range(len(question.pictures))
        ]
        content.append({"type": "text", "text": question.prompt})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "temperature": temperature,
            "max_tokens": self._config.max_tokens,
        }
        if temperature > 0:
            body["seed"] = seed % 2 ** (63 if self._config.wide_seeds else 31)
        if count > 1:
            body["n"] = count
        if self._config.log_probs:
            body["logprobs"] = True
        for name in self._refused & set(body):
            value = body.pop(name)
            if name == "max_tokens":
                body["max_completion_tokens"] = value
        return body

    def _key(self, question: Question, index: int, temperature: float, seed: int) -> str:
        return cache_key(
            {
                "version": 1,
                "url": self._transport.url,
                "model": self._model,
                "prompt": question.prompt,
                "pictures": [[picture.key, picture.lossless] for picture in question.pictures],
                "encoding": [self._config.encoding.kind, self._config.encoding.quality],
                "max_tokens": self._config.max_tokens,
                "temperature": temperature if index else 0.0,
                "seed": seed if index else None,
                "candidate": index,
            }
        )


def _close(transport: Transport, cache: ReplyCache | None) -> None:
    transport.close()
    if cache is not None:
        cache.close()


def _other_seed(seed: int, index: int) -> int:
    """A seed for the ``index``-th of several single requests, unlike those of neighbouring seeds."""
    return int(np.random.SeedSequence([abs(seed), index]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _reply_of(choice: object) -> Reply:
    """A reply from one choice of a completion; whatever is missing there is empty here."""
    fields: Mapping[str, Any] = choice if isinstance(choice, dict) else {}
    message = fields.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    text = content if isinstance(content, str) else ""
    return Reply(text, _log_prob(fields.get("logprobs")), fields.get("finish_reason") == "length")


def _log_prob(data: object) -> float | None:
    tokens = data.get("content") if isinstance(data, dict) else None
    if not isinstance(tokens, list) or not tokens:
        return None
    values = [token.get("logprob") if isinstance(token, dict) else None for token in tokens]
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    return min(0.0, float(sum(value for value in values if value is not None)))
