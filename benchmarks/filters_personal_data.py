"""Precision, recall and speed of the personal-data rules.

    python benchmarks/filters_personal_data.py [--data ../shared/data]

On presidio's synthetic texts (filters/pii_synth.json), on texts of other templates and formats that are made
here (`made_texts`, seeded, checksums computed), and the rate of findings on clean text.
A finding is right when it overlaps a marked span of its kind; "exact" counts equal spans.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path

from minillama.data.rules.personal_data.filter import find_personal_data

KINDS = ("EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN")
Text = tuple[str, list[tuple[str, int, int]]]


def listed(text: str) -> list[str]:
    """Parts with "|" between them."""
    return " ".join(text.split()).split(" | ")


PHONE_FORMATS = listed(
    """
    +1 (###) ###-#### | (###) ###-#### | ###.###.#### | ###-###-#### | 1-###-###-#### | +1.###.###.#### | ### ### ####
    | +44 20 7### #### | 020 7### #### | +44 (0)161 ### #### | 07### ###### | +49 30 ######## | +49 (0)89 / ###### |
    030/####### | 0171 ###### | +33 1 ## ## ## ## | 06 ## ## ## ## | 06.##.##.##.## | +34 6## ### ### | 91 ### ## ## |
    +39 06 #### #### | +39 3## ####### | +31 6 ######## | 06-######## | +32 4## ## ## ## | +41 44 ### ## ## | +43 1
    ####### | +45 ## ## ## ## | +46 70-### ## ## | 08-### ### ## | +47 ### ## ### | +358 40 ####### | +48 ### ### ###
    | +420 ### ### ### | +36 1 ### #### | +7 (9##) ###-##-## | 8 (9##) ###-##-## | +90 5## ### ## ## | +91 9#### #####
    | +91-98######## | +86 138 #### #### | +81 3-####-#### | 090-####-#### | +82 10-####-#### | +61 4## ### ### | (02)
    9### #### | +64 21 ### #### | +55 11 9####-#### | (11) 9####-#### | +52 55 #### #### | +54 9 11 ####-#### | +27 82
    ### #### | +234 803 ### #### | +972-5#-###-#### | +971 50 ### #### | 0044 20 7### #### | 00 49 30 ####### | (###)
    ###-#### ext. ### | ###-###-#### x#### | +1-###-###-####x### | +14######### | +4479######## | 9####### | ### ####
    | #### ####
    """
)
WRITTEN = {
    "PHONE_NUMBER": listed(
        """
        Give me a call on {} after six. | Tel: {} | Phone number: {} | You can reach our office at {}. | mob. {} | Fax
        {} (weekdays) | WhatsApp: {} | Text me at {} please | My number is {}, ring any time. | Contact: {} or by
        post. | For bookings dial {}! | {} (mobile) | She left her phone number ({}) at the desk. | Cell: {}; leave a
        message
        """
    ),
    "EMAIL_ADDRESS": listed(
        """
        Write to {}. | mailto:{} | <{}> wrote: | E-mail: {}, or call | ({}) | contact {} for details | {}; | Send it
        to {}! | cc: "{}"
        """
    ),
    "IP_ADDRESS": listed(
        """
        Failed password for root from {} port 22 | ping {} | The server's IP address is {}. | connection from [{}]
        refused | client {}, request | host={} status=200 | Blocked {} again | inet {} netmask
        """
    ),
    "CREDIT_CARD": listed(
        """
        Card number: {} | I paid with my Visa {} yesterday. | Mastercard {} exp 04/27 | {} is my credit card number |
        CC {} CVV 123 | please charge {} for the order | Amex: {} | payment card {}.
        """
    ),
    "IBAN_CODE": listed(
        """
        IBAN: {} | Please wire it to {}. | account {} at our bank | Our bank details: {}, thank you | Konto {} |
        Transfer 50 euros to {} by Friday | Beneficiary {}
        """
    ),
    "US_SSN": listed(
        """
        SSN {} | Social Security Number: {} | my social security no. is {}. | SSN: {}, born in May | The applicant's
        SSN ({}) is on file | soc sec # {} | Social security: {}
        """
    ),
}
CLEAN = listed(
    """
    Your order number is {d8}. | Order #{d3}-{d7}-{d7} has shipped. | Invoice {d10} is due. | On 2021-0{n}-1{n} we
    met. | Date: 0{n}/2{n}/20{d2} | ISBN 978-0-{d3}-{d5}-{n} | ISBN 0-{d3}-{d5}-{n} | doi:10.{d4}/{d7}.20{d2}.{d7} |
    Upgrade to version {n}.{n}.{n}.{n} now. | v{n}.{n}.{n}.{n} | The train leaves at {n}:{d2}:{d2}. | It costs
    ${d3},{d3}.{d2} in total. | Located at 4{n}.{d6}, -7{n}.{d6}. | commit {h40} | md5 {h32} | Twitter status {d18} |
    User id {d9} logged out. | From 1914-1918 and 1939-1945. | They won 21-17, 19-21, 21-15. | {d3} + {d4} = {d5} | x
    = {d3}.{d7} | for (int i = 0; i < {d8}; i++) | population of 1{n},{d3},{d3} people | a[::1] + b[::2] |
    std::vector<int> v({d7}); | {h8}-{h4}-{h4}-{h4}-{h12} | tracking number {d12} | UPC {d12} | Serial no. {d10} | the
    account balance was {d7} yen | timestamp 16{d8} | 16{d8}{d3} ms since the epoch | pi is 3.14159{d9} | section
    {n}.{n}.{n}.{n} of the report | ratio 1:2:3:4 | seed={d9} | The distance is {d3} {d3} km. | pages {d3}-{d3} | RFC
    {d4} and PEP {d3} | call f(x) with x = {d7} | @decorator.name | a @ b.T | git checkout user@{n} | patent US {d7} |
    GDP of {d3} {d3} {d3} dollars | case number {d2}-{d6} | flight AB{d4} at 1{n}:30 | 0x{h8} | Fig. {n}.{n} | phone
    model GT-I{d4} | They called {d2} times in {d4}. | sha1 {h40} ok | 12 34 56 78 90 11 22 33 | flour 250 g, 180 C,
    35 min
    """
)
LUHN_PREFIXES = (
    ("4", 16),
    ("4", 13),
    ("51", 16),
    ("55", 16),
    ("2221", 16),
    ("34", 15),
    ("37", 15),
    ("6011", 16),
    ("3530", 16),
    ("36", 14),
    ("5018", 16),
    ("4", 19),
)
IBAN_BODIES = {
    "DE": 18,
    "FR": 23,
    "GB": 18,
    "ES": 20,
    "IT": 23,
    "NL": 14,
    "CH": 17,
    "AT": 16,
    "BE": 12,
    "PL": 24,
    "SE": 20,
    "NO": 11,
    "DK": 14,
    "IE": 18,
    "MT": 27,
}


def filled(rng: random.Random, pattern: str) -> str:
    """Digits for every "#", the first of them not 0 or 1."""
    out, first = [], True
    for character in pattern:
        out.append(str(rng.randint(2 if first else 0, 9)) if character == "#" else character)
        first = first and character != "#"
    return "".join(out)


def made_card(rng: random.Random) -> str:
    """A Luhn-valid number, bare or in the groups of a card."""
    prefix, length = rng.choice(LUHN_PREFIXES)
    body = prefix + "".join(str(rng.randint(0, 9)) for _ in range(length - 1 - len(prefix)))
    doubled = sum(sum(divmod(2 * int(d), 10)) for d in body[::-1][::2]) + sum(int(d) for d in body[::-1][1::2])
    digits = body + str(-doubled % 10)
    shape = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}.get(length)
    separator = rng.choice(["", " ", "-"])
    if not shape or not separator:
        return digits
    parts, at = [], 0
    for width in shape:
        parts.append(digits[at : at + width])
        at += width
    return separator.join(parts)


def made_iban(rng: random.Random) -> str:
    """A valid IBAN, in one piece or in groups of four."""
    country = rng.choice(sorted(IBAN_BODIES))
    body = "".join(str(rng.randint(0, 9)) for _ in range(IBAN_BODIES[country]))
    if country in ("GB", "NL", "IE", "MT"):
        body = "".join(rng.choice("ABCDKLMNRSTU") for _ in range(4)) + body[4:]
    turned = "".join(str(int(c, 36)) for c in body + country + "00")
    compact = f"{country}{98 - int(turned) % 97:02d}{body}"
    return compact if rng.random() < 0.5 else " ".join(compact[i : i + 4] for i in range(0, len(compact), 4))


def made_ip(rng: random.Random) -> str:
    """IPv4 or IPv6, full or shortened."""
    if rng.random() < 0.5:
        return ".".join(str(rng.randint(1, 254)) for _ in range(4))
    groups = [f"{rng.getrandbits(16):x}" for _ in range(8)]
    if rng.random() < 0.6:
        first, last = rng.randint(1, 3), rng.randint(4, 7)
        return ":".join(groups[:first]) + "::" + ":".join(groups[last:])
    return ":".join(groups)


def made_email(rng: random.Random) -> str:
    """Plus tags, dots, subdomains, other alphabets."""
    name = rng.choice(["anna.berg", "j.o'neil", "jürgen", "li_wei", "first-last", "x", "мария", "user99", "A.B.Smith"])
    tag = rng.choice(["", "", "+news", "+a.b"])
    domain = rng.choice(["", "mail.", "a-b.c."]) + rng.choice(["example", "uni-köln", "gmail", "x1"])
    return f"{name}{tag}@{domain}.{rng.choice(['com', 'co.uk', 'org', 'museum', 'io', 'de'])}"


def made_ssn(rng: random.Random) -> str:
    """A possible number, with dashes, blanks, dots or nothing between."""
    area = rng.choice([a for a in range(1, 900) if a != 666])
    return rng.choice(["-", "-", " ", ".", ""]).join(
        (f"{area:03d}", f"{rng.randint(1, 99):02d}", f"{rng.randint(1, 9999):04d}")
    )


def made_clean(rng: random.Random) -> str:
    """A sentence with numbers that are nobody's."""
    text = rng.choice(CLEAN)
    while "{" in text and (end := text.find("}")) > 0:
        start = text.rfind("{", 0, end)
        kind, count = text[start + 1], int(text[start + 2 : end] or 1)
        alphabet = "0123456789abcdef" if kind == "h" else "0123456789"
        value = rng.choice("123456789") + "".join(rng.choice(alphabet) for _ in range(count - 1))
        text = text[:start] + value + text[end + 1 :]
    return text


def made_texts(count: int = 2000, seed: int = 0) -> list[Text]:
    """Texts of one to four sentences, some with one marked piece of personal data each, some with none."""
    rng = random.Random(seed)
    makers = {
        "EMAIL_ADDRESS": made_email,
        "IP_ADDRESS": made_ip,
        "CREDIT_CARD": made_card,
        "IBAN_CODE": made_iban,
        "US_SSN": made_ssn,
    }
    texts: list[Text] = []
    for _ in range(count):
        text, spans = "", []
        for _ in range(rng.randint(1, 4)):
            text += rng.choice(["", "\n", "  "] if text else [""]) + (" " if text else "")
            if rng.random() < 0.5:
                text += made_clean(rng)
                continue
            kind = rng.choice(KINDS)
            value = filled(rng, rng.choice(PHONE_FORMATS)) if kind == "PHONE_NUMBER" else makers[kind](rng)
            before, after = rng.choice(WRITTEN[kind]).split("{}")
            spans.append((kind, len(text) + len(before), len(text) + len(before) + len(value)))
            text += before + value + after
        texts.append((text, spans))
    return texts


WRITERS = (
    lambda value: "".join(f"&#{ord(c)};" if not c.isalnum() else c for c in value),
    lambda value: value.replace("@", "%40").replace(" ", "%20"),
    lambda value: value.replace(" ", "\u00a0").replace("-", "\u2011"),
    lambda value: value.replace(" ", "\u2009"),
    lambda value: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and c not in "'%" else c for c in value),
    lambda value: "".join(chr(0x660 + int(c)) if c in "0123456789" else c for c in value),
    lambda value: value[:2] + "".join(c if c.isalnum() else f"\u200b{c}" for c in value[2:]),
)


