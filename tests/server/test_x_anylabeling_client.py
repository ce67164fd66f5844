"""X-AnyLabeling's own client with our server.

``make test-integrations NAMES=x-anylabeling`` installs it and runs this; by itself the file is skipped.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("anylabeling", reason="needs X-AnyLabeling: make test-integrations NAMES=x-anylabeling")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import uvicorn
import yaml
from anylabeling import config
from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QApplication

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.annotation.python_api import annotate
from segagent.core import Image
from segagent.datasets.coco_masks import decode_segmentation
from segagent.imaging import save_png
from segagent.server.api.app import create_api
from segagent.server.guard import Access
from segagent.tools.fake import DiscTool

TOKEN = "a-token-of-sixteen-or-more"
HEIGHT, WIDTH = 40, 60
PIXELS = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    app = create_api(Models(CheapPolicy(), DiscTool()), access=Access(TOKEN))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="none"))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x-anylabeling"
        server.should_exit = True
        thread.join(30)


def client(url: str, token: str, folder: Path, said: list[str]) -> Any:
    """Their remote server, as their settings make it."""
    from anylabeling.services.auto_labeling.remote_server import RemoteServer

    config.set_work_directory(str(folder))
    config.get_default_config()
    file = folder / ".xanylabelingrc"
    told = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**told, "remote_server_settings": {"server_url": url, "api_key": token}}))
    config.current_config_file = str(file)
    return RemoteServer({"type": "remote_server", "name": "r", "display_name": "Remote"}, said.append)


def masks(result: Any) -> list[Any]:
    corners = [[n for point in one.points for n in (point.x(), point.y())] for one in result.shapes]
    return [decode_segmentation([one], HEIGHT, WIDTH) for one in corners]


def test_their_client_gets_our_masks(url: str, tmp_path: Path) -> None:
    application = QApplication.instance() or QApplication([])
    said: list[str] = []
    remote = client(url, TOKEN, tmp_path, said)
    assert list(remote.get_available_models()) == ["segagent"]
    remote.set_model_id("segagent")
    assert remote.get_batch_processing_mode() == "text_prompt"
    path = str(tmp_path / "a.png")
    save_png(path, PIXELS)
    picture = QImage(path)
    remote.set_auto_labeling_conf(0.0)
    remote.set_mask_fineness(0.0)

    found = remote.predict_shapes(picture, path, text_prompt="the red cup.")
    record = annotate(Image.of(PIXELS), "the red cup", models=Models(CheapPolicy(), DiscTool()), found=0)
    assert record.mask.any()
    assert [one.label for one in found.shapes] == ["the red cup"]
    assert np.array_equal(masks(found)[0], record.mask)

    remote.set_auto_labeling_marks([{"type": "point", "label": 1, "data": [30, 20]}])
    (mask,) = masks(remote.predict_shapes(picture, path))
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    assert np.array_equal(mask, (columns - 30) ** 2 + (rows - 20) ** 2 <= 36)
    assert said == []

    remote.set_auto_labeling_marks([{"type": "point", "label": 1, "data": [70, 20]}])
    assert remote.predict_shapes(picture, path).shapes == []
    assert "422" in said[-1], "a person is told"
    assert client(url, "another-token-than-that-one", tmp_path, said).get_available_models() == {}
    del application
