"""The report card of a run: what each stage changed, as one HTML page that needs nothing else, and as Markdown.

card.json    everything that is shown (the step that samples and measures writes it)
blocks.py    card -> headings, tables, charts, quotations          charts.py    the drawings
page.py      blocks -> HTML and Markdown
"""

from .blocks import card_blocks
from .page import as_html, as_markdown

__all__ = ["as_html", "as_markdown", "card_blocks"]
