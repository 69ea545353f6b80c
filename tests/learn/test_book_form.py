"""What a program can judge of the book: its form, its pictures, and that no answer stands before its question."""

import base64
import io
import re

import nbformat
import numpy as np
import pytest
from building import executing, form, giveaways, outputs, sources
from PIL import Image

from minillama.learn.book import claim, draw_arrows, label, live, show
from minillama.learn.book.toy import AXES, SENTENCE, VECTORS, WORDS
from minillama.learn.chapters.catalogue import catalogue, chapter_packages
from minillama.learn.course import course, reading_minutes

CHAPTERS = sources.chapters()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_the_form(path):
    assert list(form.complaints(path)) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_answer_stands_before_its_question(path):
    assert list(giveaways.given_away(path)) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_notebook_is_built_from_its_source(path):
    stored, source = nbformat.read(path.with_suffix(".ipynb"), 4), sources.read_source(path)
    cells = [
        [(cell.cell_type, cell.source.strip(), dict(cell.metadata)) for cell in book.cells] for book in (stored, source)
    ]
    assert cells[0] == cells[1], f"python notebooks/build.py {path.name[:2]}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_stored_picture_says_what_is_seen(path):
    stored = nbformat.read(path.with_suffix(".ipynb"), 4)
    assert list(form.complaints_of_outputs(stored, {})) == []
    assert any(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in stored.cells)
    assert any(cell.metadata.get("jupyter", {}).get("outputs_hidden") for cell in stored.cells)


# --- the rules themselves -------------------------------------------------------------------


def chapter(tmp_path, code, name="06_made.py"):
    path = tmp_path / name
    path.write_text(f"# %%\nimport numpy as np\n\n{code}", encoding="utf-8")
    return path


MASK = "def who(p, n):\n    return np.arange(n) <= p[:, None]\n"


def test_an_answer_is_found_whatever_its_name(tmp_path):
    assert any("who passes causal_mask" in text for text in giveaways.given_away(chapter(tmp_path, MASK)))
    lines = MASK.splitlines()
    lambda_ = f"who = lambda p, n: {lines[1].split('return ')[1]}\n"
    assert any("who passes causal_mask" in text for text in giveaways.given_away(chapter(tmp_path, lambda_)))
    inner = "def make(late=0):\n    def who(p, n):\n        return np.arange(n) <= p[:, None] + late\n    return who\n"
    assert any("what make() returns passes causal" in text for text in giveaways.given_away(chapter(tmp_path, inner)))


def test_a_folded_answer_a_wrong_one_and_a_call_of_the_readers_are_no_answers(tmp_path):
    folded = f'\n# %% tags=["solution"]\n{MASK}'
    wrong = MASK.replace("<=", "<")
    call = 'causal_mask = now_you("causal_mask")\n\ndef late(p, n):\n    return causal_mask(p, n)\n'
    for code in (folded, wrong):
        assert list(giveaways.given_away(chapter(tmp_path, code))) == []
    found = list(giveaways.given_away(chapter(tmp_path, call)))
    assert not any("causal_mask:" in text for text in found)


def test_an_unknown_tag_is_refused(tmp_path):
    path = tmp_path / "06_made.py"
    path.write_text('# %% tags=["hidden"]\nx = 1\n')
    with pytest.raises(ValueError, match="tag 'hidden' is not one of"):
        sources.read_source(path)


def test_rules_find_what_is_missing(tmp_path):
    drawing = 'figure, axis = plt.subplots()\naxis.set_title("All is well")\nplt.show()\n'
    found = "\n".join(form.complaints(chapter(tmp_path, drawing)))
    for words in ("is not folded", "without a text", "sets a title by itself", "three", "never asks for causal_mask"):
        assert words in found
    constant = '\n# %% tags=["hide-input"]\nclaim(axis, "All is well", holds=True)\n'
    assert "without computing that it holds" in "\n".join(form.complaints(chapter(tmp_path, constant)))


@pytest.mark.parametrize(
    ("was", "now", "differs"),
    [
        ("loss 3.81", "loss 3.82", False),  # one unit of the last digit
        ("loss 3.81", "loss 3.95", True),
        ("24 of 30 layers", "23 of 30 layers", True),  # counted: exact
        ("1,234 tokens", "1,240 tokens", False),
        ("reached at 83.12.7.200", "reached at 83.12.7.200", False),  # an address is no number
        ("reached at 83.12.7.200", "reached at 83.12.7.201", True),
        ("one head: largest error 5.8e-08, allowed 1e-05", "one head: largest error 9.9e-06, allowed 1e-05", False),
        ("the same", "other words", True),
        ("[0.72 0.28]", "[0.72 nan]", True),
    ],
)
def test_texts_are_compared_within_the_tolerance(was, now, differs):
    assert bool(outputs.text_differs(was, now)) is differs


