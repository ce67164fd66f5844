"""SAM, SAM-HQ, SAM 2 and SAM 3's tracker behind the tool interface.

The conversation with the model is the one its authors use: all clicks and the box of the episode, the low-resolution
logits of the previous answer as mask input, several masks with the best by the model's own score for a first single
click, and one mask from then on. All that an episode needs lies in the values handed out (embedding, memory); the tool
object holds the model and a memo of embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segagent.core import Image, Segmentation, SegmentRequest, SpecError, ToolError, frozen_mask
from segagent.core.hub import located
from segagent.core.recent import Recent
from segagent.tools.checkpoint_spec import choose_device, parse_checkpoint_spec
from segagent.tools.sam.checkpoint import load_model, make_preprocess
from segagent.tools.sam.families import FAMILIES, SamFamily
from segagent.tools.sam.frame import Frame
from segagent.tools.sam.prompts import PromptShape, box_tensor, check_inside, point_tensors, prompt_shape

MAX_PROMPTS = 32
"""Prompts decoded in one call; more are split, so that memory stays bounded whatever a search asks at once."""

MAX_PROMPTS_CPU = 4
"""The same on a CPU, where a larger batch leaves the caches: eight at once take longer than two times four."""


@dataclass(frozen=True, eq=False)
class SamEmbedding:
    """A picture as the encoder sees it. A value: the tensors were made in inference mode and are never written to.

    ``features``: float (1, channels, h, w) each, the coarsest last; SAM and SAM-HQ have one, SAM 2 and SAM 3 three.
    ``early``: SAM-HQ's features of the first global layer, (1, h, w, channels); None elsewhere.
    """

    image_key: str
    frame: Frame
    features: tuple[Tensor, ...]
    early: Tensor | None

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors."""
        tensors = (*self.features, self.early) if self.early is not None else self.features
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass(frozen=True, eq=False)
class SamMemory:
    """The low-resolution logits of the answer, float32 (low, low), read-only: the next request's mask input."""

    logits: npt.NDArray[np.float32]


