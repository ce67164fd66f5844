"""``/v1/runs``: data sets annotated, refined and audited for clients, on the machinery that the commands use."""
