"""How far a score can be trusted: pure functions on arrays, which know nothing of tasks or models.

intervals.py      the interval of a score: Wilson for shares, bootstrap for everything else
"""
