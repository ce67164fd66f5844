"""HLMAT as a benchmark: one card of figures for a policy with a tool, and leaderboards of cards.

``protocol`` says what is played, ``run`` plays it, ``abilities`` and ``measuring`` make figures of what was stored,
``figures`` defines them, ``reading`` checks cards that come from elsewhere, ``pages`` and ``leaderboard`` show them.
"""
