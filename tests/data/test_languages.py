"""Texts of other languages: what the rules say about them, the settings that read them, and what is refused."""

import json
import re
import sys

import pytest

from minillama.cli.app import main
from minillama.data.pipeline.notices import language_notices
from minillama.data.pipeline.report import report_json, report_markdown
from minillama.data.pipeline.run import PipelineSettings, run_pipeline
from minillama.data.pipeline.settings import check_filters, read_config
from minillama.data.rules.c4 import count_sentences
from minillama.data.rules.gopher import GopherQuality
from minillama.data.rules.languages import LANGUAGES, defaults_for, guessed_language, known_languages
from minillama.data.rules.words import words_of

TEXTS = {
    "ar": "ذهبت الأسرة إلى السوق في الصباح لشراء الخبز من المخبز القديم الذي يقع على النهر، ثم عادت إلى البيت "
    "مع الجيران قبل أن يبدأ المطر، ولم يكن هذا اليوم مثل أي يوم",
    "cs": "Ráno jsme šli na trh, protože to je jediný den, kdy se dá koupit čerstvý chléb, ale nakonec jsme se "
    "vrátili domů bez něj, jako bychom ani neodešli od řeky",
    "de": "Am Morgen öffnen die Händler ihre Stände auf dem Markt, und der Duft von frischem Brot zieht durch "
    "die Gassen, in denen das Licht noch nicht zu sehen ist",
    "el": "Το πρωί η γιαγιά πήγε στο χωριό για να αγοράσει ψωμί από τον φούρνο που είναι κοντά στη θάλασσα, "
    "και με τα παιδιά της γύρισε το βράδυ στο σπίτι",
    "en": "In the morning the traders open the stalls of the market, and those who have time walk with the "
    "children to the bridge that was built by the old people",
    "es": "Por la mañana los vendedores abren las puertas de la plaza y el olor del pan que se hace en el "
    "horno llega a una calle con casas viejas para los visitantes",
    "fi": "Aamulla kauppiaat avaavat kojunsa ja leivän tuoksu leviää kaupungin kaduille, mutta joki on vielä "
    "hiljaa, kun lapset ovat koulussa, eikä kukaan tiedä, että hän on jo lähtenyt, tai minne se kulkee",
    "fr": "Le matin, les marchands ouvrent la porte des étals et une odeur de pain, que le vent pousse dans "
    "les ruelles, est pour tous ceux qui passent sur le pont en été",
    "hi": "सुबह गाँव के लोग नदी के पास जाते हैं और वहाँ से पानी लाते हैं, यह काम बच्चों को भी पसंद है क्योंकि "
    "रास्ते में एक बड़ा पेड़ है जिस पर पक्षी रहते हैं",
    "id": "Pada pagi hari para pedagang membuka pasar di dekat sungai dan bau roti yang hangat menyebar dari "
    "toko itu ke jalan dengan rumah tua untuk semua orang",
    "it": "La mattina i mercanti aprono il mercato con una voce che si sente per tutta la strada, e gli odori "
    "del pane di casa sono in ogni angolo della città",
    "ko": "이 마을에서 아침마다 시장이 열리고 빵을 사는 사람들이 다리 위를 걷는 모습을 볼 수 있다 그리고 모든 "
    "아이들은 강가에서 놀 때 더 즐겁다 저녁에는 등 불이 켜진다 그 빛은 멀리서도 보인다",
    "nl": "In de ochtend openen de handelaren het plein en de geur van vers brood trekt met de wind door een "
    "straat die niet ver van het water is",
    "pl": "Rano na rynku jest cicho, ale handlarze już otwierają stragany i zapach chleba, który się niesie od "
    "piekarni do mostu, to znak, że nie jest za późno na zakupy w mieście",
    "pt": "De manhã os vendedores abrem a praça e o cheiro do pão que se faz em casa chega com o vento para "
    "uma rua de casas velhas, não muito longe da ponte",
    "ru": "Утром на площади тихо, но торговцы уже открывают лавки, и запах хлеба из пекарни идёт по улице к "
    "мосту, как это было и в прошлом году, когда никто не знал, что будет с рекой",
    "sv": "På morgonen öppnar handlarna sina stånd och doften av bröd sprider sig till bron, som inte är långt "
    "från det gamla torget, för den som har tid att gå en stund med barnen",
    "tr": "Sabah pazarcılar tezgahlarını açar ve ekmek kokusu bir sokaktan daha çok eve kadar yayılır, bu koku "
    "için çocuklar da köprüye gelir, ne kadar güzel olarak anlatılsa az",
    "uk": "Вранці на площі тихо, але торговці вже відкривають крамниці, і запах хліба йде від пекарні до "
    "мосту, як це було та буде для тих, що живуть у місті з річкою",
    "vi": "Buổi sáng những người bán hàng mở chợ và mùi bánh mì lan ra các con phố của thị trấn, nơi có một "
    "cây cầu cũ được xây cho trẻ em với dòng sông không sâu trong làng này",
    "ja": "朝の光が町の石畳を照らし、パン屋の主人はもう働き始めている。子どもたちは橋を渡って学校へ行き、川は静"
    "かに流れている。",
    "th": "ตอนเช้าพ่อค้าเปิดร้านในตลาดและกลิ่นขนมปังลอยไปตามถนนแคบๆ เด็กๆ เดินข้ามสะพานไปโรงเรียน",
    "zh": "清晨的阳光洒在小镇的石板路上，卖早点的老人已经开始忙碌。孩子们背着书包走过桥头，河水静静地流向远方。",
}


