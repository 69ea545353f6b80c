"""Personal data and what touches them: separators, keys, markup, escapes, labels; and numbers that only look alike."""

import pytest
from personal_data_bench import bench
from timing import within_seconds

from minillama.data.rules.personal_data.filter import find_personal_data

VALUES = {
    "PHONE_NUMBER": ("+31 6 2410 7788", "+14042318890", "404-231-8890"),
    "EMAIL_ADDRESS": ("nora.k+x@post.example.co.uk",),
    "IP_ADDRESS": ("91.14.203.7", "2a02:8109::7f3e:12"),
    "CREDIT_CARD": ("4111 1111 1111 1111",),
    "IBAN_CODE": ("GB29NWBK60161331926819",),
    "US_SSN": ("219-45-6789",),
}
EDGES = [
    ("Berg,", ",x"),
    ("7,", ",2020-01-01"),
    ("Berg;", ";"),
    ("Berg|", "|"),
    ('="', '"'),
    ("_", "_"),
    ("__", "__"),
    ("**", "**"),
    ("<b>", "</b>"),
    ("(", ")"),
    ("\\n", "\\n"),
    ("\\t", "\\t"),
    ("\u00a0", "\u00a0"),
]


@pytest.mark.parametrize(("before", "after"), EDGES)
@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in VALUES.items() for value in values])
def test_exact_between_marks(kind, value, before, after):
    text = f"Seen: {before}{value}{after} yesterday"
    assert [(span.kind, span.text) for span in find_personal_data(text)] == [(kind, value)]


PHONES = [
    # keys and glue
    ("tel=404-231-8890&x=1", "404-231-8890"),
    ("?lang=nl&phone=%2B31624107788", "%2B31624107788"),
    ("To=%2B14155552671&From=x", "%2B14155552671"),
    ("https://x.org/?to=%2b1%20555%20123%204567", "%2b1%20555%20123%204567"),
    ("home_fax=2410 7788", "2410 7788"),
    ('{"contactPhone": "24107788"}', "24107788"),
    ("mobileNumber = '24107788'", "24107788"),
    ("Tel+31624107788", "+31624107788"),
    ("Berg/+31624107788", "+31624107788"),
    ("Berg-+31624107788", "+31624107788"),
    ("ph#404-231-8890", "404-231-8890"),
    ("phone%20404-231-8890", "404-231-8890"),
    ("Tel404-231-8890", "404-231-8890"),
    # markup between the label and the number
    ("<li>Fax: <em>41 20 77 88</em></li>", "41 20 77 88"),
    ("<th>Mobile</th><td>41 20 77 88</td>", "41 20 77 88"),
    ("__Telephone__: 41 20 77 88", "41 20 77 88"),
    ("- **Fax:** `41 20 77 88`", "41 20 77 88"),
    # labels
    ("T 41 20 77 88", "41 20 77 88"),
    ("Oak Lane 4\nf: 41 20 77 88", "41 20 77 88"),
    ("Please ring old Mr. Berg at 41 20 7788 on Monday", "41 20 7788"),
    ("he gave me the number 41 20 77 88", "41 20 77 88"),
    ("Nora's number: 41 20 77 88", "41 20 77 88"),
    ("my number is 41207788", "41207788"),
    ("Tlf. 41 20 77 88", "41 20 77 88"),
    ("Puh. 41 207 788", "41 207 788"),
    ("Móvil: 641 207 788", "641 207 788"),
    ("Cellulare 341 207 7889", "341 207 7889"),
    ("Telefonszám: 30 412 0778", "30 412 0778"),
    ("Numéro : 641207788", "641207788"),
    # rows of the same form, and lists
    ("Ann Berg: +31624107788\nBo O'Hara: 41 20 77 88", "41 20 77 88"),
    ("name,fax\nBerg,41 20 77 88\nHolm,41207789", "41207789"),
    ("call 41 20 77 88 or 41 20 77 89", "41 20 77 89"),
    # shapes of their own
    ("Try 010-62417788 today", "010-62417788"),
    ("Try 8-916-241-77-88 today", "8-916-241-77-88"),
    ("Try 8 916 241 77 88 today", "8 916 241 77 88"),
    ("Try 0316 / 241778 today", "0316 / 241778"),
    ("Try 07924 107788 today", "07924 107788"),
    ("Try 094616 40500 today", "094616 40500"),
    ("Try 06 72 41 07 58 today", "06 72 41 07 58"),
]


@pytest.mark.parametrize(("text", "value"), PHONES)
def test_finds_telephone_numbers(text, value):
    assert value in [span.text for span in find_personal_data(text) if span.kind == "PHONE_NUMBER"]


