"""``segagent serve``: annotation over HTTP, for programs."""