def in_other_writing(texts: list[Text], seed: int = 0) -> list[Text]:
    """The same texts with every marked value escaped, in other digits, or with other blanks."""
    rng = random.Random(seed)
    found: list[Text] = []
    for text, spans in texts:
        written, moved, position = "", [], 0
        for kind, start, stop in spans:
            value = rng.choice(WRITERS)(text[start:stop])
            written += text[position:start]
            moved.append((kind, len(written), len(written) + len(value)))
            written += value
            position = stop
        found.append((written + text[position:], moved))
    return found


def presidio_texts(path: Path) -> list[Text]:
    """presidio-research's synthetic texts with the kinds that are measured."""
    records = json.loads(path.read_text(encoding="utf-8"))
    return [
        (
            r["full_text"],
            [
                (s["entity_type"], s["start_position"], s["end_position"])
                for s in r["spans"]
                if s["entity_type"] in KINDS
            ],
        )
        for r in records
    ]


def measured(texts: list[Text], show: int = 0) -> dict[str, dict[str, float]]:
    """Recall, precision and exact recall of each kind; `show` prints that many mistakes of each."""
    counts: Counter[tuple[str, str]] = Counter()
    for text, marked in texts:
        found = find_personal_data(text)
        for kind in KINDS:
            right = {(start, stop) for k, start, stop in marked if k == kind}
            ours = {(span.start, span.stop) for span in found if span.kind == kind}
            missed = {a for a in right if not any(a[0] < b[1] and b[0] < a[1] for b in ours)}
            wrong = {b for b in ours if not any(a[0] < b[1] and b[0] < a[1] for a in right)}
            counts.update(
                {(kind, "marked"): len(right), (kind, "found"): len(ours), (kind, "exact"): len(right & ours)}
            )
            counts.update({(kind, "missed"): len(missed), (kind, "wrong"): len(wrong)})
            if (missed or wrong) and counts[kind, "shown"] < show:
                counts[kind, "shown"] += 1
                mistakes = [[text[a:b] for a, b in places] for places in (missed, wrong)]
                print(f"    {kind} missed {mistakes[0]} wrong {mistakes[1]} in {text!r}")
    return {
        kind: {
            "count": counts[kind, "marked"],
            "recall": 1 - counts[kind, "missed"] / max(1, counts[kind, "marked"]),
            "precision": 1 - counts[kind, "wrong"] / max(1, counts[kind, "found"]),
            "exact": counts[kind, "exact"] / max(1, counts[kind, "marked"]),
        }
        for kind in KINDS
    }


