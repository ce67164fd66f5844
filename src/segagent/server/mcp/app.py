"""The MCP server: its tools around :class:`~segagent.server.mcp.episodes.Episodes`, over stdio or streamable HTTP."""

from __future__ import annotations

import inspect
import secrets
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio

from segagent.annotation.batch import (
    ObjectRecord,
    RunConfig,
    likely_error,
    open_run,
    run_job,
    summarise_run,
    unfinished,
)
from segagent.annotation.python_api import audit
from segagent.annotation.review.entries import entries_of, ranked
from segagent.core import BoolMask, Click, Image, InputError, MissingExtraError, Rle, SegAgentError, Undo, encode_rle
from segagent.core.recent import Recent
from segagent.core.versions import __version__
from segagent.imaging import draw_overlay, encode_png
from segagent.imaging.scaling import scaled_mask, scaled_pixels
from segagent.server.listening import LOOPBACK, listen
from segagent.server.mcp.episodes import Episodes, OpenEpisode
from segagent.server.mcp.inputs import Inputs

try:
    from mcp.server.mcpserver import Context, MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp_types import CallToolResult, ImageContent, TextContent, ToolAnnotations
    from pydantic import Field
except ImportError as error:
    raise MissingExtraError("the MCP server needs the package mcp: pip install 'segagent[mcp]'") from error

from segagent.server.mcp.answers import AuditAnswer, AuditedObject, ClickMade, MaskAnswer, MaskRle, ScoreAnswer

SHOWN_SIDE = 1024
"""Longer pictures are shown scaled down to this, in pixels: they go into a model's context."""

MOST_AUDITED = 200
"""Images of one audit."""

INSTRUCTIONS = """\
Segment objects in pictures by words and clicks. annotate begins an episode about one picture and one sentence; the \
answer shows the mask in green and tells how good it is thought to be (calibrated_iou) and what the policy doubts. \
Look at the picture. Where the mask is wrong, click on what is missing (positive) or on what is too much \
(positive=false), in pixels of the full picture; undo takes the last click back; refine lets the policy go on from the \
mask as it is. 'episode' names the one that is meant; left out, it is this session's latest one."""

PicturePath = Annotated[str, Field(description="A picture file below the server's root folder.")]
PictureData = Annotated[str, Field(description="The picture file itself in base64, instead of 'path'.")]
Words = Annotated[str, Field(description="What to segment, for example 'the striped mug left of the book'.")]
EpisodeName = Annotated[str, Field(description="The episode; left out: this session's latest one.")]
MaskPath = Annotated[
    str, Field(description="A mask file below the root folder, of the picture's size; bright is object.")
]
MaskGiven = Annotated[MaskRle | None, Field(description="The mask as COCO RLE, instead of 'mask_path'.")]


