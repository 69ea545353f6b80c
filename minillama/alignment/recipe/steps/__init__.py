"""The steps of the recipe in their order.

Each is a few lines of glue: what is learned is said in the stage's own folder.

    stories -> sft -> verified                              a model that follows requests
    -> preferences -> reward-helpful, reward-safety         what is better, and what is safe
    -> distillation                                         kind where somebody would be hurt
    -> rejection-1 -> preferences-2 -> reward-…-2 …         the best of K answers; pairs and rewards of what came of it
    -> ppo -> ghost-attention                               better still, and faithful to its first message
    -> chat -> report                                       the model as a file, and what became of it
"""

from .order import steps_of

__all__ = ["steps_of"]
