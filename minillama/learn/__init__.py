"""Exercises that say what is wrong, and models that run on the learner's own functions.

    minillama learn start my-llama      the terminal
    from minillama.learn import check   a notebook: check("rope_interleaved", my_function)

exercise.py says what an exercise is; the exercises themselves are in chapters/, one file a
chapter of the book. checking.py runs a function on many shapes, compare.py compares, geometry.py
describes what is wrong, report.py shows it.
"""

from .notebook import check

__all__ = ["check"]