class Tools:
    """The server's tools. Each raises the SDK's ``ToolError`` with one clear line for input that cannot be used.

    Args:
        episodes: and the models.
        inputs: what clients may hand in.
    """

    def __init__(self, episodes: Episodes, inputs: Inputs) -> None:
        self.episodes = episodes
        self.inputs = inputs
        self._latest: Recent[str, str] = Recent(1000)

    def annotate(
        self, ctx: Context, text: Words, path: PicturePath = "", data: PictureData = ""
    ) -> Annotated[CallToolResult, MaskAnswer]:
        """Segment what a sentence says in a picture. Begins an episode.

        The policy clicks by itself; the answer shows the mask in green, with predicted and calibrated IoU and doubts.
        """
        with _telling():
            image, name = self.inputs.picture(path, data)
            return self._answer(ctx, self.episodes.annotate(image, name, text))

    def click(
        self,
        ctx: Context,
        x: Annotated[int, Field(description="Column in the full picture, from 0.")],
        y: Annotated[int, Field(description="Row in the full picture, from 0.")],
        positive: Annotated[bool, Field(description="True: on the object. False: on background to take away.")] = True,
        episode: EpisodeName = "",
        path: PicturePath = "",
        data: PictureData = "",
        text: Words = "",
    ) -> Annotated[CallToolResult, MaskAnswer]:
        """Click in an episode to mend its mask; with a picture and 'text' begin one from an empty mask."""
        with _telling():
            key = self._meant(ctx, episode, path, data, text)
            made = Click(x, y, positive)
            if key is not None:
                return self._answer(ctx, self.episodes.act(key, made))
            image, name = self.inputs.picture(path, data)
            return self._answer(ctx, self.episodes.begin(image, name, text, made))

    def undo(self, ctx: Context, episode: EpisodeName = "") -> Annotated[CallToolResult, MaskAnswer]:
        """Take the last click of an episode back, the policy's own ones included."""
        with _telling():
            return self._answer(ctx, self.episodes.act(self._named(ctx, episode), Undo()))

    def refine(
        self,
        ctx: Context,
        episode: EpisodeName = "",
        path: PicturePath = "",
        data: PictureData = "",
        text: Words = "",
        mask_path: MaskPath = "",
        mask: MaskGiven = None,
    ) -> Annotated[CallToolResult, MaskAnswer]:
        """Let the policy improve a mask: an episode's as it is now, or one given with its picture and 'text'.

        Begins an episode of its own from that mask; the former one stays open under its name. A mask that the policy
        scores lower than the given one never comes back.
        """
        with _telling():
            image, name, words, given = self._mask_meant(ctx, episode, path, data, text, mask_path, mask)
            return self._answer(ctx, self.episodes.refine(image, name, words, given))

    def score(
        self,
        ctx: Context,
        episode: EpisodeName = "",
        path: PicturePath = "",
        data: PictureData = "",
        text: Words = "",
        mask_path: MaskPath = "",
        mask: MaskGiven = None,
    ) -> Annotated[CallToolResult, ScoreAnswer]:
        """Tell how well a mask fits the words and what is likely wrong with it: an episode's, or one that is given."""
        with _telling():
            image, name, words, given = self._mask_meant(ctx, episode, path, data, text, mask_path, mask)
            models = self.episodes.models
            with self.episodes.turn:
                record = audit(image, words, given, models=models, seed=self.episodes.seed)
            assert record.given_iou is not None
            likely = likely_error(record, models.calibrated(record.given_iou))
            shown, scale = _shown(image, given)
            answer = ScoreAnswer(
                text=record.text,
                image=name,
                height=image.height,
                width=image.width,
                predicted_iou=record.given_iou,
                calibrated_iou=self._calibrated(record.given_iou),
                outline_iou=None if record.outline is None else record.outline.iou,
                likely_error=likely.label,
                reason=likely.reason,
                doubts=list(record.doubts),
                shown_scale=scale,
            )
            words = f'"{record.text}": {_iou_words(answer)}; {likely.label}: {likely.reason}{_doubt_words(answer)}'
            return _result(words, [shown], answer)

    def audit(
        self,
        dataset: Annotated[
            str,
            Field(
                description="scenes:NUM, a data set's folder or COCO .json file below the root folder, or SCHEME:PATH, "
                "for example coco:instances.json:images=pictures."
            ),
        ],
        limit: Annotated[int, Field(ge=1, le=MOST_AUDITED, description="How many first images to look at.")] = 20,
        worst: Annotated[int, Field(ge=1, le=100, description="How many of the worst objects to list.")] = 10,
    ) -> Annotated[CallToolResult, AuditAnswer]:
        """Score the masks of a data set against their words, and list those that are most likely wrong.

        The answer shows the worst mask in green.
        """
        with _telling(), self._run_folder() as (folder, kept):
            opened = self.inputs.dataset(dataset)
            models = self.episodes.models
            with self.episodes.turn:
                run_job(opened, lambda: models, folder, RunConfig("audit", seed=self.episodes.seed), limit=limit)
            run = open_run(folder)
            summary = summarise_run(run)
            left: int = summary["images_left"]
            entries = ranked(list(entries_of(run)))
            listed = [
                AuditedObject(
                    object_id=entry.object_id,
                    image=entry.image,
                    text=entry.text,
                    category=entry.category,
                    outcome=entry.outcome,
                    predicted_iou=entry.predicted_iou_given,
                    calibrated_iou=self._calibrated(entry.predicted_iou_given),
                    likely_error=entry.likely_error,
                    evidence=entry.evidence,
                    doubts=list(entry.doubts),
                    reason=entry.reason,
                )
                for entry in entries[:worst]
            ]
            answer = AuditAnswer(
                dataset=dataset,
                images=summary["images"] - left,
                images_left=left,
                objects=summary["objects"],
                failed=len(summary["failed"]),
                doubted=summary["doubted"],
                likely_errors=summary["likely_errors"],
                mean_calibrated_iou=None if models.calibration is None else summary["expected_iou_given"],
                # That not all images were looked at is as asked, and told by images_left.
                warnings=[one for one in summary["warnings"] if one != unfinished(left, summary["images"])],
                worst=listed,
                run=str(folder) if kept else "",
            )
            pictures: list[bytes] = []
            first = next((entry for entry in entries if entry.mask), None)
            if first is not None:
                record = next(one for index, one in enumerate(run.records()) if index == first.index)
                assert isinstance(record, ObjectRecord)
                pictures.append(_shown(opened.load_image(record.image), record.mask)[0])
            lines = [
                f"{answer.objects} objects in {answer.images} images, {answer.images_left} images left; "
                f"{answer.failed} failed, {answer.doubted} doubted",
                *(f"warning: {one}" for one in answer.warnings),
                "worst first, the first that has a mask is shown:",
                *(
                    f'{one.object_id} in {one.image}: "{one.text}", '
                    + (one.reason or f"{_iou_words(one)}; {one.likely_error}: {one.evidence}")
                    for one in listed
                ),
            ]
            return _result("\n".join(lines), pictures, answer)

    def _answer(self, ctx: Any, episode: OpenEpisode) -> CallToolResult:
        """An episode as it is now; it becomes the session's latest one."""
        session = _session(ctx)
        if session is not None:
            self._latest.put(session, episode.key)
        trajectory, mask = episode.trajectory, episode.mask
        shown, scale = _shown(episode.image, mask)
        clicks = [one for one in trajectory.prompts_at(trajectory.returned) if isinstance(one, Click)]
        answer = MaskAnswer(
            episode=episode.key,
            outcome=episode.outcome,
            text=trajectory.text,
            image=trajectory.image,
            height=trajectory.height,
            width=trajectory.width,
            mask=MaskRle(**encode_rle(mask)),
            area=int(mask.sum()),
            predicted_iou=episode.predicted_iou,
            calibrated_iou=self._calibrated(episode.predicted_iou),
            doubts=list(episode.doubts),
            clicks=[ClickMade(x=one.x, y=one.y, positive=one.positive) for one in clicks],
            num_steps=len(trajectory.steps),
            shown_scale=scale,
        )
        covered = f"the mask covers {mask.mean():.1%} of the picture" if mask.any() else "the mask is empty"
        listed = " ".join(f"{'+' if one.positive else '-'}({one.x}, {one.y})" for one in clicks)
        words = (
            f'episode {episode.key}, {answer.outcome}: "{answer.text}"; {_iou_words(answer)}; {covered}; '
            f"clicks: {listed or 'none'}{_doubt_words(answer)}; "
            f"the full picture has {answer.width} x {answer.height} pixels"
            + ("" if scale == 1 else f" and is shown at {scale:.3f} of that; click in full pixels")
        )
        return _result(words, [shown], answer)

    def _mask_meant(
        self, ctx: Any, episode: str, path: str, data: str, text: str, mask_path: str, mask: MaskRle | None
    ) -> tuple[Image, str, str, BoolMask]:
        """Picture, its name, words and mask: an episode's, or those that are given."""
        key = self._meant(ctx, episode, path, data, text or mask_path or mask)
        if key is not None:
            found = self.episodes.get(key)
            return found.image, found.trajectory.image, found.trajectory.text, found.mask
        image, name = self.inputs.picture(path, data)
        rle = None if mask is None else Rle(size=mask.size, counts=mask.counts)
        return image, name, text, self.inputs.mask(mask_path, rle, image)

    def _meant(self, ctx: Any, episode: str, path: str, data: str, other: object) -> str | None:
        """The episode that is meant; None where a picture is given."""
        if not path and not data:
            if other:
                raise InputError("'text' and masks go with a picture, 'path' or 'data'; an episode has its own")
            return self._named(ctx, episode)
        if episode:
            raise InputError("give an episode, or a picture to begin one, not both")
        return None

    def _named(self, ctx: Any, episode: str) -> str:
        session = _session(ctx)
        latest = None if session is None else self._latest.get(session)
        if not episode and latest is None:
            raise InputError(
                "no episode yet; begin with annotate, or with a click that brings a picture"
                if session is not None
                else "give 'episode', as annotate answered it: this connection has no session that would remember it"
            )
        return episode or str(latest)

    def _calibrated(self, predicted: float | None) -> float | None:
        models = self.episodes.models
        return None if predicted is None or models.calibration is None else models.calibrated(predicted)

    @contextmanager
    def _run_folder(self) -> Iterator[tuple[Path, bool]]:
        """Where an audit's run is written, and whether it stays: only with records."""
        if self.episodes.records is not None:
            yield self.episodes.records.folder / "audits" / secrets.token_hex(8), True
            return
        with tempfile.TemporaryDirectory(prefix="segagent-mcp-") as folder:
            yield Path(folder) / "run", False


