"""Each face with the real package; left out where it is not installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segagent.envs import AnnotationEnv

EXAMPLES = Path(__file__).parents[2] / "examples"
DATA = "scenes:4:seed=3,split=train,sentences=1"


def make() -> AnnotationEnv:
    return AnnotationEnv(DATA, "disc", max_steps=3)


def test_gymnasium() -> None:
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    from segagent.envs.gymnasium_env import FINISH, POSITIVE, GymnasiumEnv

    env = GymnasiumEnv(make(), side=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_env(env)
    seen, info = env.reset(options={"index": 2})
    assert info["text"] == seen["text"] == env.env.questions[2].text
    seen, reward, terminated, truncated, _ = env.step({"kind": POSITIVE, "point": [0.5, 0.5]})
    assert (terminated, truncated) == (False, False)
    assert seen["mask"].any()
    assert reward == pytest.approx(env.env.iou)
    assert env.step({"kind": FINISH, "point": [0, 0]})[2]
    assert isinstance(env, gymnasium.Env)


def test_the_tools_of_trl() -> None:
    from segagent.envs.trl_env import trl_environment, trl_rows

    made = trl_environment(DATA, "disc", reward="iou_gain", max_steps=3)
    env = made()
    row = trl_rows(make())[1]
    words, picture = env.reset(**row)
    assert env._env.questions[1].text in words["text"]
    assert picture["image"].size == (env._env.episode.image.width, env._env.episode.image.height)
    picture, words = env.click_object(x=20, y=20)
    assert words["text"].startswith("2 actions")
    assert np.array_equal(np.asarray(picture["image"]), env._turn.picture)
    assert env.get_reward() == pytest.approx(env._env.iou)
    assert "not possible" in env.click_background(x=10**6, y=0)[1]["text"]
    assert env.finish() == "finished"
    with pytest.raises(ValueError, match="over"):
        env.undo()
    other = made()
    assert other._env.dataset is env._env.dataset
    assert other._env.tool is env._env.tool


def test_trl_finds_the_tools() -> None:
    pytest.importorskip("transformers")
    from transformers.utils import get_json_schema

    from segagent.envs.trl_env import TrlEnvironment

    names = [name for name in vars(TrlEnvironment) if not name.startswith("_") and name not in ("reset", "get_reward")]
    schemas = [get_json_schema(getattr(TrlEnvironment, name)) for name in names]
    assert {one["function"]["name"] for one in schemas} == {"click_object", "click_background", "undo", "finish"}


def test_openenv_over_a_web_socket() -> None:
    pytest.importorskip("openenv.core")
    import threading

    import uvicorn

    from segagent.envs.openenv_env import OpenEnvClient, ReplyAction, openenv_app

    server = uvicorn.Server(uvicorn.Config(openenv_app(make), port=0, log_level="error", ws="auto"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with OpenEnvClient(base_url=f"http://127.0.0.1:{port}").sync() as client:
            result = client.reset(index=1)
            assert make().questions[1].text in result.observation.prompt
            result = client.step(ReplyAction(reply="Positive point: (20, 20)"))
            assert not result.done
            assert result.reward is not None
            assert client.state().step_count == 1
            result = client.step(ReplyAction(reply="Finish"))
            assert result.done
        program = str(Path(sys.executable).with_name("openenv"))
        command = [program, "validate", f"http://127.0.0.1:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert json.loads(done.stdout)["passed"], done.stdout
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.mark.filterwarnings("ignore")  # of the package's own
def test_inspect(tmp_path: Path) -> None:
    inspect_ai = pytest.importorskip("inspect_ai")
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    from segagent.envs.inspect_task import inspect_task

    reply = ModelOutput.from_content("mockllm", "Positive point: (20, 20)")
    # Told here, because counting them loads a tokenizer from the network.
    reply.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    model = get_model("mockllm/model", custom_outputs=[reply] * 6)
    (log,) = inspect_ai.eval(
        inspect_task(make(), limit=2),
        model=model,
        display="none",
        log_dir=str(tmp_path),
        log_samples=True,
    )
    assert log.status == "success", log.error
    env = make()
    for sample in log.samples:
        env.reset(int(sample.id))
        for _ in range(3):
            env.act("Positive point: (20, 20)")
        assert sample.scores["iou_scorer"].value == pytest.approx(env.iou)
        assert sample.scores["iou_scorer"].metadata["actions"] == 3


@pytest.mark.slow  # Its chat runs in an environment that the package makes by uv.
def test_verifiers(tmp_path: Path) -> None:
    pytest.importorskip("verifiers.v1")
    sys.path.append(str(Path(__file__).parents[1] / "policies" / "openai"))
    from loopback import Scripted

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        *_, asked = body["messages"]
        assert [part["type"] for part in asked["content"]] == ["image_url", "text"]
        told = "Positive point: (20, 20)" if len(body["messages"]) < 3 else "Finish"
        common = {"id": "x", "created": 1, "model": "m", "object": "chat.completion.chunk"}
        choices = [
            {"index": 0, "delta": {"role": "assistant", "content": told}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        lines = [*(json.dumps({**common, "choices": [one]}) for one in choices), "[DONE]"]
        return 200, {"content-type": "text/event-stream"}, "".join(f"data: {one}\n\n" for one in lines).encode()

    with Scripted(answer) as server:
        command = [
            *(str(Path(sys.executable).with_name("vf-eval")), "segagent-clicks", "-m", "m", "-n", "2"),
            *("--no-push", "--no-rich", "-o", str(tmp_path), "--client.base-url", server.url),
            *("--client.api-key-var", "A_KEY", "--env.taskset.steps", "3"),
            *("--env.taskset.data", DATA, "--env.taskset.tool", "disc"),
        ]
        paths = {
            "PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(EXAMPLES.parent / "src")]),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        environment = {**os.environ, **paths, "A_KEY": "x"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("*/traces.jsonl")
    env = make()
    episodes = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(one["task"]["data"]["index"] for one in episodes) == [0, 1]
    for episode in episodes:
        (trace,) = episode["traces"]
        assert episode["ok"], trace["errors"]
        env.reset(episode["task"]["data"]["index"])
        earned = sum(env.act(reply).reward for reply in ("Positive point: (20, 20)", "Finish"))
        assert trace["rewards"]["episode_reward"]["score"] == pytest.approx(earned)
        assert trace["metrics"] == {"iou": pytest.approx(env.iou), "actions": 2.0}
