"""What is wrong with a function: run it on many shapes, compare, name the known mistake, else say what the numbers say.

`check.py` goes through the shapes, `trials.py` runs and remembers cases, `compare.py` compares results. `naming.py`
finds the known mistake, or one of several at once (`merging.py`, `ties.py`). Where none fits, `geometry.py`,
`relations.py`, `arguments.py` and `sequences.py` describe a difference as a `statement.py`, which every failing case
has to confirm; `causes.py` runs the function again: on other arguments (`probing.py`, `changes.py`, `dependence.py`)
and sizes (`cases.py`, `contents.py`), and asks which numbers are wrong (`elements.py`), within a `budget.py`.
`explain.py` chooses the one case that a report is about, `shown.py` shows its numbers, `heat_map.py` shows where it is
wrong, `exceptions.py` and `broadcasting.py` explain what was raised, `calls.py` finds what one call cannot show,
`form.py` what is of another shape, `report.py` puts it on a screen.
"""
