"""Ghost Attention: an instruction of the first message holds to the end of a dialogue (LLaMA 2 section 3.3).

instructions.py   facts and styles that a program can check, combined at random; lists.py: written by a chat model
scenes.py         an instruction and what a user says after it
talks.py          conversations side by side, each in a cache of its own
synthesis.py      the model answers with the instruction before its eyes; journal.py keeps what is done
examples.py       the instruction is taken away but for the first message; which answers are learned
stage.py          fine-tuning on that
retention.py      the paper's test at turns 2, 4, 6, 10 and 20; tables.py counts it
attention.py      what every turn looks at in the system message; picture.py: figure 10
context.py        how long a dialogue may be
"""

from .attention import SystemAttention, system_attention
from .context import check_fits, length_notes, with_larger_theta, with_scaled_rope
from .examples import conversation_of_ghost, examples_of
from .instructions import (
    Instruction,
    Mixture,
    Pools,
    Trait,
    ending,
    ends_with,
    figure,
    hobby,
    names,
    split_pools,
    starts_with,
)
from .lists import chat_model_lists, list_items
from .picture import draw_attention
from .retention import TURNS, Reply, RetentionSettings, draw_tests, measure_retention
from .scenes import Scene, SceneShape, Turn, draw_scenes, filler_from
from .stage import PAPER, SMOLLM2, STORY, GhostAttention, GhostAttentionSettings, run_ghost_attention
from .synthesis import Ghost, SynthesisSettings, obeys, synthesise
from .tables import RetentionRow, Share, retention_rows, retention_table

__all__ = [
    "PAPER",
    "SMOLLM2",
    "STORY",
    "TURNS",
    "Ghost",
    "GhostAttention",
    "GhostAttentionSettings",
    "Instruction",
    "Mixture",
    "Pools",
    "Reply",
    "RetentionRow",
    "RetentionSettings",
    "Scene",
    "SceneShape",
    "Share",
    "SynthesisSettings",
    "SystemAttention",
    "Trait",
    "Turn",
    "chat_model_lists",
    "check_fits",
    "conversation_of_ghost",
    "draw_attention",
    "draw_scenes",
    "draw_tests",
    "ending",
    "ends_with",
    "examples_of",
    "figure",
    "filler_from",
    "hobby",
    "length_notes",
    "list_items",
    "measure_retention",
    "names",
    "obeys",
    "retention_rows",
    "retention_table",
    "run_ghost_attention",
    "split_pools",
    "starts_with",
    "synthesise",
    "system_attention",
    "with_larger_theta",
    "with_scaled_rope",
]
