"""The words that tell what a number is: lists for each kind, and lists that speak against it.

They are whole words of lower-case texts; an underscore is a border, so that the keys of data count too
(`customer_phone=`). `context` says which of two words decides and how close a word has to be.
"""

from __future__ import annotations

import re


def words(listed: str) -> re.Pattern[str]:
    """Whole words or phrases with ";" between them, for lower-case text; they may hold small regular expressions."""
    parts = [part.strip() for part in listed.replace("\n", " ").split(";")]
    return re.compile(r"(?<![^\W_])(?:" + "|".join(parts) + r")(?![^\W_])")


PHONE_WORDS = words(
    r"""
    (?:tele)?phone(?:s|d)?; (?:tele|mobile ?)?phone[ _]?(?:numbers?|no|nr|num); phoning;
    tel(?:efono|éfono|efon|éphone|efone|efonu|efonszám|efonsko)?; tels; telef; tél; tlf; tfn; tlph; fone; puh(?:elin)?;
    mobiles?; mobil(?:nummer|szám|telefon)?; mobiel; mobilná; móvil; movil; portable; cells?; cellular; cellphone;
    cellulare; cell?ular; celular; handy(?:nummer)?; telemóvel; telemovel; komórka; kom; gsm; cep; fax; facsimile;
    telefax;
    call(?:ed|ing|s|er)?; callback; ring(?:ing)?; rang; (?:tele)?phoned;
    (?:office|desk|home|work|direct|main|extension|ext|reception)(?=[ :.#-]*$); whats[ _]?app; sms;
    text(?:ed|ing)? (?:me|us|him|her|them|to|at|on); dial(?:l?ed|l?ing)?; reach(?:ed|able)?; answer(?:ing|s)?;
    messages? (?:to|for); contact(?:s|ed)?; contact[ _](?:no|number|info); hotline; helpline; landline; switchboard;
    voicemail; telegram; viber; signal(?=[ :]*$); pager; my registered; registered (?:number|with); ph; mob;
    (?:my|your|ur|his|her|their|our|whose|new|old) (?:num|number|numbers|no\.?); s num(?:ber)?;
    (?:left|leave|leaving|gave|give|took) (?:(?:me|us|him|her|them|you) )?(?:the|a|this|that|its) numbers?;
    numbers? to (?:call|ring|dial);
    toll[ -]free; emergency; hang up; hung up; rufnummer; telefonnummer; téléphone; numéro; telefoon;
    telefoonnummer; puhelinnumero; телефон; тел; моб; τηλ; τηλέφωνο; κιν; 電話; 电话; 전화; text(?=[ :]*$);
    手机(?:号码?)?; 手機; 携帯; 電話番号; 휴대폰; 전화번호;
    give (?:me|us|him|her|them) a (?:ring|bell|shout|call); available (?:at|on)(?= ?$);
    get (?:a )?hold of; (?:bookings|reservations|appointments|enquiries|inquiries|questions)(?=[ ]?[:?!]? ?$)
    """
)
LABELS = words(r"office; fax; mobile; cell; home; work; phone; tel; desk; direct; main")
NOT_PHONE_WORDS = words(
    r"""
    call (?:numbers?|nos?); phone (?:model|id); phones? sold; deadline; lottery; lotto; bingo; keno; jackpot;
    digits?; compute; calculate;
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
# Words of money that say "card" only beside a number with a card's checksum and prefix.
WEAK_CARD_WORDS = words(
    r"""
    withdraw(?:als?|n)?; freeze; frozen; blocked; spending (?:cap|limit); limit; expir(?:es?|ed|y|ing|ation); exp;
    billed; billing; deposits?; purchases?; refund(?:ed|s)?; cash; balance; bank; checkout; subscription
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
    seed; customer; case; commit; account (?:no|number|id)
    """
)
# What labels an article or a range: right in front of a number it is neither a person's nor a telephone's.
ARTICLE_WORDS = words(
    r"""
    skus?; upc; ean; gtin; asin; mpn; nsn; p/n; articles?; art; artikel\w*; artículo; articolo; artigo; items?;
    models?; products?; produkt\w*; produits?; prodotto; producto; codes?; código; codice; catalog(?:ue)?; cat; stock;
    styles?; réf(?:érence)?; referencia; references?; bestell\w*; lots?; batch; versions?; releases?; builds?; rooms?;
    pn; forms?; ranges?; ranging; bereich; intervals?; steps?; sizes?; values?; samples?; specimen; policy; docket;
    part(?:s| ?no| ?number)?
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
    appendix; table; figure; fig; theorem; lemma; eq; isbn; doi; changelog; tag; downgraded?; iso; revision; rev;
    ec; enzyme; sect; sec;
    equations?; propositions?; corollary; definition; examples?; exercises?; listing
    """
)
MAC_WORDS = words(r"mac; hardware address; ethernet; hwaddr; wi-?fi; bssid; physical address; ether")