def picture(array):
    file = io.BytesIO()
    Image.fromarray((255 * array).astype(np.uint8)).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def test_a_stale_heat_map_is_found_and_noise_is_not(rng):
    heat = np.kron(rng.random((10, 10)), np.ones((40, 40)))
    noisy = np.clip(heat + 0.02 * rng.normal(size=heat.shape), 0, 1)
    other = heat.copy()
    other[40:80, 40:120] = 1 - other[40:80, 40:120].round()
    assert outputs.picture_differs(picture(heat), picture(noisy)) == ""
    assert "of its points" in outputs.picture_differs(picture(heat), picture(other))
    assert "times as wide" in outputs.picture_differs(picture(heat), picture(heat[:200]))


def test_stale_names_the_cell_and_leaves_out_what_varies():
    def book(text, tags=()):
        cell = nbformat.v4.new_code_cell("print(1)", metadata={"tags": list(tags)})
        cell.outputs = [nbformat.v4.new_output("stream", text=text)]
        return nbformat.v4.new_notebook(cells=[cell])

    assert list(outputs.stale(book("1.0 ms"), book("2.0 ms"))) == [
        "cell 0 stores another text than today's: 1.0, now 2.0"
    ]
    assert list(outputs.stale(book("1.0 ms", ["varies"]), book("2.0 ms", ["varies"]))) == []


def test_neighbouring_texts_of_a_cell_are_joined_and_their_order_stays():
    printed = [("stdout", "a\n"), ("stdout", "b\n"), ("stderr", "c\n"), None, ("stdout", "d\n"), ("stdout", "e\n")]
    made = [
        nbformat.v4.new_output("stream", name=text[0], text=text[1]) if text else nbformat.v4.new_output("display_data")
        for text in printed
    ]
    found = [(output.get("name"), output.get("text")) for output in executing.joined(made)]
    assert found == [("stdout", "a\nb\n"), ("stderr", "c\n"), (None, None), ("stdout", "d\ne\n")]


def test_a_slow_cell_has_to_say_so():
    cells = [nbformat.v4.new_markdown_cell("Training."), nbformat.v4.new_code_cell("train()")]
    book = nbformat.v4.new_notebook(cells=cells)
    assert any("nobody says so" in text for text in form.complaints_of_outputs(book, {1: 20.0}))
    cells[0].source = "Training takes about 20 seconds."
    assert not any("nobody says so" in text for text in form.complaints_of_outputs(book, {1: 20.0}))


@pytest.mark.parametrize("kind", ["image/png", "image/svg+xml"])
def test_a_picture_of_either_kind_needs_a_text(kind):
    cell = nbformat.v4.new_code_cell("show()")
    cell.outputs = [nbformat.v4.new_output("display_data", {kind: "…"}, metadata={kind: {"alt": "a picture"}})] * 2
    found = list(form.complaints_of_outputs(nbformat.v4.new_notebook(cells=[cell]), {}))
    assert found == ["cell 0 has a picture without a text for who does not see it: show(figure, alt)"] * 2


def test_a_term_inside_a_displayed_formula_is_no_first_use(tmp_path):
    formula = "# %% [markdown]\n# $$ \\text{query} $$\n#\n# then the [query](glossary.md#query) is explained\n"
    found = "\n".join(form.complaints(chapter(tmp_path, formula)))
    assert "uses 'query'" not in found
    plain = formula.replace("$$ \\text{query} $$", "the query")
    assert "uses 'query'" in "\n".join(form.complaints(chapter(tmp_path, plain)))


# --- glossary, symbols, map -----------------------------------------------------------------


def test_the_glossary_has_every_term_once_with_its_korean():
    text = (sources.HERE / "glossary.md").read_text(encoding="utf-8")
    entries = form.glossary()
    assert len(entries) == text.count('<a id="') == len({term.lower() for term, _, _, _ in entries.values()}) > 50
    terms = [term.lower() for term, _, _, _ in entries.values()]
    assert terms == sorted(terms)
    for anchor, (term, korean, number, words) in entries.items():
        assert re.search("[가-힣]", korean) or korean == term, f"{anchor} has neither a Korean term nor the English one"
        assert number in {path.name[:2] for path in CHAPTERS}
        assert words.endswith("."), term


