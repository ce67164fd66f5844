"""Episodes simulated by several processes, for a device that answers faster than one process can ask."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from segagent.core import SegAgentError
from segagent.learning.tool.config import ToolTraining
from segagent.learning.tool.episodes import Batch, EpisodePool
from segagent.learning.tool.sources import training_source


class EpisodeWorkers:
    """As many pools as ``config.workers``, each in a process of its own, as if they were one."""

    def __init__(self, config: ToolTraining, side: int, seed: Sequence[int]) -> None:
        self._size = config.batch
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(config.workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_simulate, args=(theirs, config, side, (*seed, number)), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> EpisodeWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            process.terminate()

    def advance(self) -> Batch:
        """As of a pool. Raises ``SegAgentError`` where a process has died."""
        parts: list[Batch] = [self._received(number) for number in range(len(self._pipes))]
        return Batch(
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.fine for part in parts]),
            np.concatenate([part.evidence for part in parts]),
            np.concatenate([part.targets for part in parts]),
            [number * self._size + index for number, part in enumerate(parts) for index in part.fresh],
        )

    def answer(self, probabilities: npt.NDArray[np.float32]) -> list[tuple[int, float]]:
        """As of a pool; the scores are taken here, so that the processes can go on at once."""
        for number, pipe in enumerate(self._pipes):
            with contextlib.suppress(ConnectionError):  # A dead one is told of where its answer is missing.
                pipe.send(probabilities[number * self._size : (number + 1) * self._size])
        return [score for number in range(len(self._pipes)) for score in self._received(number)]

    def _received(self, number: int) -> Any:
        try:
            return self._pipes[number].recv()
        except (EOFError, ConnectionError) as error:
            raise SegAgentError(
                f"process {number + 1} of {len(self._pipes)} that simulates episodes has died: it ran out of memory, "
                "or its own message is above"
            ) from error


def _simulate(pipe: Connection, config: ToolTraining, side: int, seed: Sequence[int]) -> None:
    """Ask and be answered until the other end closes."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    pool = EpisodePool(training_source(config), rng, config.batch, side, config.empty_share)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            pipe.send(pool.advance())
            pipe.send(pool.answer(pipe.recv()))
