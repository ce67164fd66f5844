"""Label Studio's machine learning backend, within ``segagent serve``."""
