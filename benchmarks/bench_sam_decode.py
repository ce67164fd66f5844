"""SAM: eight candidates decoded together against eight separate decodes, on one thread.

Separate decodes are measured twice: by the tool itself, and the way published loops ask (``plain``): the model's own
forward pass for each candidate, three masks brought to the picture's size by torch, the best one taken.

    OMP_NUM_THREADS=1 python benchmarks/bench_sam_decode.py [--families sam,sam2] [--decoder tiny|real] [--json FILE]

The models have random weights, an encoder of a few small layers, and published sizes of input (1024, SAM 3's 1008),
embedding (64 x 64) and low-resolution masks (256 x 256); masks are brought to a 640 x 480 picture. ``tiny``: a decoder
32 channels wide; ``real``: the published decoder's 256 channels. Four cases: candidates for a first click; candidates
for a later click, which share the state's mask input; objects of one picture, each with a mask input of its own;
candidates for a box.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "tools" / "sam"))

import tiny_sam

from segagent.core import Box, Click, Image, Prompt, SegmentRequest, empty_mask
from segagent.cpu import cpu_words
from segagent.tools.sam import SamEmbedding, SamMemory, SamTool, make_sam
from segagent.tools.sam.prompts import box_tensor, point_tensors

HEIGHT, WIDTH, K = 480, 640, 8
SIDES = {"sam": 1024, "samhq": 1024, "sam2": 1024, "sam3": 1008}
DECODERS = {"tiny": 32, "real": 256}


def make_requests(tool: SamTool, embedding: object) -> dict[str, list[SegmentRequest]]:
    """Eight requests per case."""
    rng = np.random.default_rng(0)
    nothing = empty_mask(HEIGHT, WIDTH)
    clicks = [Click(int(x), int(y), bool(p)) for x, y, p in rng.integers((WIDTH, HEIGHT, 2), size=(K, 3))]
    first = tool.segment([SegmentRequest(embedding, nothing, None, (Click(320, 240, True),))])[0]
    starts = [SegmentRequest(embedding, nothing, None, (c,)) for c in clicks]
    states = tool.segment(starts)
    boxes: list[Prompt] = [Box(10 * i, 8 * i, 300 + 40 * i, 200 + 30 * i) for i in range(K)]
    return {
        "first click": starts,
        "later click of one state": [
            SegmentRequest(embedding, first.mask, first.memory, (Click(320, 240, True), c)) for c in clicks
        ],
        "objects, own masks": [
            SegmentRequest(embedding, s.mask, s.memory, (*r.prompts, Click(5, 5, False)))
            for r, s in zip(starts, states, strict=True)
        ],
        "box": [SegmentRequest(embedding, nothing, None, (box,)) for box in boxes],
    }


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    """The fastest of several runs: what the work costs where nothing else disturbs it. CPU seconds of this process."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


@torch.inference_mode()
def plain(tool: SamTool, request: SegmentRequest) -> torch.Tensor:
    """The best of three masks of one request, bool (height, width), as predictors of the published kind make it."""
    embedding = request.embedding
    assert isinstance(embedding, SamEmbedding)
    frame, arguments = embedding.frame, {}
    if any(isinstance(prompt, Click) for prompt in request.prompts):
        points, labels = point_tensors([request], frame)
        arguments |= {"input_points": points[None], "input_labels": labels[None]}
    if any(isinstance(prompt, Box) for prompt in request.prompts):
        arguments["input_boxes"] = box_tensor([request], frame)[None]
    if isinstance(request.memory, SamMemory):
        arguments["input_masks"] = torch.from_numpy(np.array(request.memory.logits))[None, None]
    features = embedding.features
    arguments["image_embeddings"] = features[0] if len(features) == 1 else list(features)
    if embedding.early is not None:
        arguments["intermediate_embeddings"] = [embedding.early]
    output = tool.model(multimask_output=True, **arguments)
    low = output.pred_masks[0]
    if frame.keeps_aspect:
        low = interpolate(low, (frame.side, frame.side), mode="bilinear")
        low = low[..., : frame.resized_height, : frame.resized_width]
    masks = interpolate(low, (frame.height, frame.width), mode="bilinear")[0] > 0
    return masks[output.iou_scores.flatten().argmax()]


def compare(tool: SamTool, requests: list[SegmentRequest], repeats: int) -> dict[str, Any]:
    """CPU milliseconds of both ways for all requests, their ratio, and whether masks and logits are the same."""
    together = tool.segment(requests)
    apart = [tool.segment([request])[0] for request in requests]
    differing = sum(int((a.mask != b.mask).sum()) for a, b in zip(together, apart, strict=True))
    gap = 0.0
    for a, b in zip(together, apart, strict=True):
        assert isinstance(a.memory, SamMemory)
        assert isinstance(b.memory, SamMemory)
        gap = max(gap, float(np.abs(a.memory.logits - b.memory.logits).max()))
    batched = best_seconds(lambda: tool.segment(requests), repeats)
    single = best_seconds(lambda: [tool.segment([request]) for request in requests], repeats)
    published = best_seconds(lambda: [plain(tool, request) for request in requests], repeats)
    return {
        "plain_ms": round(1e3 * published, 1),
        "ratio_to_plain": round(batched / published, 3),
        "together_ms": round(1e3 * batched, 1),
        "apart_ms": round(1e3 * single, 1),
        "ratio": round(batched / single, 3),
        "differing_pixels": differing,
        "largest_logit_gap": gap,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default="sam,samhq,sam2,sam3")
    parser.add_argument("--decoder", choices=sorted(DECODERS), default="tiny")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(cpu_words())
    cv2.setNumThreads(1)
    pixels = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    results: dict[str, dict[str, Any]] = {}
    for kind in options.families.split(","):
        with tempfile.TemporaryDirectory() as folder:
            sizes = {"side": SIDES[kind], "hidden": DECODERS[options.decoder]}
            tool = make_sam(kind, f"{tiny_sam.save(kind, Path(folder), **sizes)}?device=cpu")
        embedding = tool.embed([Image.of(pixels)])[0]
        results[kind] = {}
        for case, requests in make_requests(tool, embedding).items():
            result = compare(tool, requests, options.repeats)
            results[kind][case] = result
            print(
                f"{kind:6} {case:26} together {result['together_ms']:8.1f} ms  apart {result['apart_ms']:8.1f} ms  "
                f"ratio {result['ratio']:.3f}  plain {result['plain_ms']:8.1f} ms  "
                f"ratio {result['ratio_to_plain']:.3f}  differing pixels {result['differing_pixels']}  "
                f"logit gap {result['largest_logit_gap']:.1e}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps({"decoder": options.decoder, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