def clean_rate(text: str) -> tuple[Counter[str], float, float]:
    """Findings by kind, findings per million characters, and MB per second."""
    start = time.perf_counter()
    found = find_personal_data(text)
    seconds = time.perf_counter() - start
    return Counter(span.kind for span in found), len(found) / len(text) * 1e6, len(text.encode()) / seconds / 1e6


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="mistakes to print for each kind")
    arguments = parser.parse_args()
    sets = {f"made here, seed {arguments.seed}": made_texts(5000, arguments.seed)}
    sets["the same in other writing"] = in_other_writing(made_texts(5000, arguments.seed), arguments.seed)
    if (arguments.data / "filters" / "pii_synth.json").exists():
        sets["presidio's synthetic texts"] = presidio_texts(arguments.data / "filters" / "pii_synth.json")
    for title, texts in sets.items():
        print(f"{title} ({len(texts)} texts)")
        for kind, row in measured(texts, arguments.show).items():
            shares = "  ".join(f"{name} {row[name]:.3f}" for name in ("recall", "precision", "exact"))
            print(f"  {kind:14} n={row['count']:<5} {shares}")
    for name in ("tinystories/train.txt", "wikitext-2/test.txt", "wikitext-2/valid.txt"):
        if (arguments.data / name).exists():
            kinds, rate, speed = clean_rate((arguments.data / name).read_text(encoding="utf-8"))
            print(f"{name}: {rate:.2f} findings per million characters {dict(kinds)}, {speed:.1f} MB/s")


if __name__ == "__main__":
    main()
