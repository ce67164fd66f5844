"""A chat model behind an OpenAI-compatible server: vLLM, SGLang, transformers serve, llama.cpp, Ollama, hosted ones."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from segagent.policies.chat import ChatFormat, Question, Reply, Usage, format_from_dict, recorded_format
from segagent.policies.openai.answers import STRUCTURED
from segagent.policies.openai.budget import Budget, Tally
from segagent.policies.openai.cache import ReplyCache, cache_key
from segagent.policies.openai.encoding import EncodedPictures, PictureEncoding, UrlMarks
from segagent.policies.openai.errors import BudgetError, PolicyServerError, QuestionRefusedError
from segagent.policies.openai.transport import Patience, Transport, UnsupportedParameterError, is_loopback

_DISPENSABLE = STRUCTURED | {"n", "seed", "temperature", "logprobs", "max_tokens", "max_completion_tokens"}
"""Parameters that a request can do without, or say by another name."""
_OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_MOST_REFUSED = 8
"""So many questions may be refused before any is answered; then it is not the questions' fault."""


@dataclass(frozen=True, slots=True)
class ServedModelConfig:
    """Settings of :class:`ServedModel`."""

    max_tokens: int = 1024
    """Of a reply."""
    concurrency: int = 64
    """Calls under way at once."""
    completion_tokens: bool = False
    """Send ``max_tokens`` by its newer name, ``max_completion_tokens``."""
    reasoning_effort: str = ""
    """Sent as it is where it is not empty."""
    wide_seeds: bool = False
    """Send seeds of 63 bits, which some servers refuse, instead of 31."""
    structured: Literal["", "schema", "guided"] = ""
    """Hold replies to the question's JSON schema: by ``response_format``, or by vLLM's own two parameters for it."""
    log_probs: bool = False
    """Ask for the probabilities of tokens."""
    keep_tokens: bool = False
    """Give replies with what the server tells of their tokens; it must be asked for their probabilities."""
    encoding: PictureEncoding = field(default_factory=PictureEncoding)
    """How pictures are sent."""
    patience: Patience = field(default_factory=Patience)
    """How long is waited, and how often tried again."""
    budget: Budget = field(default_factory=Budget)
    """What all calls together may cost."""


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
        self._turns = threading.BoundedSemaphore(config.concurrency)
        self._answered = False
        self._num_refused = 0
        # Whoever forgets to close leaves no open connection behind.
        self._forgotten = weakref.finalize(self, _close, self._transport, cache)

    @property
    def usage(self) -> Usage:
        """See :class:`segagent.policies.chat.ChatModel`."""
        return self._tally.usage

    @property
    def concurrency(self) -> int:
        """How many questions may be under way at once; it may be asked by several threads."""
        return self._config.concurrency

    def send_wide_seeds(self) -> None:
        """Send seeds of 63 bits from now on; a policy of ours behind a server takes them."""
        self._config = replace(self._config, wide_seeds=True)

    def told_format(self) -> ChatFormat | None:
        """The chat format that the server says its model was made for; None where it says nothing.

        It is told in the entry of the model in /v1/models, as ``segagent_format``; an entry whose ``root`` is a folder
        of this machine tells it by the file in there. Raises ``InputError`` for one that is damaged.
        """
        listed = self._transport.models()
        own = [one for one in listed if one.get("id") == self._model]
        for one in own or (listed if len(listed) == 1 else []):
            where = f"{self._transport.url}/models"
            if one.get("segagent_format") is not None:
                return format_from_dict(one["segagent_format"], where)
            root = one.get("root")
            recorded = recorded_format(root) if isinstance(root, str) and is_loopback(self._transport.url) else None
            if recorded is not None:
                return recorded
        return None

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
        with self._lock:
            if self._workers is None:
                self._workers = ThreadPoolExecutor(self._config.concurrency, "segagent-chat")
        futures = [self._workers.submit(self._answer, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException as error:
            for future in futures:
                future.cancel()
            if isinstance(error, BudgetError):
                # Calls under way are paid for; whoever goes on at once finds their replies in the cache.
                wait(futures)
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
                reply = choices[index - 1] if index <= len(choices) else None
                if reply is not None:
                    replies[key] = self._keep(key, reply, tally)
        for index, key in zip(job.indices, job.keys, strict=True):
            if key not in replies:
                seed = job.seed if index <= 1 else _other_seed(job.seed, index)
                (reply,) = self._ask(job.question, job.temperature, seed, 1, tally)
                assert reply is not None
                if index == 0 and "temperature" in self._refused:
                    tally.add(not_greedy=1)
                    reply = replace(reply, greedy=False)
                replies[key] = self._keep(key, reply, tally)
        return replies, tally.usage

    def _keep(self, key: str, reply: Reply, tally: Tally) -> Reply:
        tally.add(replies=1, not_structured=int(bool(self._config.structured and STRUCTURED & self._refused)))
        if not self._config.keep_tokens:
            reply = replace(reply, tokens=None)
        if self._cache is not None:
            self._cache.put(key, reply)
        return reply

    def _ask(self, question: Question, temperature: float, seed: int, count: int, tally: Tally) -> list[Reply | None]:
        """One request, its parameters cut down as far as the server insists; None for a reply that failed.

        What the server had to be asked without, is left out from then on once that has brought a reply.
        """
        refused = self._refused
        while True:
            body = self._body(question, temperature, seed, count, refused)
            urls = [self._pictures.url(picture) for picture in question.pictures]
            try:
                with self._turns:
                    replies = self._transport.complete(self._marks.encoded(body, urls), frozenset(body), tally)
            except UnsupportedParameterError as error:
                # A limit refused by both of its names is refused for its value.
                known = {n for n in error.names & _DISPENSABLE if n in body and _OTHER_NAME.get(n) not in refused}
                if known:
                    refused |= known
                    continue
                self._count_refused(failure := QuestionRefusedError(str(error)))
                raise failure from None
            except QuestionRefusedError as error:
                if STRUCTURED & set(body) and not error.filtered:
                    # Servers say in many ways that they know no schemas; without one it is seen whether that was it.
                    refused |= STRUCTURED
                    continue
                self._count_refused(error)
                raise
            with self._lock:
                self._answered = True
                self._refused |= refused
                self._one_at_a_time |= "n" in refused
            return replies[: 1 if "n" in refused else count]

    def _count_refused(self, error: QuestionRefusedError) -> None:
        """Raise ``PolicyServerError`` where the server has refused many questions and answered none."""
        with self._lock:
            self._num_refused += not error.filtered
            hopeless = not self._answered and self._num_refused > _MOST_REFUSED
        if hopeless:
            raise PolicyServerError(f"all of the first {self._num_refused} questions were refused, last: {error}")

    def _body(
        self, question: Question, temperature: float, seed: int, count: int, refused: frozenset[str]
    ) -> dict[str, Any]:
        """The request without ``refused`` parameters, its pictures' URLs by their marks."""
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": self._marks.mark(index)}}
            for index in range(len(question.pictures))
        ]
        content.append({"type": "text", "text": question.prompt})
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "temperature": temperature,
            "max_completion_tokens" if self._config.completion_tokens else "max_tokens": self._config.max_tokens,
        }
        if self._config.reasoning_effort:
            body["reasoning_effort"] = self._config.reasoning_effort
        if temperature > 0:
            body["seed"] = seed % 2 ** (63 if self._config.wide_seeds else 31)
        if count > 1:
            body["n"] = count
        if self._config.log_probs:
            body["logprobs"] = True
        if self._config.structured and question.schema is not None:
            body |= _structured(self._config.structured, question.schema)
        for name in refused & set(body):
            value = body.pop(name)
            if name in _OTHER_NAME and _OTHER_NAME[name] not in refused:
                body[_OTHER_NAME[name]] = value
        return body

    def _key(self, question: Question, index: int, temperature: float, seed: int) -> str:
        parts: dict[str, object] = {
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
        if self._config.keep_tokens:
            parts["keep_tokens"] = True  # Replies that were stored without are of no use then.
        if self._config.reasoning_effort:
            parts["reasoning_effort"] = self._config.reasoning_effort
        if self._config.structured and question.schema is not None:
            parts["structured"] = [self._config.structured, question.schema]
        return cache_key(parts)


def _structured(how: str, schema: Mapping[str, object]) -> dict[str, Any]:
    """The parameters that hold a reply to ``schema``. vLLM reads the second from 0.12 on, before that the third."""
    if how == "schema":
        held = {"name": "action", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": held}}
    return {"structured_outputs": {"json": schema}, "guided_json": schema}


def _close(transport: Transport, cache: ReplyCache | None) -> None:
    transport.close()
    if cache is not None:
        cache.close()


def _other_seed(seed: int, index: int) -> int:
    """A seed for the ``index``-th of several single requests, unlike those of neighbouring seeds."""
    return int(np.random.SeedSequence([abs(seed), index]).generate_state(1, np.uint64)[0] >> np.uint64(1))
