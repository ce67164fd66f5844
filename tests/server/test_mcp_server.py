"""``segagent mcp`` spoken to by the SDK's own client: in memory, over stdio and over HTTP."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image as PillowImage

import segagent
from cheap_models import CheapPolicy
from segagent.annotation import score_mask
from segagent.annotation.batch import Models, likely_error, summarise_run
from segagent.annotation.review.entries import entries_of, ranked
from segagent.core import Click, Image, decode_rle, encode_rle
from segagent.evaluation.calibration import Calibration
from segagent.imaging import draw_overlay, encode_png, save_png
from segagent.learning.trajectories import read_trajectories
from segagent.policies import make_policy
from segagent.server.mcp.episodes import Episodes
from segagent.server.mcp.inputs import Inputs
from segagent.server.mcp.records import EpisodeRecords
from segagent.tools import make_tool

pytest.importorskip("mcp.server.mcpserver", reason="needs the package mcp, of the extra 'mcp'")

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from segagent.server.mcp.app import create_server

IMAGE = Image.of(np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8))
CHEAP = Models(CheapPolicy(), make_tool("disc"), Calibration((0.0, 1.0), (0.25, 0.75)))
CENTRE = Models(make_policy("centre"), make_tool("disc"))
TEXT = "the green cup"

Play = Callable[[Client], Awaitable[None]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    save_png(tmp_path / "root" / "a.png", IMAGE.pixels)
    return tmp_path / "root"


def played(play: Play, root: Path, models: Models = CHEAP, records: EpisodeRecords | None = None) -> None:
    episodes = Episodes(models, records=records)
    server = create_server(episodes, Inputs.below(root))

    async def run() -> None:
        async with Client(server) as client:
            await play(client)

    try:
        anyio.run(run)
    finally:
        episodes.close()


async def answered(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """The structured answer, which the client has checked against the tool's schema."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return str(result.content[0].text)  # type: ignore[union-attr]


