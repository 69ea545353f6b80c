"""Sphinx's settings for the web edition; everything on a page comes from this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.search import languages

import minillama

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
languages["en"] = "web.korean_search.SearchEnglishAndKorean"

project, author, copyright = "minillama", "minillama", "minillama"
version = release = minillama.__version__
root_doc, language = "index", "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "web.docstrings",
    "web.mathml",
    "web.language",
]
exclude_patterns = ["**.ipynb_checkpoints"]

nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
napoleon_google_docstring = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings give shapes and dtypes

html_theme = "sphinx_book_theme"
html_title = "minillama"
html_math_renderer = "mathml"
html_static_path = [str(HERE / "static")]
html_css_files = ["web.css"]
html_js_files = ["web.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search is in the sidebar
}
html_context = {"default_mode": "auto"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
