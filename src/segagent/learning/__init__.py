"""How the models are trained: examples from trajectories, and the recipes of the embedded models."""
