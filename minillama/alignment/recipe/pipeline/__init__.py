"""Steps one after the other, each in a folder of its own, that a killed process takes up again.

    RUN/recipe.toml                 the settings, fixed when the run begins
    RUN/03-reward-helpful/          what step 3 makes; `Context` says how
    RUN/03-reward-helpful/done.json    written last: the step is over, this is what it found and took

A step is a function of its settings and of the folders of earlier steps. Whatever it was doing when the process died
is left under a name with a dot, in a journal, or in a checkpoint of a training run, so that doing the step again
gives what it would have given undisturbed. The pipeline knows nothing about what is learned.
"""

from .clock import Spent
from .context import TRAINING, Context, Observer, Stopped
from .folder import RecipeFolder
from .over import made_steps
from .run import Ended, last_step, run_pipeline
from .step import Step

__all__ = [
    "TRAINING",
    "Context",
    "Ended",
    "Observer",
    "RecipeFolder",
    "Spent",
    "Step",
    "Stopped",
    "last_step",
    "made_steps",
    "run_pipeline",
]
