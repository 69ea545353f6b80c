"""The steps of the recipe in their order: those of the world of stories.

Each is a few lines of glue: what is learned is said in the stage's own folder. world.py says what the steps take from
the world that they are about, story.py is that of stories; people/ beside this folder is another.

    stories -> sft -> verified -> verified-2 …              a model that follows requests
    -> preferences -> reward-helpful, reward-safety         what is better, and what is safe
    -> distillation                                         kind where somebody would be hurt
    -> rejection-1 -> rejection-2 …                         the best of K answers
    -> preferences-2 -> reward-helpful-2, reward-safety-2   pairs and rewards of what came of it
    -> ppo -> ghost-attention                               better still, and faithful to its first message
    -> chat -> report                                       the model as a file, and what became of it
"""