def create_server(episodes: Episodes, inputs: Inputs) -> MCPServer:
    """The server with its six tools. ``episodes`` is to be closed by whoever made it."""
    tools = Tools(episodes, inputs)
    server: MCPServer = MCPServer(
        "segagent", title="SegAgent", version=__version__, instructions=INSTRUCTIONS, log_level="WARNING"
    )
    # Pictures are read, never changed; what is recorded, only this program reads.
    looks = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    acts = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)
    listed: list[tuple[Callable[..., Any], ToolAnnotations]] = [
        (tools.annotate, acts),
        (tools.click, acts),
        (tools.undo, acts),
        (tools.refine, acts),
        (tools.score, looks),
        (tools.audit, looks),
    ]
    for function, hints in listed:
        server.add_tool(function, description=inspect.getdoc(function), annotations=hints)
    return server


def serve_stdio(server: MCPServer) -> None:
    """Speak to the one client at stdin and stdout until it leaves."""
    anyio.run(server.run_stdio_async)


def serve_http(server: MCPServer, inputs: Inputs, port: int, ready: Callable[[str], None]) -> None:
    """Serve on the loopback interface until interrupted; port 0 takes a free one. ``ready`` is told the URL.

    Requests under another host's name, and from pages of other sites, are refused. Raises ``InputError`` if the port is
    taken.
    """
    app = server.streamable_http_app(host=LOOPBACK, max_request_body_size=inputs.limits.max_body)
    listen(app, LOOPBACK, port, lambda url: ready(f"{url}/mcp"), lifespan="on")