def several(code):
    """A text of five sentences that do not repeat each other."""
    words = TEXTS[code].split(" ")
    if not LANGUAGES[code].has_blanks:
        clauses = re.findall(r"[^，。、 ]+", TEXTS[code])
        stop = " " if code == "th" else "。"
        return "".join("".join(clauses[i:] + clauses[:i]) + stop for i in range(5)).strip()
    parts = [" ".join(words[i:] + words[:i]).replace(",", "").rstrip(".") for i in (0, 3, 7, 11, 15)]
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in parts)


def run(tmp_path, texts, **changes):
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    settings = PipelineSettings((source,), tmp_path / "out.jsonl", **changes)
    return settings, run_pipeline(settings, force=True).tally


@pytest.mark.parametrize("code", TEXTS)
def test_a_language_is_told_by_its_stop_words_or_letters(code):
    assert guessed_language(TEXTS[code]) == code


def test_little_is_told_of_little():
    assert guessed_language("Guten Morgen, der Tag ist schön.") is None
    assert guessed_language("") is None
    assert guessed_language("x = y + 1; " * 20) == "unknown"


@pytest.mark.parametrize("code", [code for code in TEXTS if LANGUAGES[code].has_blanks and code != "en"])
def test_gopher_reads_the_language_it_is_given(code):
    text = several(code)
    assert "min_stop_words" in GopherQuality()(text).findings
    settings = defaults_for("gopher", known_languages((code,)), {})
    assert GopherQuality(**settings)(text).findings == {}


def test_every_stop_word_is_one_word():
    for language in LANGUAGES.values():
        assert all(len(words_of(word).hashes) == 1 and word == word.lower() for word in language.stop_words)
        assert len(set(language.stop_words)) == len(language.stop_words)


def test_a_run_says_which_rule_dropped_texts_for_their_language(tmp_path):
    settings, tally = run(tmp_path, [several("de"), several("fr"), several("de")], rules=("gopher",))
    assert tally["written"]["documents"] == 0
    assert tally["filters"]["gopher"]["languages"] == {"de": 2, "fr": 1}
    (notice,) = language_notices(tally, settings)
    assert "min_stop_words, which looks for English stop words" in notice
    assert notice.endswith("they look like German 2, French 1: give --language de,fr")
    assert notice in report_markdown(tally, settings)
    assert "dropped: German 2, French 1." in report_markdown(tally, settings)
    assert report_json(tally, settings)["notices"] == [notice]
    settings, tally = run(tmp_path, [several("de"), several("fr")], rules=("gopher",), languages=("de", "fr"))
    assert (tally["written"]["documents"], language_notices(tally, settings)) == (2, [])
    settings, tally = run(tmp_path, [several("ru"), several("de"), several("ru")], rules=("gopher",), languages=("de",))
    assert language_notices(tally, settings)[-1].endswith("Russian 2: give --language de,ru")


def test_no_notice_where_english_fails_for_other_reasons(tmp_path):
    texts = [several("en"), several("en") + " # # # # # # # # # # # # # # # # # # # # # #", "Too short.", several("en")]
    settings, tally = run(tmp_path, texts, rules=("gopher",))
    assert tally["written"]["documents"] == 2
    assert language_notices(tally, settings) == []


def test_texts_of_no_known_language_say_what_to_set(tmp_path):
    settings, tally = run(tmp_path, ["kala mopi tesu rani bofe " * 20], rules=("gopher",))
    (notice,) = language_notices(tally, settings)
    assert "min_stop_words = false in the table [gopher]" in notice
    assert "stop_words = " in notice


