"""X-AnyLabeling itself, without a screen: the server chosen, words sent, a point clicked, the file saved."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("anylabeling", reason="needs X-AnyLabeling: pip install x-anylabeling-cvhub")

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
from PIL import Image, ImageDraw
from PyQt6 import QtCore, QtWidgets
from PyQt6.QtTest import QTest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
TOKEN = "the-key-of-this-test"
CIRCLE = 60, 70, 150, 160


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of ``segagent serve``, which needs :data:`TOKEN`."""
    command = [sys.executable, "-m", "segagent.cli.main", "serve", "--port", "0", "--token", TOKEN]
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                if found := re.search(r"(http://[\d.:]+)/v1$", line.strip()):
                    yield f"{found[1]}/x-anylabeling"
                    break
            else:
                pytest.fail("the server did not start")
        finally:
            server.terminate()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).normal(150, 6, (240, 320, 3)).clip(0, 255).astype(np.uint8)
    drawn = Image.fromarray(pixels)
    ImageDraw.Draw(drawn).ellipse(CIRCLE, fill=(200, 30, 30))
    ImageDraw.Draw(drawn).rectangle((200, 60, 280, 150), fill=(30, 60, 200))
    drawn.save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def test_words_and_a_click_in_the_program(address: str, picture: Path, tmp_path: Path) -> None:
    from anylabeling import config as settings
    from anylabeling.resources import resources  # noqa: F401 - the program's models and icons
    from anylabeling.views.labeling.widgets.remote_server_dialog import RemoteServerDialog
    from anylabeling.views.mainwindow import MainWindow

    settings.set_work_directory(str(tmp_path))
    settings.current_config_file = str(tmp_path / ".xanylabelingrc")
    app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["xanylabeling"])
    given = {"auto_save": True, "store_data": False, "language": "en_US"}
    config = settings.get_config(settings.current_config_file, given, show_msg=False)
    window = MainWindow(app, config=config, filename=str(picture))
    window.resize(1400, 860)
    window.show()

    def until(what: str, true: Callable[[], Any]) -> None:
        ends = time.monotonic() + 120
        while not true():
            assert time.monotonic() < ends, f"{what}: {panel.model_status_label.text()}"
            app.processEvents()
            time.sleep(0.02)

    view = window.labeling_widget.view
    panel, canvas = view.auto_labeling_widget, view.canvas
    until("opening the picture", lambda: view.filename and canvas.pixmap is not None)
    view.toggle_auto_labeling_widget()

    def give_address() -> None:
        (dialog,) = [one for one in app.topLevelWidgets() if isinstance(one, RemoteServerDialog)]
        dialog.url_input.setText(address)
        dialog.api_key_input.setText(TOKEN)
        dialog.accept()

    QtCore.QTimer.singleShot(200, give_address)
    (name,) = [one for one in panel.model_info if "remote_server" in one]
    panel.on_model_selected("CVHub", name)
    until("choosing the model", panel.remote_server_select_combobox.count)
    assert panel.remote_server_select_combobox.currentText() == "SegAgent (embedded, embedded)"
    assert (panel.edit_conf.value(), panel.toggle_preserve_existing_annotations.text()) == (0.3, "Replace (Off)")
    assert not panel.button_send.isHidden()
    assert panel.button_run.isHidden()

    panel.edit_text.setText("the red circle. the blue square")
    panel.button_send.click()
    until("sending words", lambda: len(canvas.shapes) == 2)
    circle, square = canvas.shapes
    assert (circle.label, square.label) == ("the red circle", "the blue square")
    assert circle.is_closed()
    assert 0.3 <= circle.score <= 1
    bounds = circle.bounding_rect()
    told = bounds.left(), bounds.top(), bounds.right(), bounds.bottom()
    assert told == pytest.approx(CIRCLE, abs=4)

    panel.button_add_point.click()
    place = (QtCore.QPointF(240, 100) + canvas.offset_to_center()) * canvas.scale
    QTest.mouseMove(canvas, place.toPoint())
    QTest.mouseClick(canvas, QtCore.Qt.MouseButton.LeftButton, pos=place.toPoint())
    until("clicking", lambda: any(shape.label == "AUTOLABEL_OBJECT" for shape in canvas.shapes))
    (clicked,) = [shape for shape in canvas.shapes if shape.label == "AUTOLABEL_OBJECT"]
    assert clicked.contains_point(QtCore.QPointF(240, 100))
    assert not clicked.contains_point(QtCore.QPointF(105, 115))

    def name_it() -> None:
        view.label_dialog.edit.setText("square")
        view.label_dialog.accept()

    QtCore.QTimer.singleShot(300, name_it)
    panel.button_finish_object.click()
    view.save_file()
    saved = json.loads(picture.with_suffix(".json").read_text())["shapes"]
    assert [shape["label"] for shape in saved] == ["the red circle", "the blue square", "square"]
