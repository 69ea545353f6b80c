"""Personal data: each kind, the published styles, presidio's synthetic texts, texts made here, and time."""

import itertools
import pickle

import pytest
from personal_data_bench import bench
from timing import within_seconds

from minillama.data.rules.personal_data.checks import (
    base58_valid,
    bech32_valid,
    iban_valid,
    luhn_valid,
    routing_valid,
    ssn_valid,
)
from minillama.data.rules.personal_data.filter import KINDS, PersonalDataFilter, find_personal_data
from minillama.data.rules.personal_data.styles import FINEWEB_EMAILS, FINEWEB_IPS

FOUND = {
    "EMAIL_ADDRESS": [
        ("Write to anna.berg+news@mail.example.co.uk.", "anna.berg+news@mail.example.co.uk"),
        ("(мария@пример.рф)", "мария@пример.рф"),
        ("mail jürgen@uni-köln.de!", "jürgen@uni-köln.de"),
        ("reach me: john [at] example [dot] com", "john [at] example [dot] com"),
        ("john.doe at example dot com", "john.doe at example dot com"),
    ],
    "PHONE_NUMBER": [
        ("+46 (0)8 928 571 38", "+46 (0)8 928 571 38"),
        ("We met at (555) 123-4567 ext. 12", "(555) 123-4567 ext. 12"),
        ("Her phone number (020 7433 0367) is new", "020 7433 0367"),
        ("06.12.34.56.78", "06.12.34.56.78"),
        ("0044 20 7946 0958", "0044 20 7946 0958"),
        ("call me on 9472 7916", "9472 7916"),
        ("416 60 039 office", "416 60 039"),
        ("05 55 26 67 is my new cell number", "05 55 26 67"),
        ("Telefon: 030/1234567", "030/1234567"),
        ("order 77, then phone 555-123-4567 555-987-6543", "555-123-4567"),
    ],
    "IP_ADDRESS": [
        ("from 36.106.174.11 port 22", "36.106.174.11"),
        ("the server 10.0.0.7 is down", "10.0.0.7"),
        ("2001:db8::ff00:42:8329", "2001:db8::ff00:42:8329"),
        ("listening on ::1", "::1"),
        ("fe80:0:0:0:204:61ff:fe9d:f156.", "fe80:0:0:0:204:61ff:fe9d:f156"),
    ],
    "CREDIT_CARD": [
        ("4111 1111 1111 1111 12/27", "4111 1111 1111 1111"),
        ("3782-822463-10005", "3782-822463-10005"),
        ("6011111111111117", "6011111111111117"),
        ("my card 501864667909", "501864667909"),
        ("my card 4111111111111112 (a typing error)", "4111111111111112"),
        ("4222222222222 is my credit card number", "4222222222222"),
    ],
    "IBAN_CODE": [
        ("pay to GB29 NWBK 6016 1331 9268 19 by Friday", "GB29 NWBK 6016 1331 9268 19"),
        ("DE89370400440532013000", "DE89370400440532013000"),
        ("gb29nwbk60161331926819", "gb29nwbk60161331926819"),
        ("IBAN GB00NWBK60161331926819", "GB00NWBK60161331926819"),
    ],
    "US_SSN": [
        ("219-45-6789", "219-45-6789"),
        ("SSN 219 45 6789", "219 45 6789"),
        ("social security number: 219456789", "219456789"),
        ("219.45.6789 is my SSN", "219.45.6789"),
    ],
    "US_ITIN": [("ITIN 912-70-1234", "912-70-1234")],
    "US_PASSPORT": [("passport number C12345678", "C12345678")],
    "US_DRIVER_LICENSE": [("My driver's license number is F162823540116", "F162823540116")],
    "US_BANK_NUMBER": [("bank account 123456789012", "123456789012"), ("routing number 021000021", "021000021")],
    "MAC_ADDRESS": [("00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"), ("mac 0011.2233.4455", "0011.2233.4455")],
    "CRYPTO": [
        ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
        ("to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4.", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
    ],
    "SECRET": [
        ("key AKIA" + "IOSFODNN7EXAMPLE", "AKIA" + "IOSFODNN7EXAMPLE"),
        ('password = "hunter2hunter2"', "hunter2hunter2"),
        ("ghp_" + "a1B2" * 9, "ghp_" + "a1B2" * 9),
    ],
    "URL_CREDENTIALS": [("https://user:pa55@example.org/x", "user:pa55")],
}


@pytest.mark.parametrize(("kind", "text", "value"), [(k, *pair) for k, pairs in FOUND.items() for pair in pairs])
def test_finds(kind, text, value):
    spans = [span for span in find_personal_data(text) if span.kind == kind]
    assert spans, find_personal_data(text)
    assert spans[0].text == value == text[spans[0].start : spans[0].stop]


def test_every_kind_has_examples():
    assert set(FOUND) == set(KINDS)


NOTHING = bench.listed(
    """
    order number 12345678 was paid | ISBN 978-0-306-40615-7 | ISBN 0-306-40615-2 | doi:10.1000/123456.2021.1234567 |
    on 2021-03-14 at 12:30 | upgrade to version 1.2.3.4 | see section 1.2.3.4 | v10.20.30.40 | ratio 1:2:3:4:5:6:7:8
    | a[::1] + b[::2] | std::vector<int> dead::beef | commit 47f52a3233c732b102b95b7d5b95e28130b623d9 |
    550e8400-e29b-41d4-a716-446655440000 | the price is $1,234,567.89 | 1914-1918 1939-1945 | x = 1728367 | call
    f(x) with x = 1728367 | located at 48.858370, -122.294481 | won 21-17, 19-21, 21-15 | order 4111111111111112 was
    sent | tracking number 123456789012 | GB00NWBK60161331926819 | 999-45-6789 | 000-12-3456 | 219456789 |
    logo@2x.png | a @ b.T | a@b.mean() | 300.1.2.3 | 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb |
    bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5 | password: required | 12 345 678 people | 3.14159265358979
    """
)


@pytest.mark.parametrize("text", NOTHING)
def test_finds_nothing(text):
    assert find_personal_data(text) == []


def test_checksums_by_published_examples():
    assert luhn_valid("79927398713")
    assert not any(luhn_valid(f"7992739871{d}") for d in "012456789")
    assert iban_valid("GB82WEST12345698765432")
    assert not iban_valid("GB82WEST12345698765423")
    assert not iban_valid("GB82WEST1234569876543")
    assert base58_valid("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy")
    assert not base58_valid("1" * 33)
    # BIP 173 and BIP 350: version 0 with bech32, version 1 with bech32m, and not the other way round
    assert bech32_valid("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0")
    assert not bech32_valid("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd")
    assert not bech32_valid("bc1qw508D6qejxtdg4y5r3zarvary0c5xw7kv8f3t4")
    assert routing_valid("021000021")
    assert not routing_valid("021000022")
    assert [ssn_valid(n) for n in ("899456789", "900456789", "666456789", "219006789", "219450000", "078051120")] == [
        True
    ] + [False] * 5


def test_spans_are_sorted_apart_and_of_the_better_kind():
    text = "https://me:s3cret99@example.org and GB29 NWBK 6016 1331 9268 19, tel +44 20 7946 0958, a@b.org"
    spans = find_personal_data(text)
    assert [span.kind for span in spans] == ["URL_CREDENTIALS", "IBAN_CODE", "PHONE_NUMBER", "EMAIL_ADDRESS"]
    assert all(a.stop <= b.start for a, b in itertools.pairwise(spans))
    assert [span.kind for span in find_personal_data(text, ["PHONE_NUMBER"])] == ["PHONE_NUMBER"]
    with pytest.raises(ValueError, match="unknown kinds NAME; choose some of"):
        find_personal_data(text, ["NAME"])


def test_actions():
    text = "Mail a@b.org and c@d.org."
    assert PersonalDataFilter()(text).text == "Mail |||EMAIL_ADDRESS||| and |||EMAIL_ADDRESS|||."
    assert PersonalDataFilter(action="drop")(text).text is None
    assert PersonalDataFilter(drop_from=2)(text) == (
        None,
        {"EMAIL_ADDRESS": 2, "dropped": 1},
        {"EMAIL_ADDRESS": "Mail [EMAIL_ADDRESS] and c*d.org.", "dropped": "2 spans"},
    )
    assert PersonalDataFilter(drop_from=2, action="redact")(text).text is not None
    assert PersonalDataFilter()("Nothing here.") == ("Nothing here.", {}, {})
    for wrong in ({"style": "x"}, {"action": "x"}, {"drop_from": 0}, {"kinds": ["US_SSN"], "style": "dolma"}):
        with pytest.raises(ValueError, match="PersonalDataFilter"):
            PersonalDataFilter(**wrong)


def test_dolma_as_published():
    dolma = PersonalDataFilter(style="dolma")
    five = "Mail a@b.org, (c@d.co.uk) or call 555-123-4567 and (555) 123 4567 at 1.2.3.4 now."
    assert dolma(five).text == (
        "Mail |||EMAIL_ADDRESS|||, (|||EMAIL_ADDRESS|||) or call |||PHONE_NUMBER||| and |||PHONE_NUMBER||| "
        "at |||IP_ADDRESS||| now."
    )
    assert dolma(five + " And x@y.org too").text is None
    assert [span.text for span in dolma.find("x@y.z. and a@localhost end and last@of.text")] == ["x@y.z"]
    for context in ("isbn", "doi", "#"):
        assert dolma(f"{context} call 555-123-4567 at 1.2.3.4 now").findings == {}
    assert dolma("see http://example.org and call 555-123-4567 or 1.2.3.4 now").findings == {"IP_ADDRESS": 1}
    far = "isbn" + " x" * 60
    assert dolma(f"{far} call 555-123-4567 now").findings == {"PHONE_NUMBER": 1}
    assert dolma("Call+46 8 928 571 38 or +46 8 928 571 38 now").findings == {}


def test_fineweb_as_published():
    fineweb = PersonalDataFilter(style="fineweb", action="redact")
    text = "a@b.org, c.d@e.org, f@g.org; 8.8.8.8, 10.0.0.1, 9.9.9.9; +1 555 123 4567"
    assert fineweb(text).text == (
        f"{FINEWEB_EMAILS[0]}, {FINEWEB_EMAILS[1]}, {FINEWEB_EMAILS[0]}; "
        f"{FINEWEB_IPS[0]}, 10.0.0.1, {FINEWEB_IPS[1]}; +1 555 123 4567"
    )
    assert fineweb(text).text == fineweb(text).text  # the rotation starts over


@pytest.mark.parametrize("seed", [1, 2])
def test_texts_made_here(seed):
    """Formats of many countries, cards and SSNs with all separators, and numbers that are nobody's."""
    for kind, row in bench.measured(bench.made_texts(1200, seed)).items():
        assert row["count"] > 100
        assert row["recall"] >= 0.97, (kind, row)
        assert row["precision"] >= 0.97, (kind, row)


def test_presidio_synthetic_texts(shared_data):
    rows = bench.measured(bench.presidio_texts(shared_data / "filters" / "pii_synth.json"))
    assert {kind: row["count"] for kind, row in rows.items()} == {
        "EMAIL_ADDRESS": 33,
        "PHONE_NUMBER": 59,
        "IP_ADDRESS": 9,
        "CREDIT_CARD": 97,
        "IBAN_CODE": 16,
        "US_SSN": 12,
    }
    for kind, row in rows.items():
        assert row["recall"] >= 0.95, (kind, row)
        assert row["precision"] >= 0.9, (kind, row)
        assert row["exact"] >= 0.9, (kind, row)


def test_clean_text_is_left_alone(shared_data):
    for name in ("tinystories/valid.txt", "wikitext-2/test.txt"):
        text = (shared_data / name).read_text(encoding="utf-8")
        assert len(find_personal_data(text)) <= len(text) / 500_000


LONG = 1_000_000
ADVERSARIAL = "1_1 _@_a@_a@a.aa_1._:_ab:_::1 _(_+_1-_(1)_GB29 _1AAAAAAAAAAAAAAAAAAAAAAAAA_eyJ_eyJ-_sk-_+eyJ_key=a1"
ADVERSARIAL += "_password=_://a:b_a@b._passport _driver's license _ at a dot b_a [at] b _-----BEGIN PRIVATE KEY-----"
ADVERSARIAL += "_123-45-6789 _555 _12 345 67 8901 23 45 67 ;_'_ _\n_a_é_x1_.-_==_AKIA"


@pytest.mark.slow
@pytest.mark.parametrize("style", ["checked", "dolma", "fineweb"])
def test_time_is_linear(style):
    """A million characters of the worst patterns; a quadratic expression would take minutes."""
    rules = PersonalDataFilter(style=style)
    for piece in ADVERSARIAL.split("_"):
        text = piece * (LONG // len(piece))
        for variant in (text, f"x{text}@b.org "):
            with within_seconds(5):
                rules.find(variant)


def test_filters_can_be_sent_to_other_processes():
    copy = pickle.loads(pickle.dumps(PersonalDataFilter(drop_from=2)))
    assert copy("a@b.org")[:2] == ("|||EMAIL_ADDRESS|||", {"EMAIL_ADDRESS": 1})
