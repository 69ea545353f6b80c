"""The steps of the recipe in their order.

Each is a few lines of glue: what is learned is said in the stage's own folder.

    stories -> sft -> verified                              a model that follows requests
    -> preferences -> reward-helpful, reward-safety         what is better, and what is safe
    -> distillation -> ppo -> ghost-attention               safe, helpful, and faithful to its first message
    -> chat -> report                                       the model as a file, and what became of it
"""

from .order import steps_of

__all__ = ["steps_of"]
