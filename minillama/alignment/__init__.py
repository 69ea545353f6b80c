"""How a language model becomes a chat model: LLaMA 2's section 3, every stage an objective of the one trainer.

models/             a model that chats, and what it is asked
conversations/      whose each token is, and what is learned of it: the only source of every mask
rollouts/           sampled answers
sft.py              fine-tuning on answers, over a list or over what is drawn anew (example_sources.py)
story_world/        a small world in which all of it has ground truth
preferences/        which of two answers somebody prefers
reward/             which of two answers is better, as a number for each
ppo/                a policy that maximises what reward models say
ghost_attention/    an instruction of the first message holds to the end
safety/             context distillation, the gate, and what safety costs (section 4)
safety/             context distillation, the gate, and what safety costs (section 4)
ppo/                a policy that maximises what reward models say
ghost_attention/    an instruction of the first message holds to the end
recipe/             all of it in a row, from a base model to one that chats, with a report card
"""
