"""The web edition as a browser shows it: without a network, on a desktop and a telephone, by day and by night."""

import json
import re

import pytest
from markdown_it import MarkdownIt

from minillama.learn.chapters.catalogue import catalogue, chapter_packages
from minillama.learn.chapters.texts import file_name

from .conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TELEPHONE, DESKTOP = {"width": 420, "height": 900}, {"width": 1200, "height": 900}
CHAPTERS = [file_name(package).removesuffix(".py") for package in chapter_packages()]
# Of axe-core's rules those that ask for a text or a way by keyboard; contrast takes long, and has a test of its own.
RULES = [
    *("image-alt", "svg-img-alt", "scrollable-region-focusable", "link-name", "button-name", "summary-name"),
    *("html-has-lang", "html-lang-valid", "valid-lang", "document-title", "duplicate-id-aria", "label"),
    *("list", "listitem", "aria-valid-attr-value"),
]


@pytest.fixture(scope="module")
def visit(chromium, site):
    """Open a page: the page, what it complained of, and what it asked other hosts for."""
    opened = []

    def visit(name, size=DESKTOP, scheme="light"):
        context = chromium.new_context(viewport=size, color_scheme=scheme)
        page = context.new_page()
        opened.append(context)
        complaints, requests = [], []
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: requests.append(asked.url))
        page.goto(f"{site.folder.as_uri()}/{name}")
        elsewhere = [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
        return page, complaints, elsewhere

    yield visit
    for context in opened:
        context.close()


def violations(page, **options):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options={"preload": False, "resultTypes": ["violations"], **options}).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found]


def test_the_pages_are_small_and_soon_built(site):
    size = sum(path.stat().st_size for path in site.folder.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB, {site.seconds:.0f} s of CPU")
    assert size < 40e6
    assert site.seconds < 120


def test_there_is_a_page_for_everything(pages):
    for chapter in CHAPTERS:
        assert f"notebooks/{chapter}.html" in pages
        assert f"exercises/{chapter}.html" in pages
    assert {"index.html", "notebooks/glossary.html", "notebooks/symbols.html", "api/rmsnorm.html"} <= set(pages)


def test_every_page_loads_whole_fits_a_telephone_and_is_for_everybody(visit, pages):
    """No error, no other host, no picture missing, nothing wider than the page; a text and a key for everything."""
    for name in pages:
        page, complaints, elsewhere = visit(name, TELEPHONE)
        page.wait_for_load_state("load")
        assert not complaints, f"{name}: {complaints}"
        assert not elsewhere, f"{name}: {elsewhere}"
        pictures = page.eval_on_selector_all("article img", "found => found.map(i => [i.src, i.naturalWidth, i.alt])")
        for source, width, text in pictures:
            assert width > 0, f"{name}: {source} is not shown"
            assert text, f"{name}: {source} has no text for who does not see it"
            assert "/site/" not in text  # the renderer's stand-in for a missing text is the picture's path
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= TELEPHONE["width"], f"{name} is {width} pixels wide"
        assert violations(page, runOnly=RULES) == [], name
        page.context.close()


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_formula_is_drawn(visit, chapter):
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)
    notebook = json.loads((ROOT / "notebooks" / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    tokens = [token for text in texts for part in parser.parse(text) for token in (part, *(part.children or []))]
    expected = sum(token.type.startswith("math_") for token in tokens)
    page, _, _ = visit(f"notebooks/{chapter}.html")
    drawn = page.eval_on_selector_all("article math", "found => found.map(m => m.textContent)")
    assert len(drawn) == expected
    assert not [text for text in drawn if "\\" in text or not text.strip()]


@pytest.mark.parametrize(
    ("word", "where"), [("RoPE", "05 · RoPE"), ("어텐션", "Glossary"), ("swiglu_forward", "SwiGLU")]
)
def test_search_finds(visit, word, where):
    page, _, _ = visit(f"search.html?q={word}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_timeout(500)  # results come one after the other
    titles = page.eval_on_selector_all("#search-results li a", "found => found.map(a => a.textContent)")
    assert any(where in title for title in titles), titles


def test_the_first_page_is_there_within_a_second(visit):
    times = []
    for _ in range(3):
        page, _, _ = visit("index.html")
        timing = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        times.append(page.evaluate(timing))
    print(f"{min(times):.0f} ms")
    assert min(times) < 1000


def test_answers_are_folded_until_they_are_asked_for(visit):
    page, _, _ = visit("notebooks/06_attention.html")
    folded = page.locator("article details").first
    inside = folded.locator(":scope > :not(summary)").first
    assert not inside.is_visible()
    folded.locator("summary").click()
    assert inside.is_visible()
    assert page.locator("article details").count() > 20
    assert page.locator("button.copybtn").count() > 20


def test_a_reader_can_go_through_the_book(visit):
    page, _, _ = visit(f"notebooks/{CHAPTERS[0]}.html")
    seen = []
    for _ in CHAPTERS[1:]:
        page.click("a.right-next")
        seen.append(re.search(r"notebooks/(\w+)\.html", page.url)[1])
    assert seen == CHAPTERS[1:]


def test_exercises_are_contracts_without_answers(site):
    for id, exercise in catalogue().items():
        text = (site.folder / "exercises" / f"{CHAPTERS[int(exercise.chapter)]}.html").read_text(encoding="utf-8")
        assert id in text
    assert "np.sqrt(" not in (site.folder / "exercises" / "04_rmsnorm.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["index.html", "notebooks/00_first_words.html", "exercises/05_rope.html", "api/rope.html", "search.html"]
)
def test_texts_stand_out_by_day_and_by_night(visit, name, scheme):
    page, _, _ = visit(name, scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert violations(page, runOnly=["color-contrast"]) == []
