"""What people do through the interface: what comes of it, what stays of it, and what two of them are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_runs import annotation, coco, record, run_folder, square
from served_runs import BAD, BROKEN, FINE, GONE, MIDDLING, PLAN, Served

from segagent.annotation.batch import open_run
from segagent.annotation.people import PEOPLE_FILE, read_events, standings_of
from segagent.core import InputError, SpecError, decode_rle, encode_rle
from segagent.core.failures import Failure
from segagent.imaging import save_png
from segagent.server.review.session import Plan, ReviewSession

JSON = {"content-type": "application/json"}


def mask(answer) -> np.ndarray:
    return decode_rle(answer["mask"])


def disc(x: int, y: int) -> np.ndarray:
    """What the tool draws: a tenth of the longer side."""
    rows, columns = np.ogrid[:40, :60]
    return (columns - x) ** 2 + (rows - y) ** 2 <= 36


def test_the_list_is_worst_first_and_tells_how_objects_stand(served: Served) -> None:
    rows = served.rows()
    assert list(rows) == [BROKEN, GONE, BAD, MIDDLING, FINE]
    assert rows[BAD]["doubts"] == ["no such thing"]
    assert not any(row["touched"] for row in rows.values())
    served.event(FINE, "verdict", verdict="wrong")
    served.event(FINE, "note", text="the <b>left</b> ear")
    served.event(BAD, "removed")
    rows = served.rows()
    assert (rows[FINE]["verdict"], rows[FINE]["by"], rows[FINE]["touched"]) == ("wrong", "Ann", True)
    assert rows[FINE]["notes"] == "the <b>left</b> ear"
    assert rows[BAD]["removed"]
    assert served.get("session").json()["people"] == ["Ann"]


def test_an_object_shows_the_runs_masks_and_the_one_that_holds(served: Served) -> None:
    kept, repaired, gone = (served.get(f"objects/{index}").json() for index in (FINE, BAD, GONE))
    assert kept["masks"]["given"] == kept["masks"]["answer"] == kept["mask"]
    assert kept["masks"]["best"] not in (None, kept["mask"])
    assert repaired["masks"]["answer"] == repaired["mask"] != repaired["masks"]["given"]
    assert repaired["clicks"] == [[22, 20, True]]
    assert gone["masks"]["given"] is gone["masks"]["answer"] is None
    assert gone["masks"]["best"] is not None
    assert not mask(gone).any()
    assert (gone["width"], gone["height"]) == (60, 40)


def test_clicks_are_answered_by_the_tool_on_the_mask_as_it_is(served: Served) -> None:
    before = mask(served.get(f"objects/{FINE}").json())
    first = served.event(FINE, "click", x=40, y=20, positive=True)
    np.testing.assert_array_equal(mask(first), before | disc(40, 20))
    second = served.event(FINE, "click", x=40, y=22, positive=False)
    np.testing.assert_array_equal(mask(second), (before | disc(40, 20)) & ~disc(40, 22))
    told = served.get(f"objects/{FINE}").json()
    assert told["clicks"] == [[40, 20, True], [40, 22, False]]
    assert told["mask"] == second["mask"]
    assert [one["kind"] for one in told["history"]] == ["click", "click"]
    assert told["standing"]["made_by"] == "person"
    one = next(read_events(open_run(served.session.run.folder)))
    assert (one.tool, one.by, one.source) == ("disc", "Ann", "review")
    assert one.mask == first["mask"]


def test_every_kind_of_drawing(served: Served) -> None:
    stroke = served.event(GONE, "stroke", points=[[5, 5], [9, 5]], radius=0, positive=True)
    assert mask(stroke).sum() == 5
    polygon = served.event(GONE, "polygon", points=[[20, 20], [29, 20], [29, 29], [20, 29]])
    assert mask(polygon).sum() == 105
    taken = served.event(GONE, "polygon", points=[[20, 20], [29, 20], [29, 24], [20, 24]], positive=False)
    assert mask(taken).sum() == 55
    box = served.event(GONE, "box", box=[30, 10, 33, 12])
    assert mask(box).sum() == 4 * 3, "a box begins anew, and its ends belong to it"
    after = served.event(GONE, "click", x=31, y=11, positive=True)
    np.testing.assert_array_equal(mask(after), disc(31, 11) | mask(box))


def test_the_policy_goes_on_and_its_tries_are_taken(served: Served) -> None:
    assert served.client.post(f"/api/v1/objects/{GONE}/suggestion", json=None, headers=JSON).json()["action"] == {
        "x": 30, "y": 20, "positive": True,
    }  # fmt: skip
    gone_on = served.event(GONE, "agent", steps=3)
    assert mask(gone_on).any()
    assert gone_on["standing"]["made_by"] == "model"
    best = served.get(f"objects/{GONE}").json()["masks"]["best"]
    assert served.event(GONE, "take", take="best")["mask"] == best
    assert served.post(GONE, kind="take", take="given").status_code == 409
    assert served.event(BAD, "take", take="given")["standing"]["made_by"] == "person"


def test_undo_and_redo_go_all_the_way_and_survive_a_restart(run: Path) -> None:
    first = Served(run)
    start = first.get(f"objects/{FINE}").json()["mask"]
    masks = [first.event(FINE, "click", x=x, y=20, positive=True)["mask"] for x in (5, 25, 45)]
    first.event(FINE, "relabelled", label="dog")
    first.event(FINE, "verdict", verdict="ok")
    assert first.event(FINE, "undo")["standing"]["verdict"] is None
    first.close()
    second = Served(run)
    assert second.get(f"objects/{FINE}").json()["mask"] == masks[-1]
    assert second.event(FINE, "undo")["standing"]["label"] == "cat"
    assert [second.event(FINE, "undo")["mask"] for _ in masks] == [masks[1], masks[0], start]
    assert second.post(FINE, kind="undo").status_code == 409
    assert [second.event(FINE, "redo")["mask"] for _ in masks] == masks
    second.event(FINE, "redo")
    assert second.event(FINE, "redo")["standing"]["verdict"] == "ok"
    assert second.post(FINE, kind="redo").status_code == 409
    second.close()


def test_clicks_go_on_after_a_restart_as_if_there_had_been_none(run: Path) -> None:
    def clicks(restart: bool) -> str:
        one = Served(run, replace(PLAN, tool="grabcut"))
        one.event(BAD, "click", x=20, y=15, positive=True)
        one.event(BAD, "click", x=45, y=30, positive=False)
        if restart:
            one.close()
            one = Served(run, replace(PLAN, tool="grabcut"))
        answer = one.event(BAD, "click", x=24, y=24, positive=True)["mask"]
        one.close()
        (run / PEOPLE_FILE).unlink()
        return answer["counts"]

    assert clicks(False) == clicks(True)


def test_classes_sentences_and_deletions(served: Served) -> None:
    assert served.event(BAD, "relabelled", label="dog")["standing"]["label"] == "dog"
    assert served.event(BAD, "rephrased", text="the big square")["standing"]["text"] == "the big square"
    assert served.event(BAD, "removed")["standing"]["removed"]
    image = served.get(f"objects/{BAD}").json()["image"]
    on_image = {one["index"]: one for one in served.get(f"images/{image}").json()["objects"]}
    assert on_image[BAD]["removed"]
    assert on_image[BAD]["label"] == "dog"
    assert not served.event(BAD, "restored")["standing"]["removed"]
    was = [event.was for event in read_events(open_run(served.session.run.folder)) if event.kind == "relabelled"]
    assert was == ["cat"]


def test_new_objects_empty_and_from_words(served: Served) -> None:
    image = served.get(f"objects/{FINE}").json()["image"]
    body = {"request": "n1", "by": "Ann", "label": "mug", "text": ""}
    empty = served.client.post(f"/api/v1/images/{image}/objects", json=body).json()
    found = served.client.post(
        f"/api/v1/images/{image}/objects", json={**body, "request": "n2", "text": "the red mug", "words": True}
    ).json()
    assert (empty["index"], found["index"]) == (5, 6)
    assert not mask(empty).any()
    assert mask(found).any()
    assert found["standing"]["made_by"] == "model"
    assert not empty["standing"]["can_undo"], "that it is there is not undone but removed"
    assert mask(served.event(5, "click", x=8, y=8, positive=True)).any()
    again = served.client.post(f"/api/v1/images/{image}/objects", json=body).json()
    assert again["index"] == 5
    assert again["number"] == empty["number"]
    rows = served.rows()
    assert list(rows)[-2:] == [5, 6]
    assert rows[6]["text"] == "the red mug"
    assert rows[5]["added"]
    assert "mug" in served.get("session").json()["classes"]


def test_a_request_is_done_once(served: Served) -> None:
    told = {"request": "the same", "kind": "click", "x": 40, "y": 20, "positive": True}
    first = served.post(FINE, **told).json()
    later = served.event(FINE, "click", x=10, y=10, positive=False)
    again = served.post(FINE, **told).json()
    first.pop("milliseconds")
    again.pop("milliseconds")
    assert again == first != later
    assert served.get("session").json()["number"] == 2
    assert served.post(BAD, **told).status_code == 409
    assert served.post(FINE, **{**told, "kind": "removed"} | {"x": None}).status_code == 422
    assert served.post(FINE, request="the same", kind="removed").status_code == 409
    assert served.post(FINE, **{**told, "x": 41}).status_code == 409, "never silently left out"


def test_two_people_at_one_object_are_told_and_both_stay(served: Served) -> None:
    ann = served.event(FINE, "verdict", verdict="ok", by="Ann", seen=0)
    ben = served.event(FINE, "verdict", verdict="wrong", by="Ben", seen=0)
    assert not ann["contested"]
    assert ben["contested"]
    assert ben["standing"]["verdict"] == "wrong"
    assert ben["standing"]["people"] == ["Ann", "Ben"]
    assert served.rows()[FINE]["contested"]
    since = served.get("events", params={"after": ann["number"]}).json()
    assert since == {"number": 2, "events": [{"number": 2, "index": FINE, "kind": "verdict", "by": "Ben"}]}
    assert not served.event(FINE, "note", text="sorry", by="Ann", seen=2)["contested"]
    assert served.get("events", params={"after": 3}).json() == {"number": 3, "events": []}


def test_the_servers_name_goes_before_the_browsers(run: Path) -> None:
    one = Served(run, replace(PLAN, by="Ann", guidelines="Ears belong to the cat."))
    assert one.event(FINE, "verdict", verdict="ok", by="Ben")["standing"]["by"] == "Ann"
    session = one.get("session").json()
    assert (session["by"], session["guidelines"]) == ("Ann", "Ears belong to the cat.")
    one.close()


def test_an_object_that_failed_can_be_drawn(served: Served) -> None:
    told = served.get(f"objects/{BROKEN}").json()
    assert (told["width"], told["height"], told["problem"]) == (60, 40, "")
    assert told["reason"] == "cannot be read"
    assert mask(served.event(BROKEN, "stroke", points=[[5, 5]], radius=2, positive=True)).sum() == 13


def test_pictures_that_are_gone_cost_what_needs_them_and_nothing_else(run: Path) -> None:
    (run.parent / "data" / "images" / "b.png").unlink()
    one = Served(run)
    gone, broken = (one.get(f"objects/{index}").json() for index in (GONE, BROKEN))
    assert gone["width"] == broken["width"] == 60, "a record tells"
    assert one.get(f"images/{gone['image']}/picture").status_code == 400
    assert one.post(BROKEN, kind="click", x=3, y=3, positive=True).status_code == 400
    assert one.event(BROKEN, "verdict", verdict="absent")["standing"]["verdict"] == "absent"
    assert one.event(GONE, "stroke", points=[[5, 5]], radius=2, positive=True)["number"] == 2
    one.close()


def test_pictures_that_have_another_size_now(run: Path) -> None:
    save_png(run.parent / "data" / "images" / "a.png", np.zeros((80, 60, 3), np.uint8))
    one = Served(run)
    told = one.get(f"objects/{FINE}").json()
    for answer in (
        one.get(f"images/{told['image']}/picture"),
        one.post(FINE, kind="click", x=3, y=3, positive=True),
        one.post(FINE, kind="agent"),
    ):
        assert answer.status_code == 400
        assert "has 60 x 80 pixels now, had 60 x 40" in answer.json()["error"]
    one.close()


def test_a_model_that_breaks_down_is_no_fault_of_the_server(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*asked: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("segagent.tools.fake.DiscTool.segment", broken)
    refused = served.post(FINE, kind="click", x=3, y=3, positive=True)
    assert refused.status_code == 424
    assert "out of memory" in refused.json()["error"]
    monkeypatch.undo()
    assert served.event(FINE, "click", x=3, y=3, positive=True)["number"] == 1


def test_what_looks_odd_about_the_objects_of_an_image(tmp_path: Path) -> None:
    masks = [square(2, 2, 10), square(2, 2, 10), square(30, 20, 12), square(36, 26, 12)]
    boxes = [[2, 2, 10, 10], [2, 2, 10, 10], [30, 20, 12, 12], [0, 0, 60, 40]]
    listed = [annotation(n, mask) | {"bbox": box} for n, (mask, box) in enumerate(zip(masks, boxes, strict=True), 1)]
    dataset = coco(tmp_path / "data" / "coco.json", listed)
    records = []
    for number, drawn in enumerate(masks, 1):
        one = record(str(number), "kept", 0.9, 0.4)
        start = replace(one.trajectory.start, mask=encode_rle(drawn))
        records.append(replace(one, trajectory=replace(one.trajectory, start=start)))
    served = Served(run_folder(tmp_path / "run", dataset, [*records, record("5", "not_found", None, 0.4)]))
    image = served.get("objects/0").json()["image"]
    warnings = served.get(f"images/{image}").json()["warnings"]
    assert [(one["kind"], one["indices"]) for one in warnings] == [
        ("box", [3]), ("missing", [4]), ("duplicate", [0, 1]), ("overlap", [2, 3]),
    ]  # fmt: skip
    served.event(1, "removed")
    served.event(3, "verdict", verdict="absent")
    served.event(4, "stroke", points=[[20, 35]], radius=2, positive=True)
    assert served.get(f"images/{image}").json()["warnings"] == []
    served.close()


def test_an_object_whose_size_nobody_knows(tmp_path: Path) -> None:
    dataset = coco(tmp_path / "data" / "coco.json", [annotation(1, square(10, 10, 8))])
    one = Served(run_folder(tmp_path / "run", dataset, [Failure("lost", "lost.png", "no such file")]))
    told = one.get("objects/0").json()
    assert told["mask"] is None
    assert "lost.png" in told["problem"]
    assert one.post(0, kind="stroke", points=[[1, 1]], radius=1, positive=True).status_code == 400
    # Notes and verdicts need no picture.
    assert one.event(0, "note", text="ask Ben for it")["mask"] is None
    one.close()


def test_a_tool_that_is_not_there_is_told_and_the_rest_works(run: Path) -> None:
    one = Served(run, Plan(tool="sam:/no/such/checkpoint", policy="openai:none@http://127.0.0.1:9/v1"))
    click = one.post(FINE, kind="click", x=3, y=3, positive=True)
    assert click.status_code in (400, 424)
    assert click.json()["error"]
    assert one.event(FINE, "verdict", verdict="ok")["number"] == 1
    one.close()


def test_a_run_never_decides_what_is_imported(run: Path) -> None:
    journal = (run / "journal.jsonl").read_bytes()
    first, rest = journal.split(b"\n", 1)
    header = json.loads(first)
    header.pop("crc", None)
    header["notes"]["tool"] = "python:os:getcwd"
    (run / "journal.jsonl").write_bytes(json.dumps(header).encode() + b"\n" + rest)
    session = ReviewSession(open_run(run), Plan())
    with pytest.raises(SpecError, match="what a file names is not imported"):
        session.hands.tool_name()
    session.close()


def test_check_mode_shows_the_sample_and_no_predictions(run: Path) -> None:
    one = Served(run, replace(PLAN, sample=["middling", "fine"], drawn={"num": 2, "seed": 0}))
    rows = one.rows()
    assert list(rows) == [MIDDLING, FINE]
    assert rows[FINE]["expected_iou"] is None
    told = one.get(f"objects/{FINE}").json()
    assert [told[name] for name in told if "iou" in name] == [None] * 4
    session = one.get("session").json()
    assert (session["mode"], session["objects"]) == ("check", 2)
    one.event(FINE, "verdict", verdict="ok")
    one.close()
    assert standings_of(open_run(run))["fine"].now.verdict == "ok"
    (event,) = read_events(open_run(run))
    assert event.did == {"num": 2, "seed": 0}


def test_shares(run: Path) -> None:
    one = Served(run, replace(PLAN, people=("Ann", "Ben"), shares={"fine": ("Ben", "Ann"), "bad": ("Ann",)}))
    rows = one.rows()
    assert [(rows[i]["assigned"], rows[i]["also"]) for i in (FINE, BAD, GONE)] == [
        ("Ben", ["Ann"]),
        ("Ann", []),
        ("", []),
    ]
    assert one.get("session").json()["people"] == ["Ann", "Ben"]
    one.close()


def test_a_second_server_of_one_run_is_refused(served: Served) -> None:
    with pytest.raises(InputError, match="another process is writing it"):
        Served(served.session.run.folder)