def shown(result: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    (picture,) = [one for one in result.content if one.type == "image"]
    assert picture.mime_type == "image/png"
    return np.asarray(PillowImage.open(io.BytesIO(base64.b64decode(picture.data))))


def test_what_is_offered(root: Path) -> None:
    async def play(client: Client) -> None:
        tools = {one.name: one for one in (await client.list_tools()).tools}
        assert list(tools) == ["annotate", "click", "undo", "refine", "score", "audit"]
        assert all(one.description and one.output_schema for one in tools.values())
        for name in ("annotate", "click", "undo", "refine"):
            required = tools[name].output_schema["required"]  # type: ignore[index]
            assert {"mask", "predicted_iou", "calibrated_iou", "doubts"} <= set(required)
        assert set(tools["click"].input_schema["required"]) == {"x", "y"}
        assert client.server_info.name == "segagent"
        assert "annotate" in (client.instructions or "")

    played(play, root)


def test_annotate_answers_what_segagent_annotate_does(root: Path) -> None:
    record = segagent.annotate(IMAGE, TEXT, models=CHEAP)
    assert record.predicted_iou is not None

    async def play(client: Client) -> None:
        for given in ({"path": "a.png"}, {"data": base64.b64encode(encode_png(IMAGE.pixels)).decode()}):
            result = await client.call_tool("annotate", {"text": TEXT, **given})
            answer = result.structured_content
            assert answer is not None
            assert answer["mask"] == encode_rle(record.mask)
            assert (answer["outcome"], answer["text"]) == (record.outcome, TEXT)
            assert answer["predicted_iou"] == record.predicted_iou
            assert answer["calibrated_iou"] == pytest.approx(CHEAP.calibrated(record.predicted_iou or 0))
            assert answer["calibrated_iou"] != answer["predicted_iou"]
            assert answer["doubts"] == list(record.doubts)
            assert [(one["x"], one["y"]) for one in answer["clicks"]] == [
                (one.x, one.y) for one in record.trajectory.clicks
            ]
            assert np.array_equal(shown(result), draw_overlay(IMAGE.pixels, record.mask))

    played(play, root)


def test_a_long_picture_is_shown_smaller_and_clicked_in_full_pixels(root: Path) -> None:
    save_png(root / "wide.png", np.zeros((100, 4096, 3), np.uint8))

    async def play(client: Client) -> None:
        result = await client.call_tool("click", {"path": "wide.png", "text": "x", "x": 4000, "y": 50})
        assert shown(result).shape == (25, 1024, 3)
        answer = result.structured_content
        assert answer is not None
        assert (answer["width"], answer["shown_scale"]) == (4096, 0.25)
        assert decode_rle(answer["mask"])[50, 4000]

    played(play, root, CENTRE)


def test_one_session_is_one_episode(root: Path, tmp_path: Path) -> None:
    done: list[dict[str, Any]] = []

    async def play(client: Client) -> None:
        done.append(await answered(client, "annotate", path="a.png", text="the dot"))
        done.append(await answered(client, "click", x=3, y=4))
        done.append(await answered(client, "click", x=32, y=24, positive=False, episode=done[0]["episode"]))
        done.append(await answered(client, "undo"))

    played(play, root, CENTRE, EpisodeRecords(tmp_path / "kept"))
    first, clicked, taken, undone = (decode_rle(one["mask"]) for one in done)
    assert len({one["episode"] for one in done}) == 1
    assert (clicked & ~first).any()
    assert not (first & ~clicked).any()
    assert (clicked & ~taken).any()
    assert np.array_equal(undone, clicked)
    assert done[3]["predicted_iou"] is done[3]["calibrated_iou"] is None
    (trajectory,) = read_trajectories(tmp_path / "kept" / "episodes.jsonl")
    assert trajectory.sample_id == done[0]["episode"]
    assert trajectory.rle_at(trajectory.returned) == done[3]["mask"]
    assert trajectory.clicks == [Click(32, 24, True), Click(3, 4, True)]


def test_refine_and_score_answer_what_segagent_does(root: Path) -> None:
    mask = np.zeros((48, 64), np.bool_)
    mask[5:20, 5:30] = True
    save_png(root / "mask.png", mask)
    refined = segagent.refine(IMAGE, TEXT, mask, models=CHEAP)
    audited = segagent.audit(IMAGE, TEXT, mask, models=CHEAP)
    assert audited.given_iou is not None
    likely = likely_error(audited, CHEAP.calibrated(audited.given_iou))

    async def play(client: Client) -> None:
        for given in ({"mask_path": "mask.png"}, {"mask": encode_rle(mask)}):
            score = await answered(client, "score", path="a.png", text=TEXT, **given)
            assert score["predicted_iou"] == audited.given_iou == score_mask(IMAGE, TEXT, mask, CHEAP.policy)
            assert score["calibrated_iou"] == CHEAP.calibrated(score["predicted_iou"])
            assert (score["likely_error"], score["reason"]) == (likely.label, likely.reason)
            better = await answered(client, "refine", path="a.png", text=TEXT, **given)
            assert better["mask"] == encode_rle(refined.mask)
            assert (better["outcome"], better["predicted_iou"]) == (refined.outcome, refined.predicted_iou)
        again = await answered(client, "score")
        assert again["predicted_iou"] == better["predicted_iou"]
        other = await answered(client, "refine")
        assert other["episode"] != better["episode"]

    played(play, root)


def test_audit_answers_what_a_run_does(root: Path, tmp_path: Path) -> None:
    data = "scenes:5:seed=2,split=val,size=64,sentences=2"
    run = segagent.audit("scenes:3:seed=2,split=val,size=64,sentences=2", out=tmp_path / "run", models=CHEAP)
    entries = ranked(list(entries_of(run)))

    async def play(client: Client) -> None:
        result = await client.call_tool("audit", {"dataset": data, "limit": 3, "worst": 2})
        answer = result.structured_content
        assert answer is not None
        assert (answer["images"], answer["images_left"], answer["failed"]) == (3, 2, 0)
        assert answer["objects"] == len(entries)
        assert answer["warnings"] == summarise_run(run)["warnings"] == []
        assert answer["likely_errors"] == summarise_run(run)["likely_errors"]
        assert [one["object_id"] for one in answer["worst"]] == [one.object_id for one in entries[:2]]
        assert [one["predicted_iou"] for one in answer["worst"]] == [one.predicted_iou_given for one in entries[:2]]
        assert [one["calibrated_iou"] for one in answer["worst"]] == [one.expected_iou_given for one in entries[:2]]
        worst = next(one for one in run.objects() if one.object_id == entries[0].object_id)
        picture = run.dataset().load_image(worst.image)
        assert np.array_equal(shown(result), draw_overlay(picture.pixels, worst.mask))
        kept.append(answer["run"])

    kept: list[str] = []
    played(play, root)
    played(play, root, records=EpisodeRecords(tmp_path / "kept"))
    assert kept[0] == ""
    assert (Path(kept[1]) / "journal.jsonl").is_file()


def test_an_audit_tells_what_failed_and_what_was_left_out(root: Path) -> None:
    def annotation(number: int, image: int, crowd: int) -> dict[str, Any]:
        outline = [2, 2, 11, 2, 11, 11, 2, 11]
        return {"id": number, "image_id": image, "category_id": 1, "iscrowd": crowd, "segmentation": [outline]}

    names = {1: "a.png", 2: "missing.png"}
    coco = {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in names.items()],
        "categories": [{"id": 1, "name": "dot"}],
        "annotations": [annotation(1, 1, 0), annotation(2, 2, 0), annotation(3, 1, 1)],
    }
    (root / "coco.json").write_text(json.dumps(coco))

    async def play(client: Client) -> None:
        answer = await answered(client, "audit", dataset="coco.json")
        assert (answer["objects"], answer["failed"], answer["images"]) == (2, 1, 2)
        assert [one["outcome"] for one in answer["worst"]] == ["failed", "audited"]
        assert "missing.png" in answer["worst"][0]["reason"]
        assert any("crowd" in one for one in answer["warnings"])

    played(play, root)