@pytest.mark.parametrize("code", ["zh", "ja", "th"])
@pytest.mark.parametrize("rule", ["gopher", "c4"])
def test_languages_without_blanks(tmp_path, code, rule):
    settings, tally = run(tmp_path, [several(code)], rules=(rule,))
    assert tally["written"]["documents"] == 0
    (notice,) = language_notices(tally, settings)
    assert notice.endswith(f"they look like {LANGUAGES[code].name} 1: give --language {code}")
    settings, tally = run(tmp_path, [several(code)], rules=("repetition", rule, "fineweb"), languages=(code,))
    assert tally["written"]["documents"] == 1
    assert any(n.startswith(f"{rule} in {LANGUAGES[code].name}: off") for n in language_notices(tally, settings))


@pytest.mark.parametrize(
    ("languages", "options", "message"),
    [
        (("xx",), {}, "language 'xx' has no stop words here; known: ar Arabic, "),
        (("de", "zh"), {}, "Chinese has no blanks between words: filter it in a run of its own"),
        (("zh",), {"gopher": {"min_words": 20}}, r"\[gopher\] min_words counts words between blanks and means nothing"),
        (("ja",), {"repetition": {"max_top_2_gram": 0.3}}, r"\[repetition\] max_top_2_gram counts words .* Japanese"),
        (("de",), {"harmful": {"mode": "drop-sentences"}}, r"\[harmful\] mode uses a classifier of English .* German"),
    ],
)
def test_what_means_nothing_in_a_language_is_refused_by_name(tmp_path, languages, options, message):
    with pytest.raises(ValueError, match=message):
        check_filters(PipelineSettings((tmp_path,), tmp_path / "out", languages=languages, options=options))


def test_codes_as_people_write_them(tmp_path):
    given = ("DE", "French", "pt-BR", "en_GB", "german")
    settings = PipelineSettings((tmp_path,), tmp_path / "out", languages=given)
    assert settings.languages == ("de", "fr", "pt", "en")


def test_word_lists_need_blanks(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("词\n", encoding="utf-8")
    settings = PipelineSettings((tmp_path,), tmp_path / "out", languages=("zh",), word_list=words)
    with pytest.raises(ValueError, match=r"\[harmful\] word_list looks for words between blanks"):
        check_filters(settings)


def test_what_is_given_goes_before_the_language(tmp_path):
    options = {"gopher": {"stop_words": ["kala"], "min_stop_words": 1}}
    _, tally = run(tmp_path, [several("de")], rules=("gopher",), languages=("de",), options=options)
    assert tally["written"]["documents"] == 0


def test_the_language_in_a_config_and_in_an_interrupted_run(tmp_path):
    config = tmp_path / "filters.toml"
    for written, languages in (('"de"', ("de",)), ('["de", "fr"]', ("de", "fr"))):
        config.write_text(f"language = {written}\n[gopher]\nmin_words = 20\n")
        assert read_config(config) == (None, languages, {"gopher": {"min_words": 20}})
    config.write_text("language = 3\n")
    with pytest.raises(ValueError, match='language must be a code such as "de"'):
        read_config(config)
    one, other = (PipelineSettings((tmp_path,), tmp_path / "out", languages=code) for code in (("de",), ("fr",)))
    assert one.digest() != other.digest()


def test_the_command_takes_a_language(tmp_path, monkeypatch, capsys):
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"text": several("de")}) + "\n", encoding="utf-8")
    config = tmp_path / "filters.toml"
    config.write_text('language = "fr"\n')
    kept = {(): 0, ("--language", "de"): 1, ("--config", config): 0, ("--config", config, "--language", "fr,de"): 1}
    for i, (options, n) in enumerate(kept.items()):
        command = [
            "minillama",
            "data",
            "filter",
            source,
            "--out",
            tmp_path / f"{i}.jsonl",
            "--rules",
            "gopher",
            *options,
        ]
        monkeypatch.setattr(sys, "argv", [str(part) for part in command])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr().err
        assert stop.value.code == 0, said
        assert f"{n} of 1 documents kept" in said
        assert ("give --language de" in said) == (n == 0)


@pytest.mark.parametrize(
    ("line", "n"),
    [
        ("你好。你好吗？很好！", 3),
        ("यह है। वह नहीं है।", 2),
        ("كيف حالك؟ أنا بخير.", 2),
        ("行った。「はい。」と言った。", 3),
    ],
)
def test_sentences_of_other_scripts(line, n):
    assert count_sentences(line) == n


def test_documents_are_not_changed_by_being_told(tmp_path):
    run(tmp_path, [several("de")], rules=(), languages=("de",))
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8")) == {"text": several("de")}
