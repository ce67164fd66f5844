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

from segagent.annotation.batch import RunConfig, open_run, run_job
from segagent.annotation.python_api import audit
from segagent.core import BoolMask, Click, Image, InputError, MissingExtraError, Rle, SegAgentError, Undo
from segagent.core.recent import Recent
from segagent.core.versions import __version__
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

from segagent.server.mcp.answers import AuditAnswer, MaskAnswer, MaskRle, ScoreAnswer
from segagent.server.mcp.telling import Told, told_audit, told_episode, told_score

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
            return _result(told_score(record, image, name, models))

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
            return _result(told_audit(open_run(folder), opened, dataset, models, worst=worst, kept=kept))

    def _answer(self, ctx: Any, episode: OpenEpisode) -> CallToolResult:
        """An episode as it is now; it becomes the session's latest one."""
        session = _session(ctx)
        if session is not None:
            self._latest.put(session, episode.key)
        return _result(told_episode(episode, self.episodes.models))

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


def _result(told: Told) -> CallToolResult:
    shown = [ImageContent(type="image", data=b64encode(one).decode(), mime_type="image/png") for one in told.pictures]
    return CallToolResult(
        content=[TextContent(type="text", text=told.words), *shown],
        structured_content=told.answer.model_dump(mode="json"),
    )
