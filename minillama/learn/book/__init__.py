"""What every chapter of the book uses.

comparing.py compares numbers and says how far they are apart; pictures.py draws, with equal axes and a text for who
does not see; controls.py lets a reader move something; toy.py has the three words that every chapter computes with;
readers_function.py takes the reader's function where it passes, and the book's where it does not. small_world.py is
what chapters 16 to 18 can sum over; stages.py loads what alignment's stages left behind.
"""

from .comparing import largest_error, load, show_error, table, torch
from .controls import live
from .pictures import COLOURS, claim, draw_arrows, label, show, style
from .readers_function import now_you

__all__ = [
    "COLOURS",
    "claim",
    "draw_arrows",
    "label",
    "largest_error",
    "live",
    "load",
    "now_you",
    "show",
    "show_error",
    "style",
    "table",
    "torch",
]
