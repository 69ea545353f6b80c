"""What stands around a candidate: the words that make a number a telephone or an order number.

A number alone often says nothing: "9472 7916" is a telephone in "call me on 9472 7916" and an
invoice in "invoice 9472 7916". As presidio and Dolma do, the rules look at up to 100 characters on
each side; of two words that disagree the nearer one in front wins.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WINDOW = 100  # characters on each side
_OTHER_NUMBER = re.compile("[0-9]{5,}")
LETTER = re.compile(r"[^\W\d_]")
_SENTENCE_END = re.compile(r"\n|[.;?!] ")
_NEAR = 30
_SAME_THOUGHT = 40  # characters in front within which the end of a sentence separates nothing


class Span(NamedTuple):
    """One piece of personal data: `text[start:stop]`, positions in characters."""

    kind: str
    start: int
    stop: int
    text: str


def words(listed: str) -> re.Pattern[str]:
    """Whole words or phrases with ";" between them, for lower-case text; they may hold small regular expressions."""
    parts = [part.strip() for part in listed.replace("\n", " ").split(";")]
    return re.compile(r"(?<![^\W_])(?:" + "|".join(parts) + r")(?![^\W_])")


PHONE_WORDS = words(
    r"""
    (?:tele)?phones?; tel(?:efono|éfono|efon|éphone)?; telef; tlf; mobiles?; cells?; cellular; cellphone; fax;
    facsimile; call(?:ed|ing|s)?; callback;
    (?:office|desk|home|work|direct|main|extension|ext|reception)(?=[ :.#-]*$); whats ?app; sms;
    text(?:ed|ing)? (?:me|us|him|her|them|to|at|on); dial(?:l?ed|l?ing)?; reach(?:ed|able)?; answering;
    messages? to; contact(?: (?:no|number|info))?; hotline; helpline; landline; switchboard; voicemail;
    ring (?:me|us|him|her|them|at|on|up); telegram; viber; pager; handynummer; móvil; movil;
    (?:my|your|his|her|their|our|new|old) (?:number|no\.?); my registered; registered (?:number|with); ph; mob;
    toll[ -]free; emergency; hang up; hung up; rufnummer; telefonnummer; téléphone;
    telefoon; mobil; handy(?=[ :]*$); cellulare; celular; телефон; тел; text(?=[ :]*$); ring(?=[ :]*$);
    give (?:me|us|him|her|them) a (?:ring|bell|shout); available (?:at|on)(?= ?$)
    """
)
_LABELS = words(r"office; fax; mobile; cell; home; work; phone; tel; desk; direct; main")
NOT_PHONE_WORDS = words(
    r"""
    orders?; order(?:nr| (?:no|number|id)); invoices?; id; ids; uid; identifier; isbns?; issn; doi; ean; upc; gtin;
    asin; sku; pmid; arxiv; account; acct; accounts; a/c; iban; bic; routing; tracking; parcel; shipment; waybill;
    serial; ref; reference; ticket; case; case number; transaction; receipt; confirmation; booking; reservation;
    policy; version; v; release; build; commit; revision; patent; licen[cs]e; passport; ssn; social security; itin;
    card; cc; visa; mastercard; amex; credit; debit; model; part; product; item; code; codes; pin; otp; password;
    zip; postcode; postal; population; score; scores; scored; votes?; page; pages; pp; vol; volume; issue; figure;
    table; section; chapter; dated?; time; timestamp; epoch; born; year; years; price; prices; cost; costs; total;
    sum; amount; paid; usd; eur; gbp; dollars?; euros?; lat; latitude; lon; lng; longitude; coordinates; gps; hash;
    sha1?; sha256; md5; checksum; customer; client; member; student; employee; tax; vat; imei; vin; flight; job;
    row; rows; bytes; size; key; index; offset; port; seed; record; user; barcode; equals?; result; ratio; citizens;
    residents; inhabitants; people; distance; speed; frequency; meters?; metres?; km; ms; registration; certificate;
    docket; lot; batch; sold; grew; grown; rose; risen;
    fell; revenues?
    """
)
CARD_WORDS = words(
    r"""
    (?:credit|debit|bank|payment|charge)?[ -]?cards?; card ?(?:no|nr|number|num); credit; debit; cc; ccn; visa;
    master ?card; amex; american express; discover; diners?(?: club)?; jcb; maestro; unionpay; cvv; cvc;
    kreditkarte; kartennummer; tarjeta; carte; carta; atm; pan; charge[sd]?; charging;
    pay; paid; payments?
    """
)
NOT_CARD_WORDS = words(
    r"""
    orders?; invoices?; tracking; parcel; shipment; serial; isbns?; ean; upc; gtin; imei; id; ids; uuid; snowflake;
    tweet; status; timestamp; epoch; transaction (?:id|number|no); ticket; case; reference; ref; hash; build;
    session; barcode; doi; issn; part; sku; phone; tel; fax; mobile
    """
)
IBAN_WORDS = words(
    r"""
    iban; (?:bank )?account(?: number)?; bank(?:ing)?; wire; transfer(?:red|s)?; bic; swift; sepa; beneficiary;
    payee; konto(?:nummer)?; bankverbindung; compte; cuenta; conto; deposit; remit(?:tance)?
    """
)
SSN_WORDS = words(
    r"""
    ssns?; ss ?#; s\.s\.n; soc(?:ial)?[ .-]{0,2}sec(?:urity)?; social; ss (?:no|number); tax(?:payer)? id
    """
)
NOT_SSN_WORDS = words(
    r"""
    phone; tel; fax; mobile; orders?; invoices?; isbn; itin; tracking; serial; part; ref; ticket; call; ids?; user;
    seed; customer; case; commit; account
    """
)
IP_WORDS = words(
    r"""
    ip(?:v?[46])?s?; address(?:es)?; hosts?; hostname; servers?; ping(?:ed)?; dns; ports?; subnet; netmask; gateway;
    router; network; localhost; client; client_ip; logged in; login; logins; ssh; connect(?:ed|ion|ions|ing)?;
    traffic; requests?; blocked; banned; firewall; proxy; vpn; inet6?; dhcp; lan; attacker; remote; route; peer;
    resolve[sd]?; whois; node; interface; listen(?:ing|s)?; bind; nameserver; tracert; traceroute; curl; telnet
    """
)
NOT_IP_WORDS = words(
    r"""
    ver(?:sion)?s?; v; releases?d?; rel; firmware; sections?; chapters?; clauses?; build; oid; upgraded?;
    update[ds]?; patch(?:ed)?; driver; bios; install(?:ed)?; package; library; app; software; numbered; paragraph;
    appendix; table; figure; fig; theorem; lemma; eq; isbn; doi; changelog; tag; downgraded?; iso; revision; rev
    """
)
MAC_WORDS = words(r"mac; hardware address; ethernet; hwaddr; wi-?fi; bssid; physical address; ether")


def nearest(text: str, start: int, positive: re.Pattern[str], negative: re.Pattern[str], window: int = WINDOW) -> int:
    """Which kind of word stands nearest in front of `start`: 1, -1, or 0 when there is none.

    "order number" ends with a positive word for some kinds; where both end at one place the
    negative one wins. A word further off counts only within the same sentence, and a negative one with
    another number behind it belongs to that.
    """
    before = text[max(0, start - window) : start].lower()
    if LETTER.search(before) is None:
        return 0
    # The nearest word decides, so a look at the nearest characters is mostly enough.
    return (window > _NEAR and _verdict(before[-_NEAR:], positive, negative)) or _verdict(before, positive, negative)


def _verdict(before: str, positive: re.Pattern[str], negative: re.Pattern[str]) -> int:
    """Which word ends last in a lower-case text: 1, -1 or 0."""
    far = before[:-_SAME_THOUGHT]
    stop = max(far.rfind(". "), far.rfind("? "), far.rfind("! "), far.rfind("\n\n"))
    first = last_end(before, positive, max(0, stop))
    others = [match.end() for match in _OTHER_NUMBER.finditer(before)]
    other = last_end(before, negative, max(0, stop, *others[-1:]))
    if first == other:
        return -1 if other >= 0 else 0
    return 1 if first > other else -1


def last_end(text: str, pattern: re.Pattern[str], start: int = 0) -> int:
    """Where the last occurrence in a lower-case text ends, -1 when there is none."""
    end = -1
    for match in pattern.finditer(text, start):
        end = match.end()
    return end


def label_behind(text: str, stop: int) -> bool:
    """Whether a telephone's label stands right behind, as in "416 60 039 office" or "781 1704 (fax)"."""
    behind = re.match(r"[ \t]{0,2}[-–(,:|]?[ \t]?(\w+)(?! *[\w+(:])", text[stop : stop + 20])
    return bool(behind and len(behind[1]) > 1 and _LABELS.fullmatch(behind[1].lower()))


def follows(text: str, stop: int, pattern: re.Pattern[str], window: int = 40) -> bool:
    """Whether such a word stands behind in the same sentence and is not the label of a further number."""
    if LETTER.search(text, stop, stop + window) is None:
        return False
    sentence = _SENTENCE_END.split(text[stop : stop + window + 20].lower(), maxsplit=1)[0]
    match = pattern.search(sentence, 0, window)
    return match is not None and re.search("[0-9]", sentence[: match.end() + 15]) is None


def near(text: str, start: int, stop: int, pattern: re.Pattern[str], window: int = WINDOW) -> bool:
    """Whether one of the words stands within `window` characters on either side."""
    before, behind = text[max(0, start - window) : start], text[stop : stop + window]
    return bool(pattern.search(before.lower()) or pattern.search(behind.lower()))
