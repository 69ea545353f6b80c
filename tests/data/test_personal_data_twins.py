"""Personal data in other writing (escapes, other digits, blanks of other widths, invisible characters); lookalikes."""

import time

import pytest
from personal_data_bench import bench

from minillama.data.rules.personal_data.filter import PersonalDataFilter, find_personal_data
from minillama.data.rules.personal_data.twins import twins

VALUES = {
    "EMAIL_ADDRESS": "john@example.com",
    "PHONE_NUMBER": "+1 555 123 4567",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "DE89 3704 0044 0532 0130 00",
    "US_SSN": "219-45-6789",
    "IP_ADDRESS": "36.106.174.11",
}


def with_digits(zero):
    """A writer that uses the ten digits from a zero on."""
    return lambda value: "".join(chr(ord(zero) + int(c)) if c in "0123456789" else c for c in value)


def with_blank(blank):
    """A writer that puts something else for each blank."""
    return lambda value: value.replace(" ", blank)


def hidden_in(character):
    """A writer that puts a character in the middle and beside every mark."""
    return lambda value: value[:2] + "".join(c if c.isalnum() else f"{character}{c}" for c in value[2:])


def references(form):
    """A writer of marks and digits as character references, the plus sign too."""
    return lambda value: "".join(c if c.isalpha() else form.format(ord(c)) for c in value)


WRITERS = {
    "decimal references": references("&#{};"),
    "long decimal references": references("&#000{};"),
    "hexadecimal references": references("&#x{:x};"),
    "references escaped again": references("&amp;#{};"),
    "four-digit escapes": references("\\u{:04x}"),
    "two-digit escapes": references("\\x{:02x}"),
    "%-escapes": references("%{:02X}"),
    "full width": lambda value: "".join(chr(ord(c) + 0xFEE0) if c not in " " else "\u3000" for c in value),
    "Arabic-Indic digits": with_digits("٠"),
    "Persian digits": with_digits("۰"),
    "Devanagari digits": with_digits("०"),
    "Thai digits": with_digits("๐"),
    "mathematical digits": with_digits("𝟎"),
    **{f"blank {ord(c):x}": with_blank(c) for c in "\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f\u205f\u3000"},
    **{
        f"blank as {c}": with_blank(c) for c in ("&nbsp;", "&#160;", "&#xA0;", "&thinsp;", "%20", "%C2%A0", "%E2%80%89")
    },
    **{f"invisible {ord(c):x}": hidden_in(c) for c in "\u00ad\u200b\u200c\u200d\u200e\u2060\ufeff"},
    "hyphens that do not break": lambda value: value.replace("-", "\u2011"),
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", VALUES)
def test_found_as_in_plain_text_with_the_whole_spelling(kind, writer):
    written = WRITERS[writer](VALUES[kind])
    text = f"Seen: {written} yesterday — ünd"
    assert [(span.kind, span.text) for span in find_personal_data(text)] == [(kind, written)]
    assert PersonalDataFilter()(text).text == f"Seen: |||{kind}||| yesterday — ünd"


EMAILS = [
    ("john&commat;example.com", None),
    ("john&commat;example&period;com", None),
    ("john&#64example.com", None),
    ("john%40example.com", None),
    ("john%2540example%252Ecom", None),
    ("john%2Edoe%40example.com", None),
    ("j%C3%BCrgen%40uni-k%C3%B6ln.de", None),
    ("mailto:john%40example.com?subject=a%20b", "john%40example.com"),
    ('"john doe"@example.com', None),
    ("&quot;john doe&quot;@example.com", None),
    ('"john@home"@example.com', None),
    ("&lt;john@example.com&gt;", "john@example.com"),
    ("＜john＠example.com＞", "john＠example.com"),
    ("联系john@example.com谢谢", "john@example.com"),
    ("메일은 john@example.com으로", "john@example.com"),
    ("メールはjohn＠example．comまで．", "john＠example．com"),
    ("john@example.com．次", "john@example.com"),
    ("to=%20john@example.com%20", "john@example.com"),
    ("john@example.com: hello", "john@example.com"),
    ("john@example.com:hunter2", "john@example.com"),
    ("sip:john@example.com:5060", "john@example.com"),
    ("git.user@example.com: a", "git.user@example.com"),
]


@pytest.mark.parametrize(("text", "value"), EMAILS)
def test_addresses(text, value):
    found = [span for span in find_personal_data(text) if span.kind == "EMAIL_ADDRESS"]
    assert [span.text for span in found] == [value or text]


@pytest.mark.parametrize(
    "text",
    bench.listed(
        """
        git@github.com:user/repo.git | ssh -T git@github.com | ssh://git@gitlab.com/u/r.git |
        [user@host.example.com ~]$ ls | [root@db.example.com /var/log]# tail | git clone
        hg@bitbucket.org:a/b | git&#64;github.com:user/repo.git | scp a.txt deploy@web.example.org:/srv/x | rsync x
        me@host.example.org:backup/ | rsync -a u@h.example.org::mod/x | scp dump@db.example.com:dump.sql . |
        user@host.xz:~/x | git@ssh.dev.azure.com:v3/o/p/r | card 1234 5678 9012 3456 | card number 4111 1111 1111 1112
        | 1234-5678-9012-3456 | ４１１１ １１１１ １１１１ １１１２ | SKU 123-45-6789 | sku: 219-45-6789 | Article
        219-45-6789 | Art.-Nr. 219-45-6789 | Artikelnummer 219-45-6789 | item no. 219-45-6789 | product code 219-45-6789
        | SKU&nbsp;219-45-6789 | P/N 555-123-4567 | range 100-200-3000 | 100-200-3000 | ranges from 200-300-4000 |
        values 555-123-4567 | ISBN&nbsp;978-3-16-148410-0 | ISBN ９７８-３-１６-１４８４１０-０ | version １.２.３.４ |
        ２０２４-０１-１５ | ２０２０年１２月２４日 | 50%20of 100%25 | lodash@4.17.21 | &copy; 2024 example.com |
        | 'a'@b |
        "$USER"@host.example.com
        """
    ),
)
def test_lookalikes_are_left_alone(text):
    assert find_personal_data(text) == []


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("call 800-900-1000", "PHONE_NUMBER", "800-900-1000"),
        ("my number is 123-456-7890", "PHONE_NUMBER", "123-456-7890"),
        ("The product is good. SSN 219-45-6789", "US_SSN", "219-45-6789"),
        ("4111 1111 1111 1111 and 5500 0000 0000 0004", "CREDIT_CARD", "4111 1111 1111 1111"),
        ("Tel\u200b555-123-4567", "PHONE_NUMBER", "555-123-4567"),
        ("tel:%2B1%20555%20123%204567", "PHONE_NUMBER", "%2B1%20555%20123%204567"),
    ],
)
def test_still_found_beside_them(text, kind, value):
    assert (kind, value) in [(span.kind, span.text) for span in find_personal_data(text)]