def test_what_cannot_be_used_is_an_error_and_the_session_goes_on(root: Path) -> None:
    (root / "broken.png").write_bytes(encode_png(IMAGE.pixels)[:200])
    calls: list[tuple[str, dict[str, Any], str]] = [
        ("click", {"x": 1, "y": 1}, "no episode yet"),
        ("undo", {}, "no episode yet"),
        ("undo", {"episode": "none"}, "no open episode 'none'"),
        ("annotate", {"text": TEXT}, "give either 'path'"),
        ("annotate", {"text": "  ", "path": "a.png"}, "the text is empty"),
        ("annotate", {"text": TEXT, "path": "../root/../../a.png"}, "outside"),
        ("annotate", {"text": TEXT, "path": "https://example.org/a.png"}, "not fetched"),
        ("annotate", {"text": TEXT, "path": "broken.png"}, "damaged or cut short"),
        ("annotate", {"text": 3, "path": "a.png"}, "text"),
        ("annotate", {"path": "a.png"}, "text"),
        ("click", {"x": "left", "y": 1, "path": "a.png", "text": TEXT}, "x"),
        ("click", {"x": 64, "y": 1, "path": "a.png", "text": TEXT}, "click outside the 64 x 48 image"),
        ("click", {"x": 10**30, "y": -1, "path": "a.png", "text": TEXT}, "click outside"),
        ("click", {"x": 1, "y": 1, "text": TEXT}, "go with a picture"),
        ("score", {"path": "a.png", "text": TEXT}, "give either 'mask_path'"),
        ("score", {"path": "a.png", "text": TEXT, "mask": {"size": [1, 1], "counts": "1"}}, "the mask's size"),
        ("score", {"path": "a.png", "text": TEXT, "mask": {"size": [48], "counts": "1"}}, "mask"),
        ("refine", {"path": "a.png", "text": TEXT, "mask": {"size": [48, 64], "counts": "%%"}}, "'mask'"),
        ("audit", {"dataset": "python:os:getcwd"}, "no such file or folder"),
        ("audit", {"dataset": "scenes:3", "limit": 100000}, "limit"),
        ("audit", {"dataset": ".."}, "outside"),
        ("erase", {}, "erase"),
    ]

    async def play(client: Client) -> None:
        for tool, arguments, told in calls:
            if tool == "erase":
                with pytest.raises(Exception, match=told):
                    await answered(client, tool)
                continue
            assert told in await refused(client, tool, **arguments), (tool, arguments)
        assert (await answered(client, "annotate", path="a.png", text=TEXT))["image"] == "a.png"

    played(play, root)