def test_a_symbol_means_one_thing():
    text = (sources.HERE / "symbols.md").read_text(encoding="utf-8")
    symbols = [s for row in re.findall(r"^\| (\$.+?) \|", text, re.MULTILINE) for s in re.findall(r"\$(.+?)\$", row)]
    symbols = [part.strip() for symbol in symbols for part in symbol.split(",")]
    assert len(symbols) == len(set(symbols)) > 20


@pytest.mark.parametrize("name", ["README.md", "glossary.md", "symbols.md"])
def test_links_of_the_pages_beside_the_chapters_lead_somewhere(name):
    text = (sources.HERE / name).read_text(encoding="utf-8")
    for _, target in form.LINK.findall(text):
        assert "://" in target or (sources.HERE / target.partition("#")[0]).exists(), target


def test_the_core_path_is_about_half_and_stands_on_what_came_before():
    n_core = 0
    numbers = []
    for package in chapter_packages():
        assert set(package.CORE) <= set(package.EXERCISES)
        assert set(package.NEEDS) <= set(numbers)
        n_core += len(package.CORE)
        numbers.append(package.__name__.rpartition(".ch")[2][:2])
    assert 0.4 <= n_core / len(catalogue()) <= 0.6


def test_times_are_those_of_the_exercises_and_of_the_text():
    chapters = {chapter.number: chapter for chapter in course(sources.HERE)}
    minutes = [exercise.minutes for exercise in catalogue().values() if exercise.chapter == "06"]
    assert chapters["06"].exercises == sum(minutes)
    words = "word " * 1800  # ten minutes
    assert reading_minutes(f"# %% [markdown]\n# {words}\n") == 10
    assert reading_minutes(f'# %% [markdown]\n# {words}\n# %% tags=["solution"]\n' + "x = 1\n" * 300) == 10
    assert reading_minutes(f"# %% [markdown]\n# {words}\n# %%\n" + "x = 1\n" * 150) == 20


# --- pictures, toy, live --------------------------------------------------------------------


@pytest.fixture
def figure():
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure()
    yield figure
    plt.close(figure)


def test_a_title_that_does_not_hold_is_refused(figure):
    axis = figure.subplots()
    claim(axis, "Two is more than one", holds=np.bool_(2 > 1))
    assert axis.get_title() == "Two is more than one"
    with pytest.raises(AssertionError, match="does not show what its title says: One is more"):
        claim(axis, "One is more than two", holds=1 > 2)
    label(figure, "Numbers")
    assert figure.get_suptitle() == "Numbers"


def test_a_picture_carries_a_text_that_says_what_is_seen(figure, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    with pytest.raises(ValueError, match="says what is seen"):
        show(figure, "a picture")
    alt = "An empty figure: no axes, no lines, only the paper."
    show(figure, alt)
    ((data, options),) = shown
    assert data["text/plain"] == options["metadata"]["image/png"]["alt"] == alt
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_arrows_have_equal_axes_and_room(figure):
    axis = figure.subplots()
    draw_arrows(axis, dict(zip(WORDS, VECTORS)))
    assert axis.get_aspect() == 1
    assert (axis.get_xlabel(), axis.get_ylabel()) == AXES
    assert axis.get_xlim()[1] > 1
    assert axis.get_ylim()[1] > 1
    assert all(word in SENTENCE for word in WORDS)
    with pytest.raises(ValueError, match="read-only"):
        VECTORS[0] = 2


def test_a_live_picture_is_drawn_once_while_the_book_is_built(monkeypatch):
    drawn = []
    draw = lambda layer, name: drawn.append((layer, name))
    controls = {"layer": (range(30), 3), "name": (("a", "b"), "b")}
    monkeypatch.setenv("MINILLAMA_BOOK", "unsolved")
    assert live(draw, **controls) is None
    assert drawn == [(3, "b")]
    monkeypatch.delenv("MINILLAMA_BOOK")
    monkeypatch.setattr("minillama.learn.book.controls._in_a_notebook", lambda: True)
    box = live(draw, **controls)
    assert drawn[-1] == (3, "b")
    box.children[0].value = 7
    box.children[1].value = "a"
    assert drawn[-2:] == [(7, "b"), (7, "a")]
