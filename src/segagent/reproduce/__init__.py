"""The paper's experiments in miniature: :func:`segagent.reproduce.run.reproduce_miniature`."""
