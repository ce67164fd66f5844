"""A real Label Studio on the loopback interface: connected, asked, clicked in Chromium, and what is submitted there.

``make test-integrations NAMES=label-studio`` installs it and runs this; by itself the file is skipped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx

from cheap_models import CheapPolicy
from quiet_server import app_served
from segagent.annotation.batch import Models
from segagent.annotation.interop.from_label_studio import mask_of
from segagent.annotation.python_api import annotate
from segagent.core import Image
from segagent.datasets import open_dataset
from segagent.imaging import encode_png
from segagent.server.api.app import create_api
from segagent.server.api.files import Files
from segagent.tools.fake import DiscTool

PROGRAM = os.environ.get("SEGAGENT_LABEL_STUDIO") or shutil.which("label-studio") or ""
"""The command ``label-studio``: on the PATH, or another one."""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAM, reason="needs Label Studio: make test-integrations NAMES=label-studio"),
]
PIXELS = np.random.default_rng(3).integers(90, 165, (300, 400, 3), np.uint8)
KEY = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="Cup" segagent="the red cup"/></BrushLabels>
  <KeyPointLabels name="points" toName="image" smart="true" smartOnly="true"><Label value="Cup"/></KeyPointLabels>
</View>"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Label Studio with an empty data base, for one who may do everything."""
    folder, port = tmp_path_factory.mktemp("studio"), free_port()
    told = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder), "DJANGO_DB": "sqlite", "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "",
        "LABEL_STUDIO_USERNAME": "ann@example.com", "LABEL_STUDIO_PASSWORD": "secret-of-ann",
        "LABEL_STUDIO_USER_TOKEN": KEY, "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "ML_BLOCK_LOCAL_IP": "false", "SSRF_PROTECTION_ENABLED": "false",
    }  # fmt: skip
    command = [PROGRAM, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env={**clean, **told}, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(
            base_url=url, headers={"authorization": f"Token {KEY}"}, timeout=120, trust_env=False
        ) as client:
            deadline = time.monotonic() + 1200  # It makes its data base, table by table.
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if client.get("/health").status_code == 200:
                        break
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline
                time.sleep(1)
            yield client
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def backend(studio: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """The address of our server, and what keeps the corrections."""
    files = Files(studio=str(studio.base_url), key=KEY, corrections=tmp_path_factory.mktemp("kept") / "corrections")
    app = create_api(Models(CheapPolicy(), DiscTool()), files=files)
    with app_served(app) as url:
        yield url, app.state.kept[0]
    app.state.kept[0].close()


@pytest.fixture(scope="module")
def project(studio: httpx.Client, backend: tuple[str, Any]) -> tuple[int, int, int]:
    """A project with one task, connected: the ids of project, task and model."""
    made = studio.post("/api/projects", json={"title": "cups", "label_config": CONFIG})
    number = made.json()["id"]
    file = {"file": ("a.png", encode_png(PIXELS), "image/png")}
    assert studio.post(f"/api/projects/{number}/import", files=file).status_code == 201
    asked = {"url": backend[0], "project": number, "title": "segagent", "is_interactive": True, "auth_method": "NONE"}
    model = studio.post("/api/ml", json=asked)
    assert model.status_code == 201, model.text
    assert model.json()["readable_state"] == "Connected"
    hooks = studio.get("/api/webhooks/", params={"project": number}).json()
    assert [one["url"] for one in hooks] == [f"{backend[0]}/webhook"]
    (task,) = studio.get("/api/tasks", params={"project": number}).json()["tasks"]
    return number, task["id"], model.json()["id"]


def test_predictions_are_retrieved(studio: httpx.Client, project: tuple[int, int, int]) -> None:
    asked = {"selectedItems": {"all": True, "excluded": []}, "ordering": []}
    number, task, _ = project
    done = studio.post("/api/dm/actions", params={"id": "retrieve_tasks_predictions", "project": number}, json=asked)
    assert done.status_code == 200, done.text
    (prediction,) = studio.get("/api/predictions", params={"project": number}).json()
    record = annotate(Image.of(PIXELS), "the red cup", models=Models(CheapPolicy(), DiscTool()), found=0.3)
    assert record.outcome == "made"
    (region,) = prediction["result"]
    assert np.array_equal(mask_of([region], *PIXELS.shape[:2]), record.mask)
    assert prediction["score"] == pytest.approx(region["score"])
    assert prediction["task"] == task


def disc(x: int, y: int) -> Any:
    rows, columns = np.ogrid[: PIXELS.shape[0], : PIXELS.shape[1]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= 40**2


def test_a_click_in_the_browser_is_answered_and_comes_back(
    studio: httpx.Client, backend: tuple[str, Any], project: tuple[int, int, int], chromium: Any
) -> None:
    number, task, _ = project
    url = str(studio.base_url).rstrip("/")
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    # Nothing is loaded from elsewhere.
    context.route(lambda address: address.startswith("http") and not address.startswith(url), lambda r: r.abort())
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{url}/user/login/", wait_until="domcontentloaded")
    page.fill("#email", "ann@example.com")
    page.fill("#password", "secret-of-ann")
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "login" not in address, wait_until="commit")
    page.goto(f"{url}/projects/{number}/data?task={task}", wait_until="domcontentloaded")
    page.wait_for_selector("canvas")
    page.get_by_text("Auto-Annotation").click()
    tools = "Htx.annotationStore.selected.objects[0].getToolsManager()"
    wanted = "t => t.toolName === 'KeyPointTool' && t.dynamic"
    page.wait_for_function(f"window.Htx && {tools}.allTools().some({wanted})")
    page.evaluate(f"{tools}.selectTool({tools}.allTools().find({wanted}), true)")
    page.locator(".lsf-label").nth(1).click()
    frame = page.locator("canvas").first.bounding_box()
    with page.expect_response(lambda answer: "interactive-annotating" in answer.url) as answered:
        page.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)
    (region,) = answered.value.json()["data"]["result"]
    mask = mask_of([region], *PIXELS.shape[:2])
    rows, columns = np.nonzero(mask)
    x, y = round(columns.mean()), round(rows.mean())
    assert np.array_equal(mask, disc(x, y)), "one disc, where was clicked"
    assert abs(x - 200) <= 4
    assert abs(y - 150) <= 4
    page.get_by_text("1 suggestions").wait_for()
    page.locator("button:has-text('Submit')").first.wait_for()
    context.close()

    # What is submitted comes back as a data set.
    submitted = studio.post(f"/api/tasks/{task}/annotations", json={"result": [region]})
    assert submitted.status_code == 201, submitted.text
    kept = backend[1]
    deadline = time.monotonic() + 30
    while not (kept.folder / "manifest.jsonl").is_file() or not (kept.folder / "manifest.jsonl").stat().st_size:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kept.settle()
    ((sample,),) = [group.samples() for group in open_dataset(str(kept.folder)).groups()]
    assert sample.text == "the red cup"
    assert np.array_equal(sample.load_target()[0], mask)
    studio.delete(f"/api/annotations/{submitted.json()['id']}")
    time.sleep(1)
    kept.settle()
    assert (kept.folder / "manifest.jsonl").read_bytes() == b""


def test_chromium_is_there() -> None:
    """Else the test above is skipped and nobody sees it."""
    assert Path("/usr/bin/chromium").exists()
