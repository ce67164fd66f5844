"""``segagent mcp``: pictures annotated from within programs that speak the Model Context Protocol."""
