"""Training of the embedded click tool, from scratch: episodes of simulated clicks on photographs and scenes."""
