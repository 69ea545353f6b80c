"""The Korean pages: one word for a term, one level of speech, the commands and numbers of the English ones."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from building import form
from korean_words import ALSO, ENDING_IN_A_CONSONANT, ENDING_IN_A_VOWEL, VARIANTS

from minillama.learn.chapters.catalogue import catalogue, chapter_packages
from minillama.learn.course import course

ROOT = Path(__file__).resolve().parents[1]
KOREAN = ROOT / "docs" / "ko"
PAGES = [ROOT / "README.ko.md", *sorted(KOREAN.glob("*.md"))]
CHAPTERS = course(ROOT / "notebooks")
README, README_KO = (ROOT / name for name in ("README.md", "README.ko.md"))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The page without code, formulas and addresses; what is quoted from English stays."""
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    text = re.sub(r"(?m)^ {4}.*$", "", text)
    text = re.sub(r"(?s)\$\$.*?\$\$", "", text)
    text = re.sub(r"\$[^$\n]*\$", "x", text)
    text = re.sub(r"(?m)^(<a id=[^>]*></a>.*|[*`].*)$", r"\1", text)
    text = re.sub(r"<a id=[^>]*></a>", "", text)
    return re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`]*`", "x", text))


def units(text: str) -> list[str]:
    """Headings, paragraphs, items, cells and the texts of pictures, a line each."""
    text = prose(text)
    found = re.findall(r"!\[([^\]]*)\]", text)
    text = re.sub(r"\[?!\[[^\]]*\]\]?", "", text)
    for paragraph in re.split(r"\n\s*\n", text):
        joined: list[str] = []
        for line in paragraph.strip().split("\n"):
            if line.startswith("|"):
                joined += [cell.strip() for cell in line.strip("|").split("|")]
            elif re.match(r"#|- |\*\*", line) or not joined or joined[-1].startswith("#") or " · " in joined[0][:60]:
                joined.append(re.sub(r"^(#+|-) ", "", line))
            else:
                joined[-1] += " " + line.strip()
        found += joined
    return [unit for unit in found if re.search("[가-힣]", unit)]


def sentences(unit: str) -> list[str]:
    plain = re.sub(r"“[^”]*”|\"[^\"]*\"|\([^()]*\)", "", unit)
    plain = re.sub(r"[*\[\]]", "", plain)
    return [s.strip() for s in re.split(r"(?<=[.?!])\s+", plain.strip()) if re.search("[가-힣]", s)]


def complaints_of_speech(text: str) -> list[str]:
    """Sentences in another level of speech than 합니다체, and other pieces that end like a sentence.

    What a page asks its reader may end in -까요?, as it does in books that are written in 합니다체.
    """
    found = []
    for unit in units(text):
        for sentence in sentences(unit):
            if sentence[-1] in ".?!":
                right = re.search(r"((니다|십시오|시다)\.|(니까|까요)\?)$", sentence)
            else:
                right = not re.search(r"((?<!니)다|[어아해에예네지까]요|죠)$", sentence)
            if not right:
                found.append(sentence)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_one_level_of_speech(page):
    assert complaints_of_speech(text_of(page)) == []


def test_another_level_of_speech_is_found():
    text = "# 제목\n\n모델이 답한다. 그렇습니다.\n\n- `x` · **이름** · 이렇게 해요.\n\n"
    text += "| 가 | 나온다 |\n\n“그렇다.”라고 합니다."
    assert complaints_of_speech(text) == ["모델이 답한다.", "x · 이름 · 이렇게 해요.", "나온다"]


# --- one word for a term --------------------------------------------------------------------


def korean_glossary() -> dict[str, tuple[str, str, str, str]]:
    """By anchor: Korean term, English term, chapter, definition."""
    entry = r'^<a id="ko-([^"]+)"></a>\*\*([^*]+)\*\*(?: · ([^\[]+?))? · \[(\d\d)\]\(\w+\.md\)\n(.+(?:\n.+)*)'
    found = re.findall(entry, text_of(KOREAN / "glossary.md"), re.M)
    return {a: (ko, en or ko, n, words) for a, ko, en, n, words in found}


def test_the_korean_glossary_has_every_term_with_the_form_of_the_english_one():
    english, korean = form.glossary(), korean_glossary()
    assert {a: (term, ko, n) for a, (term, ko, n, _) in english.items()} == {
        a: (term, ko, n) for a, (ko, term, n, _) in korean.items()
    }
    words = [ko for ko, *_ in korean.values()]
    assert words == sorted(words, key=lambda word: (not re.match("[가-힣]", word), word.lower()))


