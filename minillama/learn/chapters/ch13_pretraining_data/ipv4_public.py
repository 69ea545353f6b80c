"""An address of the public internet."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise
from .inputs import each

NETWORKS = ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")


def library_ipv4(text: str) -> bool:
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return not any(address in ipaddress.IPv4Network(network) for network in NETWORKS)


def make_addresses(rng: np.random.Generator, addresses: int) -> tuple[Any, ...]:
    def some(n: int) -> str:
        return ".".join(map(str, rng.integers(2, 250, n)))

    kinds: tuple[Callable[[], str], ...] = (
        lambda: f"83.{some(3)}",
        lambda: f"172.{rng.integers(17, 31)}.{some(2)}",
        lambda: f"192.{rng.integers(170, 250)}.{some(2)}",
        lambda: f"83.{some(2)}.256",
        lambda: f"10.{some(3)}",
        lambda: f"172.{rng.integers(32, 250)}.{some(2)}",
        lambda: f"127.{some(3)}",
        lambda: f"83.0{rng.integers(1, 9)}.{some(2)}",
        lambda: f"192.168.{some(2)}",
        lambda: f"169.254.{some(2)}",
        lambda: f"84.{some(2)}",
        lambda: f"84.{some(4)}",
        lambda: f"172.16.{some(2)}",
        lambda: f"9.{some(3)}",
        lambda: f"169.{rng.integers(10, 250)}.{some(2)}",
        lambda: f"84.{some(2)}.x1",
        lambda: f"8.{some(1)}.0.{rng.integers(2, 250)}",
        lambda: f"172.15.{some(2)}",
        lambda: f"172.31.{some(2)}",
        lambda: f"172.32.{some(2)}",
        lambda: f"83.255.{some(2)}",
        lambda: f"83.{some(2)}.255",
        lambda: f"{rng.integers(101, 110)}.{some(3)}",
        lambda: f"{rng.choice([11, 126, 128])}.{some(3)}",
        lambda: f"192.{rng.choice([167, 169])}.{some(2)}",
        lambda: f"169.{rng.choice([253, 255])}.{some(2)}",
        lambda: f"{rng.choice([191, 193])}.168.{some(2)}",
        lambda: f"+8.{some(3)}",
        lambda: f" 8.{some(3)}",
        lambda: f"8.{some(2)}. {rng.integers(2, 250)}",
        lambda: f"8.{some(2)}.-{rng.integers(2, 250)}",
        lambda: f"8.{some(2)}.",
        lambda: f"1_0.{some(3)}",
        lambda: f"84.{some(2)}",
        lambda: f"10.0.0.{rng.integers(2, 250)}",
        lambda: f"10.255.{some(2)}",
        lambda: f"8.{some(2)}.{rng.integers(257, 999)}",
        lambda: f"8..{some(3)}",
        lambda: f"8.0.{some(2)}",
        lambda: f".8.{some(3)}",
        lambda: f"8.{some(3)}.",
        lambda: f"127.0.0.{rng.integers(1, 250)}",
        lambda: f"192.168.0.{rng.integers(1, 250)}",
        lambda: f"172.{rng.integers(17, 31)}.0.0",
        lambda: f"192.0.2.{rng.integers(2, 250)}",
        lambda: f"198.18.{some(2)}",
        lambda: f"{rng.integers(240, 250)}.{some(3)}",
        lambda: f"0.{some(3)}",
    )
    return ([kinds[n % len(kinds)]() for n in range(addresses)],)


@exercise(
    title="An address of the public internet",
    difficulty=1,
    minutes=12,
    make=make_addresses,
    shapes=(
        {"addresses": 1},
        {"addresses": 4},
        {"addresses": 9},
        {"addresses": 16},
        {"addresses": 48},
        {"addresses": 96},
    ),
    exact=True,
    observe=each,
    oracle=library_ipv4,
    hints=(
        "Cut at the dots first: there must be four parts, each of decimal digits, 0 to 255, without leading zeros.",
        "Then compare numbers, not text: 172.16 to 172.31 is private, the rest of 172 is not.",
        'parts = text.split(".")\n'
        "well formed: len(parts) == 4 and all(p.isdecimal() and p == str(int(p)) and int(p) <= 255 for p in parts)\n"
        "a, b = int(parts[0]), int(parts[1])\n"
        "private: a in (10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31)",
    ),
    why=(
        "Compared with str(int(p)), a part with a leading zero is found out, after isdecimal has refused the signs "
        "and spaces that int would accept. A private range is a prefix, so the first two numbers decide. Of 172 it is "
        "a prefix of 12 bits, which is 16 to 31 in the second number."
    ),
)
def ipv4_public(text):
    """Say whether a text is a well-formed IPv4 address that is not private.

    Well formed: four decimal numbers 0 to 255 without leading zeros, with dots between them.
    Private: 10.*.*.*, 127.*.*.*, 169.254.*.*, 172.16.*.* to 172.31.*.*, 192.168.*.*.
    Other reserved ranges, such as 0.*.*.*, count as public here.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool
        False as well for what is not an address.
    """
    parts = text.split(".")
    if len(parts) != 4 or not all(p.isdecimal() and p == str(int(p)) and int(p) <= 255 for p in parts):
        return False
    a, b = int(parts[0]), int(parts[1])
    is_private = a in (10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31)
    return not is_private


Ranges = Sequence[tuple[tuple[int, int], tuple[int, int]]]
PRIVATE: Ranges = (
    ((10, 0), (10, 255)),
    ((127, 0), (127, 255)),
    ((169, 254), (169, 254)),
    ((172, 16), (172, 31)),
    ((192, 168), (192, 168)),
)


def ipv4(private: Ranges = PRIVATE, least: int = 0, most: int = 255, zeros: bool = False, parts: int = 4) -> Function:
    """The rule with its parts exchanged, for mistakes."""

    def public(text: str) -> bool:
        groups = text.split(".")
        if len(groups) < parts or (parts == 4 and len(groups) != 4):
            return False
        if not all(g.isdecimal() and least <= int(g) <= most and (zeros or g == str(int(g))) for g in groups):
            return False
        start = int(groups[0]), int(groups[1])
        return not any(first <= start <= last for first, last in private)

    return public


ipv4_public.mistake(
    "Your function takes all of 172 as private.",
    "Only 172.16 to 172.31 is: 12 bits are fixed, 172.16.0.0/12.",
    ipv4([*PRIVATE[:3], ((172, 0), (172, 255)), PRIVATE[4]]),
)

ipv4_public.mistake(
    "Your function takes only 172.16 as private.",
    "The range is 172.16.0.0/12, which is 172.16 to 172.31.",
    ipv4([*PRIVATE[:3], ((172, 16), (172, 16)), PRIVATE[4]]),
)

ipv4_public.mistake(
    "Your function takes all of 192 as private.",
    "Only 192.168 is.",
    ipv4([*PRIVATE[:4], ((192, 0), (192, 255))]),
)

ipv4_public.mistake(
    "Your function lets addresses of the machine itself (127) pass.",
    "127.0.0.0/8 is the loop back to the machine: nobody's address on the internet.",
    ipv4([PRIVATE[0], *PRIVATE[2:]]),
)

ipv4_public.mistake(
    "Your function takes 256 as a byte.",
    "A part is one byte, 0 to 255.",
    ipv4(most=256),
)

ipv4_public.mistake(
    "Your function refuses a part that is 0.",
    "8.8.0.1 is well formed: a leading zero is one with a digit after it.",
    ipv4(least=1),
)


@ipv4_public.mistake(
    "Your function accepts signs and spaces, as int() does.",
    "int(' 8'), int('+8') and int('1_0') are numbers to Python, but no parts of an address: ask "
    "part.isdecimal() first.",
)
def ipv4_by_int(text):
    """Every part that int() reads is written as digits before it is judged."""
    groups = text.split(".")
    try:
        digits = [group if group.isdecimal() else str(int(group)) for group in groups]
    except ValueError:
        return False
    return ipv4_public(".".join(digits))


ipv4_public.mistake(
    "Your function accepts leading zeros.",
    "Some programs read 010 as the octal number 8, so an address with leading zeros is ambiguous and not well formed.",
    ipv4(zeros=True),
)

ipv4_public.mistake(
    "Your function does not ask for exactly four parts.",
    "Three numbers are a version or a date, five are a section of a document: len(parts) == 4.",
    ipv4(parts=2),
)


@ipv4_public.mistake(
    "Your function takes reserved ranges that are not in the list for private, as the module ipaddress does.",
    "192.0.2.* is for examples, 198.18.*.* for measurements: nobody's home, but not among the five ranges.",
)
def ipv4_by_library(text):
    try:
        return not ipaddress.IPv4Address(text).is_private
    except ValueError:
        return False
