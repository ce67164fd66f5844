"""X-AnyLabeling's remote server, within ``segagent serve``."""