def test_a_term_has_one_form():
    for _, korean, _, _ in form.glossary().values():
        assert not re.search(r"[/,]|\((?![A-Za-z]{2,5}\)$)", korean), korean
    assert set(VARIANTS) == set(form.glossary())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_term_is_used_in_its_one_form(page):
    text = prose(text_of(page))
    for anchor, (_, korean, _, _) in form.glossary().items():
        plain = re.sub(r"\(.*", "", korean)
        joined = f"|{re.escape(plain.replace(' ', ''))}" if " " in plain else ""
        found = re.findall(VARIANTS[anchor] + joined, text)
        assert not found, f"{page.name}: {found} for {korean}"
    assert not re.findall(ALSO, text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_english_word_stands_beside_the_first_mention_only(page):
    text = prose(text_of(page))
    for term, *_ in form.glossary().values():
        assert len(re.findall(rf"\({re.escape(term)}[,)]", text)) <= 1, term


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_particles_fit_the_words_before_them(page):
    text = prose(text_of(page)).replace("*", "").replace('"', "")
    for words, particles in ((ENDING_IN_A_CONSONANT, "는|가|를|와|로"), (ENDING_IN_A_VOWEL, "은|이|을|과|으로")):
        either = "|".join(map(re.escape, words))
        assert re.findall(rf"(?<![\w-])(?:{either})(?:{particles})(?![가-힣])", text) == []


# --- commands and numbers -------------------------------------------------------------------


def commands(text: str) -> list[str]:
    """Lines of indented blocks without their comments, and of Python blocks."""
    lines = re.findall(r"(?m)^ {4}(\S.*)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    code = re.findall(r"(?ms)^```python\n(.*?)^```$", text)
    lines = [line for line in lines + "\n".join(code).split("\n") if line.strip()]
    return [stripped for line in lines if (stripped := re.sub(r"(^|\s+)# .*$", "", line).rstrip())]


SECTIONS = {
    "Start": "시작하기",
    "Learn": "배우기",
    "Use": "쓰기",
    "Train": "학습시키기",
    "Align": "정렬하기",
    "Evaluate": "평가하기",
}


def parts(text: str) -> dict[str, str]:
    """Sections by their heading."""
    heads = re.split(r"(?m)^## (.+)$", text)
    return dict(zip(heads[1::2], heads[2::2]))


def test_the_front_door_has_the_commands_of_the_english_one():
    english, korean = parts(text_of(README)), parts(text_of(README_KO))
    for name, hangul in SECTIONS.items():
        assert commands(korean[hangul]) == commands(english[name]), name
    assert commands(text_of(README_KO).split("\n## ")[0]) == commands(text_of(README).split("\n## ")[0])
    for name in ("Start", "Learn"):
        shown = re.findall(r"`((?:make|minillama) [^`]+)`", english[name])
        assert set(shown) <= set(re.findall(r"`([^`]+)`", korean[SECTIONS[name]])), name


def test_commands_of_the_pages_are_those_of_the_book():
    book = [*(ROOT / "notebooks").glob("*.py"), ROOT / "notebooks" / "README.md"]
    known = "\n".join(text_of(path) for path in (README, *book))
    for page in PAGES:
        printed = re.findall(r"`((?:make|minillama) [^`]+)`", text_of(page))
        assert [command for command in printed if command not in known] == [], page.name


def numbers(text: str) -> set[str]:
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return set(re.findall(r"(?<![\w.])\d[\d,.]*\d|(?<![\w.])\d(?![\w.])", re.sub(r"(?m)^ {4}.*$", "", text)))


def test_numbers_of_the_front_door_are_those_of_the_english_one():
    english, korean = text_of(README), text_of(README_KO)
    written_out = {"30"}  # half a minute
    assert numbers(re.sub(r"(?ms)^```.*?^```$", "", korean)) - written_out <= numbers(english)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.number)
def test_numbers_of_a_summary_are_those_of_its_chapter(chapter):
    """0.58, 49,152, 8008; not those that Korean writes by ten thousands (1억 3,450만)."""
    book = text_of(ROOT / "notebooks" / f"{chapter.file}.ipynb").replace(",", "")
    page = re.sub(r"[\d,.]+(만|억|조)|\[[^\]]*\] · 읽기.*", "", prose(text_of(KOREAN / f"{chapter.file}.md")))
    printed = {number.replace(",", "") for number in re.findall(r"(?<![\d.])\d[\d,]*\.?\d+", page)}
    assert printed - set(re.findall(r"(?<![\d.])\d+(?:\.\d+)?", book)) == set()


# --- chapters -------------------------------------------------------------------------------

PICTURES = {  # how the text of the picture begins in the chapter: a picture that comes before it would move the number
    "00": "Two charts of bars with the same axis",
    "01": "Operations a second against operations",
    "02": "Bars, one for each language",
    "03": "The curve of minus log p",
    "04": "Two planes with equal axes, alive across, edible upwards. Left: dog",
    "05": "Two planes with equal axes. Left: dog at position 0",
    "06": "Two planes with equal axes, alive across, edible upwards. Left: dog",
    "07": "Three panels, eight query heads",
    "08": "Left, the three activations against the gate",
    "09": "Two planes, each with equal axes",
    "10": "Two grids, a row for each step",
    "11": "Three bars from 0 to 1",
    "12": "Two planes with equal axes, alive across, edible upwards; dots",
    "13": "Left: a table of kinds of page by filters",
    "14": "Two narrow valleys",
}


@pytest.fixture
def staging(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    return pytest.importorskip("web.staging")


@pytest.mark.parametrize("number", [chapter.number for chapter in CHAPTERS])
def test_every_chapter_has_its_page(number, staging):
    chapter, package = CHAPTERS[int(number)], chapter_packages()[int(number)]
    text = text_of(KOREAN / f"{chapter.file}.md")
    head, _, exercises = text.partition("\n## 연습\n")
    times = f"읽기 {chapter.reading}분, 연습 {chapter.exercises}분"
    assert f"[영어 원문](../../notebooks/{chapter.file}.ipynb) · {times}" in head
    for needed in chapter.needs:
        assert f"[{needed}](" in head.split("\n\n")[1]
    assert "$$" in head
    listed = re.findall(r"(?m)^- `(\w+)`( \(핵심\))? · \*\*(.+?)\*\* · (.+다\.)$", exercises)
    assert [id for id, *_ in listed] == list(package.EXERCISES)
    assert {id for id, core, *_ in listed if core} == set(package.CORE)
    assert exercises.strip().count("\n") + 1 == len(listed)
    (place,) = re.findall(rf"\]\(\.\./\.\./notebooks/{chapter.file}\.ipynb#picture-(\d+)\)", head)
    png, alt = staging.pictures(ROOT / "notebooks" / f"{chapter.file}.ipynb")[int(place) - 1]
    assert png.startswith(b"\x89PNG")
    assert alt.startswith(PICTURES[number])


def test_titles_and_times_of_the_map(staging):
    times = [r" \| (.+?)시간" * 3, r" \| (.+?) h" * 3]
    rows = re.findall(rf"(?m)^\| (\d\d) \| \[(.+?)\]\((\w+)\.md\) \| (.*?){times[0]} \|$", text_of(KOREAN / "index.md"))
    english = re.findall(rf"(?m)^\| (\d\d) \| .+? \| (.*?){times[1]} \|$", text_of(ROOT / "notebooks" / "README.md"))
    assert [(n, *rest) for n, _, _, *rest in rows] == english
    for number, title, file, *_ in rows:
        assert text_of(KOREAN / f"{file}.md").startswith(f"# {number} · {title}\n")
        assert f"[{title}](docs/ko/{file}.md)" in text_of(README_KO)
    assert len(rows) == len(CHAPTERS)
    assert len(catalogue()) == sum(text_of(KOREAN / f"{file}.md").count("\n- `") for _, _, file, *_ in rows)


def test_both_front_doors_lead_to_each_other():
    assert "[한국어](README.ko.md)" in text_of(README).split("\n\n")[1]
    assert "[English](README.md)" in text_of(README_KO).split("\n\n")[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, _ in re.findall(r"\]\(([^)#\s]*)(#[^)]*)?\)", text_of(page)):
        assert "://" in target or (page.parent / target).exists(), target


# --- the web edition ------------------------------------------------------------------------


def test_a_picture_of_a_chapter_is_laid_beside_the_page(staging, tmp_path):
    text = "![그림](../../notebooks/06_attention.ipynb#picture-1)"
    page = staging._linked(ROOT, tmp_path, "docs/ko/06_attention.md", text)
    assert page == "![그림](../../notebooks/06_attention-1.png)"
    assert (tmp_path / "notebooks/06_attention-1.png").read_bytes().startswith(b"\x89PNG")


def test_korean_pages_say_their_language(tmp_path):
    pytest.importorskip("sphinx_book_theme")
    pytest.importorskip("myst_nb")
    contents = "```{toctree}\nREADME.ko\ndocs/ko/index\n```\n"
    for name, text in (("index", f"# A\n\n{contents}"), ("README.ko", "# 가\n"), ("docs/ko/index", "# 나\n")):
        path = tmp_path / "sources" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    settings = ["-q", "-c", str(ROOT / "docs" / "web"), str(tmp_path / "sources"), str(tmp_path / "out")]
    subprocess.run([sys.executable, "-m", "sphinx", *settings], check=True, cwd=ROOT)
    for name, language in (("index", "en"), ("README.ko", "ko"), ("docs/ko/index", "ko")):
        assert f'<html lang="{language}"' in (tmp_path / "out" / f"{name}.html").read_text(encoding="utf-8")
