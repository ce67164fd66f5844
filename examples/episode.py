"""One episode by hand: a policy clicks, a tool segments, until the policy says that it is done."""

from segagent.core import Finish
from segagent.datasets import open_dataset
from segagent.environment import Episode, Target, observe, reset, step
from segagent.policies import make_policy
from segagent.tools import make_tool

policy, tool = make_policy("embedded"), make_tool("embedded")
sample = next(iter(open_dataset("scenes:1:split=test,sentences=1")))
episode, target = Episode(sample.load_image(), sample.text), Target(*sample.load_target())
(embedding,) = tool.embed([episode.image])
(state,) = reset([episode], [embedding], tool)
print(f"{episode.text!r} in a picture of {episode.image.width} x {episode.image.height} pixels")
for number in range(1, 8):
    ((proposal,),) = policy.propose([observe(episode, state)])  # It sees picture, words and mask, never the target.
    print(f"{number}: {proposal.text}   (true IoU of the mask it looks at: {target.reward(state):.2f})")
    if isinstance(proposal.action, Finish):
        break
    state = step(embedding, state, proposal.action, tool)
