"""Checksums and numbering rules of personal data: pure functions from a string to a yes or no.

Sources: ISO/IEC 7812-1 (card numbers, annex B: the Luhn formula) and the networks' published issuer
prefixes; ISO 13616 (IBAN, modulus 97 of ISO/IEC 7064) and the lengths of the SWIFT registry; the
US Social Security Administration's rules since 2011 (no area 000, 666 or 900 to 999, no group 00,
no serial 0000); the IRS's ranges of taxpayer numbers; base58check of Bitcoin; BIP 173 and BIP 350
(bech32 and bech32m); ABA routing numbers (weights 3, 7, 1).
"""

from __future__ import annotations

import hashlib

_IBAN_LENGTHS = {
    int(part.split(":")[0]): part.split(":")[1]
    for part in (
        "15:NO",
        "16:BE",
        "18:DK FI FK FO GL NL SD",
        "19:MK SI",
        "20:AT BA EE KZ LT LU MN XK",
        "21:CH HR LI LV",
        "22:BG BH CR DE GB GE IE ME RS VA",
        "23:AE GI IL IQ OM SO TL",
        "24:AD CZ ES MD PK RO SA SE SK TN VG",
        "25:LY PT ST",
        "26:IS TR",
        "27:BI DJ FR GR IT MC MR SM",
        "28:AL AZ BY CY DO GT HU LB NI PL SV",
        "29:BR EG PS QA UA",
        "30:JO KW MU YE",
        "31:MT SC",
        "32:LC",
        "33:RU",
    )
}
IBAN_LENGTH = {country: length for length, names in _IBAN_LENGTHS.items() for country in names.split()}

# First and last prefix, and the lengths that a network issues.
_ISSUERS = (
    (("4",), ("4",), (13, 16, 19)),  # Visa
    (("51",), ("55",), (16,)),  # Mastercard
    (("2221",), ("2720",), (16,)),  # Mastercard since 2017
    (("34", "37"), ("34", "37"), (15,)),  # American Express
    (("300", "3095", "36", "38"), ("305", "3095", "36", "39"), (14, 16, 19)),  # Diners Club
    (("6011", "644", "65"), ("6011", "649", "65"), (16, 19)),  # Discover
    (("35",), ("35",), (16, 19)),  # JCB: 3528 to 3589, and what generators of test numbers make of it
    (("1800", "2131"), ("1800", "2131"), (15,)),  # JCB, older
    (("62",), ("62",), (16, 17, 18, 19)),  # UnionPay
    (("50", "56", "6"), ("50", "58", "6"), (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro and its relatives
    (("2200",), ("2204",), (16,)),  # Mir
)
_BASE58 = {
    character: value for value, character in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}
_BECH32 = {character: value for value, character in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_LUHN_DOUBLE = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn_valid(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of those before it."""
    numbers = [int(d) for d in reversed(digits)]
    return (sum(numbers[::2]) + sum(_LUHN_DOUBLE[d] for d in numbers[1::2])) % 10 == 0


def card_issuer_known(digits: str) -> bool:
    """Whether a payment network issues numbers of this length with this prefix."""
    for first, last, lengths in _ISSUERS:
        if len(digits) in lengths and any(a <= digits[: len(a)] <= b for a, b in zip(first, last)):
            return True
    return False


def iban_shaped(compact: str) -> bool:
    """Whether an IBAN without separators has a known country and that country's length."""
    return IBAN_LENGTH.get(compact[:2].upper()) == len(compact) and compact.isascii() and compact[2:4].isdigit()


def iban_valid(compact: str) -> bool:
    """Country, length and modulus 97 of an IBAN without separators, in either case."""
    return iban_shaped(compact) and iban_checksum_valid(compact)


def iban_checksum_valid(compact: str) -> bool:
    """Modulus 97 of an IBAN without separators, whatever its country and length."""
    if not (compact.isascii() and compact.isalnum()):
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def ssn_valid(digits: str) -> bool:
    """Whether nine digits may be a US Social Security number; three well-known advertised ones are not."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return digits not in ("078051120", "219099999", "457555462")


def itin_valid(digits: str) -> bool:
    """Whether nine digits may be a US individual taxpayer number: 9xx, and a group of the IRS's ranges."""
    group = int(digits[3:5])
    return digits[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def routing_valid(digits: str) -> bool:
    """The checksum of a nine-digit US bank routing number."""
    return sum(int(d) * weight for d, weight in zip(digits, (3, 7, 1) * 3)) % 10 == 0


def base58_valid(address: str) -> bool:
    """Whether a Bitcoin address (25 bytes in base 58) ends with the first four bytes of its double SHA-256."""
    number = 0
    for character in address:
        if character not in _BASE58:
            return False
        number = number * 58 + _BASE58[character]
    if number >= 1 << 200:
        return False
    raw = number.to_bytes(25, "big")
    zeros = len(address) - len(address.lstrip("1"))
    leading = len(raw) - len(raw.lstrip(b"\0"))
    return zeros == leading and hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def bech32_valid(address: str) -> bool:
    """The checksum of a segregated-witness address: bech32 for version 0, bech32m for the later ones."""
    if address.lower() != address and address.upper() != address:
        return False
    prefix, _, data = address.lower().rpartition("1")
    if not prefix or len(data) < 8 or len(address) > 90 or any(character not in _BECH32 for character in data):
        return False
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32[c] for c in data]
    return _bech32_polymod(values) == (1 if data[0] == "q" else 0x2BC830A3)


def _bech32_polymod(values: list[int]) -> int:
    """The BCH code's remainder (BIP 173)."""
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check
