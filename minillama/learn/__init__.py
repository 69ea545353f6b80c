"""Exercises that say what is wrong, and models that run on the learner's own functions.

    minillama learn start my-llama      the terminal
    from minillama.learn import check   a notebook: check("rope_interleaved", my_function)
    from minillama.learn.book import now_you   a chapter: the reader's function where it passes, else the book's

exercises/ says what an exercise is, chapters/ has them, a file each, finds them by id and makes starters and
solutions of them. diagnosis/ says what is wrong with a function. workspace/ keeps the learner's folder, checks what is
in it in another process, runs and trains a model on it, and proves what capstones.py announces. book/ is what the
chapters use, course.py the map of the book, term.py its twelve weeks; sections.py finds the section about a mistake.
"""

from .notebook import check

__all__ = ["check"]