@contextmanager
def _telling() -> Iterator[None]:
    """Errors that a client can act on as the SDK's own kind: an answer with ``isError`` and the words."""
    try:
        yield
    except SegAgentError as error:
        raise ToolError(str(error)) from error


def _session(ctx: Any) -> str | None:
    """What the latest episode is remembered by: over HTTP the session's id, None where the protocol has no session."""
    headers = ctx.headers
    return "" if headers is None else headers.get("mcp-session-id")


def _shown(image: Image, mask: BoolMask) -> tuple[bytes, float]:
    """The picture with the mask in green as a PNG file, scaled down where it is long, and by how much."""
    scale = min(1.0, SHOWN_SIDE / max(image.height, image.width))
    if scale == 1.0:
        return encode_png(draw_overlay(image.pixels, mask)), scale
    pixels = scaled_pixels(image.pixels, scale)
    return encode_png(draw_overlay(pixels, scaled_mask(mask, *pixels.shape[:2]))), scale


def _result(words: str, pictures: list[bytes], answer: Any) -> CallToolResult:
    shown = [ImageContent(type="image", data=b64encode(one).decode(), mime_type="image/png") for one in pictures]
    return CallToolResult(
        content=[TextContent(type="text", text=words), *shown], structured_content=answer.model_dump(mode="json")
    )


def _iou_words(answer: Any) -> str:
    if answer.predicted_iou is None:
        return "the policy predicts no IoU"
    calibrated = "" if answer.calibrated_iou is None else f", calibrated {answer.calibrated_iou:.2f}"
    return f"predicted IoU {answer.predicted_iou:.2f}{calibrated}"


def _doubt_words(answer: Any) -> str:
    return "".join(f"; the policy {one}" for one in answer.doubts)