NO_PHONE = [
    *bench.listed(
        """
        doi:10.1093/j.cell.2021.04.031 | https://doi.org/10.1002/tel.2019.11.027 | Call for chapters: 20210430 is the
        day | The mobile was switched off on 20210430 | Parcel RX 024 513 867 SE | Shipment 1Z 999 W41 01 2345 6784 |
        VAT GB 094 0515 65 | Saturday's numbers: 03 14 22 31 45 | draw 02 11 19 23 30 47 | Evaluate (402) 512 - 8854
        now | y = (402) 512 - 8854 | (402) 512 - 8854 = -7940 | call number 8302-19-4 PR60 | The phone weighs 190 g and
        has 8294400 dots | the phone has 8294400 pixels | Call f(496946) and g(49694612) | cell count 450 300 200 |
        contact hours 09-12 13-17 | Mobile, AL 36602-1234 | the fax machine made 1234567 copies | ringing 2 4 6 8 10
        12 | I phoned about invoice 41207788 | hotel=41207788 | x +1234567890 | +100 000 000 | call f(x), x = 41207788
        | the telephone was patented in 1876 under 174 46 5678 others | EIN 04-0317277 | 12,416,602,123 people
        """
    ),
    "143 294 3221\n413 566 1441",
    "774 343 7421 247 311 2480 342 460 2067",
    "The sum of the digits in 516 953 2301 is even.",
]


@pytest.mark.parametrize("text", NO_PHONE)
def test_no_telephone_numbers(text):
    assert [span for span in find_personal_data(text) if span.kind == "PHONE_NUMBER"] == []


@pytest.mark.parametrize(
    "text",
    bench.listed(
        """
        as shown in 4.97.8.2 | (see 12.61.4.9) | EC 1.1.1.1 is an enzyme | foodriver 12.45.7.194 needs a restart |
        Foo 96.1.66.4 or later | Foo/96.1.66.110 | Equation 14.60.2.1 | § 14.60.2.1
        """
    ),
)
def test_no_addresses(text):
    assert find_personal_data(text) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("ssn=219-45-6789", "US_SSN", "219-45-6789"),
        ("SSN219-45-6789", "US_SSN", "219-45-6789"),
        ("row,219-45-6789,Berg", "US_SSN", "219-45-6789"),
        ("card=4111111111111111&x", "CREDIT_CARD", "4111111111111111"),
        ("iban=GB29NWBK60161331926819", "IBAN_CODE", "GB29NWBK60161331926819"),
        ("IBANGB29NWBK60161331926819", "IBAN_CODE", "GB29NWBK60161331926819"),
        ("see 91.14.203.7", "IP_ADDRESS", "91.14.203.7"),
        ("from ::ffff:91.14.203.7", "IP_ADDRESS", "::ffff:91.14.203.7"),
        ("_x_y@z.example", "EMAIL_ADDRESS", "_x_y@z.example"),
        ("*a_b@z.example*", "EMAIL_ADDRESS", "a_b@z.example"),
        ("to=%20a@z.example", "EMAIL_ADDRESS", "a@z.example"),
    ],
)
def test_keys_and_glued_labels(text, kind, value):
    assert [(span.kind, span.text) for span in find_personal_data(text)] == [(kind, value)]


ROWS = ["<b>1234567 ", "a,1234567\n", "a - 0171 1234567\n", "tel 1234567, ", "tel=1234567&", "\\n1", "__1.2.3.4__"]
ROWS += [
    "T 1234567  ",
    "10.1000/1234567.",
    "a@b.cc__",
    "%201234567",
    "(402) 512 - 8854 ",
    "<a",
    "leave the number 1234567 ",
]


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_time_is_linear_in_rows_of_marks_and_labels(row):
    """300,000 characters; a quadratic rule would take minutes."""
    text = row * (300_000 // len(row))
    with within_seconds(5):
        find_personal_data(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("May I open an account with 595-60-9436?", "US_SSN"),
        ("Is there a spending cap on 502036981533?", "CREDIT_CARD"),
        ("Would you freeze 4601049963482 today", "CREDIT_CARD"),
        ("I want to withdraw cash with 3595204414998826", "CREDIT_CARD"),
    ],
)
def test_weaker_words_beside_a_valid_number(text, kind):
    assert [span.kind for span in find_personal_data(text)] == [kind]


@pytest.mark.parametrize(
    "text", ["Account no. 595-60-9436", "It holds 502036981533 bacteria.", "The limit is 502036981534."]
)
def test_weaker_words_alone_are_not_enough(text):
    assert not [span for span in find_personal_data(text) if span.kind in ("US_SSN", "CREDIT_CARD")]


def test_an_iban_of_a_wrong_length_counts_beside_its_word_with_its_checksum():
    assert [span.text for span in find_personal_data("My IBAN is GB11QBKS5178456830895.")] == ["GB11QBKS5178456830895"]
    assert not find_personal_data("My IBAN is GB12QBKS5178456830895.")
    assert not find_personal_data("The key GB11QBKS5178456830895 opens it.")
