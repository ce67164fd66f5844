"""A loopback server that speaks the OpenAI chat-completions protocol around any policy."""
