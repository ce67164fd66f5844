"""Training recipes of the embedded policy."""
