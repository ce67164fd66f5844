"""Self-training, the process reward model and search where the test scenes are harder than D_0."""