def test_calls_at_the_same_time_get_their_own_answers(root: Path) -> None:
    texts = [f"the cup number {number}" for number in range(12)]
    alone = [encode_rle(segagent.annotate(IMAGE, text, models=CHEAP).mask) for text in texts]
    assert len({one["counts"] for one in alone}) > 6
    got: dict[str, Any] = {}

    async def play(client: Client) -> None:
        async def one(text: str) -> None:
            got[text] = await answered(client, "annotate", path="a.png", text=text)

        async with anyio.create_task_group() as group:
            for text in texts:
                group.start_soon(one, text)

    played(play, root)
    assert [got[text]["mask"] for text in texts] == alone
    assert len({one["episode"] for one in got.values()}) == len(texts)


def test_a_policy_without_an_iou_scores_nothing(root: Path) -> None:
    async def play(client: Client) -> None:
        await answered(client, "annotate", path="a.png", text=TEXT)
        for tool, arguments in (("score", {}), ("refine", {}), ("audit", {"dataset": "scenes:2:size=64"})):
            assert "predicts no IoU" in await refused(client, tool, **arguments)

    played(play, root, CENTRE)


def command(root: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "segagent", "mcp", "--policy", "centre", "--tool", "disc", "--root", str(root), *more]


def test_over_stdio(root: Path, tmp_path: Path) -> None:
    alone = segagent.annotate(IMAGE, TEXT, models=CENTRE)
    program, *arguments = command(root, "--record", str(tmp_path / "kept"))
    environment = {name: os.environ[name] for name in ("PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    here = StdioServerParameters(command=program, args=arguments, env=environment)
    names: list[str] = []

    async def run() -> None:
        async with Client(stdio_client(here)) as client:
            answer = await answered(client, "annotate", path="a.png", text=TEXT)
            names.append(answer["episode"])
            assert answer["mask"] == encode_rle(alone.mask)
            assert "outside" in await refused(client, "annotate", path="/etc/passwd", text=TEXT)
            assert (await answered(client, "click", x=1, y=1))["episode"] == names[0]

    anyio.run(run)
    (kept,) = read_trajectories(tmp_path / "kept" / "episodes.jsonl")
    assert kept.sample_id == names[0]


@pytest.fixture
def served(root: Path, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    running = subprocess.Popen(
        command(root, "--http", "--port", "0", "--record", str(tmp_path / "kept")), stdout=subprocess.PIPE, text=True
    )
    assert running.stdout is not None
    try:
        line = running.stdout.readline()
        assert line.startswith("serving MCP at http://127.0.0.1:")
        yield line.split()[-1], running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def test_over_http(served: tuple[str, subprocess.Popen[str]], root: Path, tmp_path: Path) -> None:
    url, running = served
    names: list[str] = []

    async def run() -> None:
        # With sessions, as clients have had them until lately: each remembers an episode of its own.
        async with Client(url, mode="legacy") as one, Client(url, mode="legacy") as other:
            first = await answered(one, "annotate", path="a.png", text=TEXT)
            assert "no episode yet" in await refused(other, "undo")
            second = await answered(other, "click", path="a.png", text="the rest", x=5, y=5)
            assert (await answered(one, "click", x=60, y=40))["episode"] == first["episode"] != second["episode"]
        # Without: the episode goes by its name.
        async with Client(url) as modern:
            assert "give 'episode'" in await refused(modern, "undo")
            assert (await answered(modern, "undo", episode=first["episode"]))["mask"] == first["mask"]
        names.extend([first["episode"], second["episode"]])

    anyio.run(run)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for headers in ({"host": "example.org"}, {"origin": "http://example.org"}):
        assert httpx.post(url, json=call, headers=headers, trust_env=False).status_code in (403, 421)
    running.send_signal(signal.SIGKILL)
    running.wait()
    # Killed: the next server takes both episodes up.
    EpisodeRecords(tmp_path / "kept").end()
    kept = {one.sample_id: one for one in read_trajectories(tmp_path / "kept" / "episodes.jsonl")}
    assert set(kept) == set(names)
    assert [one.action for one in kept[names[1]].steps] == [Click(5, 5, True)]


def test_the_documented_configuration_starts_the_command() -> None:
    page = Path(__file__).parents[2] / "docs" / "integrations" / "mcp.md"
    block = page.read_text(encoding="utf-8").partition("```json\n")[2].partition("```")[0]
    (named,) = json.loads(block)["mcpServers"].values()
    assert named["command"] == "segagent"
    assert named["args"][0] == "mcp"
