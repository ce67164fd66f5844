from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest

from segagent.conformance.policies import MakePolicy, PolicyConformance, observation
from segagent.core import Click, Finish, InvalidAction, SpecError
from segagent.policies import ScriptedPolicy, make_policy
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.policy import EmbeddedPolicy


class TestCentre(PolicyConformance):
    @pytest.fixture
    def make_policy(self) -> MakePolicy:
        return partial(make_policy, "centre")


class TestScripted(PolicyConformance):
    @pytest.fixture
    def make_policy(self) -> MakePolicy:
        return lambda: ScriptedPolicy(["Current IoU: 3. Positive point: (0, 0)", "Finish"])


class TestEmbedded(PolicyConformance):
    @pytest.fixture
    def make_policy(self, untrained: PolicyNetwork) -> MakePolicy:
        return partial(EmbeddedPolicy, untrained)


def test_centre_clicks_once() -> None:
    policy = make_policy("centre")
    assert policy.propose([observation(30, 50, "mug", covered=0.0)])[0][0].action == Click(25, 15, True)
    assert policy.propose([observation(30, 50, "mug", covered=0.3)])[0][0].action == Finish()


def test_scripted_recites_and_then_finishes() -> None:
    policy = ScriptedPolicy([Click(1, 2, False), "gibberish"])
    said = [policy.propose([observation(30, 50, "mug")])[0][0].action for _ in range(3)]
    assert said[0] == Click(1, 2, False)
    assert isinstance(said[1], InvalidAction)
    assert said[2] == Finish()
    assert policy.calls == 3


@pytest.mark.parametrize("spec", ["", "nobody", "hf", "gpt:4", "Embedded"])
def test_unknown_specifications_say_what_is_known(spec: str) -> None:
    with pytest.raises(SpecError, match="centre, embedded"):
        make_policy(spec)


def test_torch_is_loaded_only_when_needed() -> None:
    code = "import sys, segagent.policies as p; p.make_policy('centre'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