class SamTool:
    """A model of the SAM family.

    ``source``: directory or hub name of a checkpoint in transformers' format. ``device``: auto, cpu, cuda, cuda:N.
    ``precision``: ``half`` runs the encoder in half precision (the default on a GPU), ``full`` everything in float32;
    prompt encoder and mask decoder always run in float32, for coordinates do not survive half precision.
    ``cache_bytes``: bound on the bytes of embeddings that :meth:`embed` keeps for pictures that come again.
    """

    accepts_box = True

    def __init__(
        self,
        family: SamFamily,
        source: str,
        *,
        name: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        cache_bytes: int = 512 * 1024**2,
    ) -> None:
        if precision not in ("auto", "half", "full"):
            raise SpecError(f"precision {precision!r} is not known; write auto, half or full")
        self.name = name if name is not None else f"{family.kind}:{source}"
        self._family = family
        self._device = choose_device(device)
        self._batch = MAX_PROMPTS_CPU if self._device.type == "cpu" else MAX_PROMPTS
        self._half = precision == "half" or (precision == "auto" and self._device.type == "cuda")
        self._model: Any = load_model(family, source).to(self._device)
        self._side = int(self._model.config.prompt_encoder_config.image_size)
        self._low_side = 4 * (self._side // int(self._model.config.prompt_encoder_config.patch_size))
        self._preprocess, self.preprocessed_by = make_preprocess(family, source, self._side)
        self._cache: Recent[str, SamEmbedding] = Recent(cache_bytes, attrgetter("num_bytes"))

    @property
    def model(self) -> Any:
        """The transformers model, for tests and measurements."""
        return self._model

    def embed(self, images: Sequence[Image]) -> list[object]:
        """One :class:`SamEmbedding` per image; a picture seen before and still remembered is not encoded again.

        Pictures are encoded one by one: a batch gains little at these sizes and would change last bits.
        """
        found: dict[str, SamEmbedding] = {}
        for image in images:
            if image.key not in found:
                embedding = self._cache.get(image.key)
                if embedding is None:
                    embedding = self._encode(image)
                    self._cache.put(image.key, embedding)
                found[image.key] = embedding
        return [found[image.key] for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`.

        Requests about one image whose prompts are alike are decoded together. A mask that comes without memory (a start
        mask) is handed to the model as logits of plus and minus 10. A request without prompts is answered with its own
        mask and memory.
        """
        answers: list[Segmentation | None] = [None] * len(requests)
        groups: dict[tuple[str, PromptShape], list[int]] = {}
        embeddings: dict[str, SamEmbedding] = {}
        for index, request in enumerate(requests):
            embedding = self._embedding_of(request)
            check_inside(request, embedding.frame, self.name)
            if request.prompts:
                embeddings[embedding.image_key] = embedding
                groups.setdefault((embedding.image_key, prompt_shape(request)), []).append(index)
            else:
                answers[index] = Segmentation(frozen_mask(request.mask), request.memory)
        for (key, shape), members in groups.items():
            for first in range(0, len(members), self._batch):
                chunk = members[first : first + self._batch]
                decoded = self._decode(embeddings[key], shape, [requests[index] for index in chunk])
                for index, answer in zip(chunk, decoded, strict=True):
                    answers[index] = answer
        return [answer for answer in answers if answer is not None]

    def _embedding_of(self, request: SegmentRequest) -> SamEmbedding:
        embedding = request.embedding
        if not isinstance(embedding, SamEmbedding):
            raise ToolError(f"expected an embedding made by the tool {self.name!r}, got {type(embedding).__name__}")
        memory = request.memory
        if memory is not None and not isinstance(memory, SamMemory):
            raise ToolError(f"expected a memory made by the tool {self.name!r}, got {type(memory).__name__}")
        if isinstance(memory, SamMemory) and memory.logits.shape != (self._low_side, self._low_side):
            raise ToolError(f"memory of another model: logits {memory.logits.shape}, expected side {self._low_side}")
        return embedding

    @torch.inference_mode()
    def _encode(self, image: Image) -> SamEmbedding:
        values = self._preprocess(image).to(self._device)
        with torch.autocast(self._device.type, dtype=self._family.half, enabled=self._half):
            encoded = self._model.get_image_embeddings(values)
        early: Tensor | None = None
        features: tuple[Tensor, ...]
        if self._family.kind == "samhq":
            # Of the intermediate features the decoder reads the first global layer's only.
            features, early = (encoded[0],), encoded[1][0].contiguous()
        else:
            features = tuple(encoded) if isinstance(encoded, list | tuple) else (encoded,)
        frame = Frame.of(image.height, image.width, self._side, self._family)
        return SamEmbedding(image.key, frame, tuple(feature.contiguous() for feature in features), early)

    @torch.inference_mode()
    def _decode(
        self, embedding: SamEmbedding, shape: PromptShape, requests: Sequence[SegmentRequest]
    ) -> list[Segmentation]:
        low, scores = self._logits(embedding, shape, requests)
        best = scores.argmax(dim=1)
        chosen = low[torch.arange(len(requests), device=low.device), best]
        masks = embedding.frame.masks(chosen)
        if self._family.max_logit is not None:
            chosen = chosen.clamp(-self._family.max_logit, self._family.max_logit)
        answers = []
        for mask, logits in zip(masks, chosen.cpu().numpy(), strict=True):
            # Each its own copy, so that a branch that lives on does not keep the whole batch alive.
            kept = np.array(logits, dtype=np.float32)
            kept.setflags(write=False)
            answers.append(Segmentation(frozen_mask(mask), SamMemory(kept)))
        return answers

    def _logits(
        self, embedding: SamEmbedding, shape: PromptShape, requests: Sequence[SegmentRequest]
    ) -> tuple[Tensor, Tensor]:
        """Low-resolution logits (n, masks, low, low) and the model's own scores (n, masks) of prompts alike.

        Prompts that share their mask input lie along the decoder's prompt axis, where what depends on the image alone
        is worked out once. The decoder takes one mask input per image, so prompts with different ones lie along its
        image axis.
        """
        sources = [request.memory if request.memory is not None else request.mask for request in requests]
        shared = not shape.has_mask or all(source is sources[0] for source in sources)
        num_images, num_prompts = (1, len(requests)) if shared else (len(requests), 1)
        arguments: dict[str, Any] = {}
        if shape.num_points:
            points, labels = point_tensors(requests, embedding.frame)
            arguments["input_points"] = points.view(num_images, num_prompts, -1, 2).to(self._device)
            arguments["input_labels"] = labels.view(num_images, num_prompts, -1).to(self._device)
        if shape.has_box:
            boxes = box_tensor(requests, embedding.frame)
            arguments["input_boxes"] = boxes.view(num_images, num_prompts, 4).to(self._device)
        if shape.has_mask:
            inputs = [self._mask_input(request, embedding.frame) for request in requests[:num_images]]
            arguments["input_masks"] = torch.stack(inputs)[:, None].to(self._device)
        features = [feature.float().expand(num_images, -1, -1, -1) for feature in embedding.features]
        arguments["image_embeddings"] = features[0] if len(features) == 1 else features
        if embedding.early is not None:
            arguments["intermediate_embeddings"] = [embedding.early.float().expand(num_images, -1, -1, -1)]
        output = self._model(multimask_output=shape.multimask, **arguments)
        low: Tensor = output.pred_masks.flatten(0, 1)
        scores: Tensor = output.iou_scores.flatten(0, 1)
        return low, scores

    def _mask_input(self, request: SegmentRequest, frame: Frame) -> Tensor:
        memory = request.memory
        if isinstance(memory, SamMemory):
            return torch.from_numpy(np.array(memory.logits))
        return frame.low_logits(request.mask, self._low_side)


_OPTIONS = {"device": "auto|cpu|cuda|cuda:N", "precision": "auto|half|full", "revision": "COMMIT"}


def make_sam(kind: str, rest: str) -> SamTool:
    """The tool ``kind:rest``, for example ``sam2:/models/sam2.1-hiera-large?device=cuda:1``. Raises ``SpecError``."""
    parsed = parse_checkpoint_spec(kind, rest, _OPTIONS)
    revision = parsed.options.get("revision")
    return SamTool(
        FAMILIES[kind],
        parsed.source if revision is None else located(parsed.source, revision),
        name=parsed.spec,
        device=parsed.options.get("device", "auto"),
        precision=parsed.options.get("precision", "auto"),
    )
