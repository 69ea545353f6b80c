"""What is wrong with a function: run it on many shapes, compare, name the known mistake, else say what the numbers say.

`check.py` goes through the shapes, `trials.py` runs and remembers cases, `compare.py` compares results. `naming.py`
finds the known mistake, or one of several at once (`merging.py`, `ties.py`). Where none fits, `geometry.py`,
`relations.py` and `sequences.py` describe a difference as a `statement.py`, which every failing case has to confirm.
`explain.py` chooses the one case that a report is about, `shown.py` shows its numbers, `heat_map.py` shows where it is
wrong, `exceptions.py` and `broadcasting.py` explain what was raised, `calls.py` finds what one call cannot show,
`report.py` puts it on a screen.
"""
