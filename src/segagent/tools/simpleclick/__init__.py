"""SimpleClick (Liu et al., ICCV 2023) behind the tool interface: our own network that reads the published weights."""

from segagent.tools.simpleclick.layout import Layout
from segagent.tools.simpleclick.network import SimpleClickNetwork
from segagent.tools.simpleclick.tool import SimpleClickMemory, SimpleClickTool, make_simpleclick

__all__ = ["Layout", "SimpleClickMemory", "SimpleClickNetwork", "SimpleClickTool", "make_simpleclick"]
