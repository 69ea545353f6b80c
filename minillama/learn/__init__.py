"""Exercises that say what is wrong, and models that run on the learner's own functions.

    minillama learn start my-llama      the terminal
    from minillama.learn import check   a notebook: check("rope_interleaved", my_function)

exercise.py says what an exercise is, chapters/ has them, a file each, and catalogue.py finds them. diagnosis/
says what is wrong with a function, workspace/ keeps the learner's folder and checks what is in it in
another process. texts.py makes starters and solutions, own_model.py runs a model on the learner's functions.
"""

from .notebook import check

__all__ = ["check"]