def test_plain_texts_have_no_twin_and_pieces_map_back():
    for text in ("Plain text.", "Größe, naïve “quotes” – dash", "a & b, 5 % of \\url", ""):
        assert twins(text) == []
    text = "\u00ad１&nbsp;%E2%80%89\u200b２ａ"
    first, second = twins(text)
    assert (first.text, second.text) == ("1  2a", "\u00ad1  \u200b2a")
    assert all(len(twin.places) == len(twin.origins) for twin in (first, second))


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "%40",
        "&amp;#64;",
        "&amp;",
        "&#0",
        "\\u0040",
        "\u00ad",
        "１",
        "谢a",
        "谢",
        "٤١١١ ",
        '"@a.bc ',
        '"a',
        "a@b.co:x",
        "．a",
        "%C2",
    ],
)
def test_time_is_linear_in_escapes(piece):
    """100,000 characters; a quadratic rule would take half a minute."""
    text = piece * (100_000 // len(piece))
    for variant in (text, f"x{text}@b.org "):
        start = time.process_time()
        find_personal_data(variant)
        assert time.process_time() - start < 5.0


@pytest.mark.parametrize("gap", ["  ", ".", "\u2013", "&nbsp; ", "\u2009"])
def test_an_iban_with_other_separators_is_found_by_its_checksum(gap):
    written = VALUES["IBAN_CODE"].replace(" ", gap)
    assert [span.text for span in find_personal_data(f"from {written}.")] == [written]
    assert not find_personal_data(f"from {written.replace('89', '88')}.")
