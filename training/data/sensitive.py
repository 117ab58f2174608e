"""Finds personal data and secrets in a text by their form. Only the kind and a mask of a finding are shown, never the
text.

Numbers count if their check digits are right: IBANs by ISO 7064 modulo 97, payment cards by Luhn. Names, addresses and
other data without a form of its own are not found.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["private_key", "secret", "iban", "payment_card", "email", "phone"]
KINDS: tuple[Kind, ...] = ("private_key", "secret", "iban", "payment_card", "email", "phone")


@dataclass(frozen=True)
class Finding:
    """Something that should not be learned. `masked` shows just enough to find it again on its line."""

    line: int
    kind: Kind
    masked: str


def find_sensitive(text: str, line: int = 0) -> list[Finding]:
    """Every personal datum and secret of a text. A piece of text counts once, as the more serious kind."""
    plain = _plain(text)
    found: list[Finding] = []
    taken: list[tuple[int, int]] = []
    for kind in KINDS:
        for start, end, masked in _FINDERS[kind](plain):
            if not any(start < other_end and other_start < end for other_start, other_end in taken):
                taken.append((start, end))
                found.append(Finding(line, kind, masked))
    return found


def _plain(text: str) -> str:
    """Full-width digits become digits, and invisible characters go: such text was written for human readers only."""
    if text.isascii():
        return text
    joined = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return unicodedata.normalize("NFKC", joined).translate(_DASHES)


_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212"), "-")
Span = tuple[int, int, str]
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ((?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?)-----(?:.*?-----END \1-----|.*)", re.DOTALL
)
_TOKENS = re.compile(
    r"\b(?:sk-(?:[a-z]+-)*[A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{16}|gh[opsur]_[A-Za-z0-9]{20,}"
    r"|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|hf_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[A-Za-z0-9_-]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)"
)
_IN_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:([^\s/@]{3,})@")
_ASSIGNED = re.compile(
    r"\b(?:pass(?:word|wd|phrase|code)|secret|api[ _-]?key|access[ _-]?(?:key|token)|auth[ _-]?token|client[ _-]?secret"
    r"|bearer)\b[\"']?\s*(?:[:=]|\bis\b)?\s*[\"'`]?([^\s\"'`,;]{8,})",
    re.IGNORECASE,
)
_ASSIGNING = ("pass", "secret", "key", "token", "bearer")
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,42}))")
_IBAN_LENGTHS = dict(
    re.findall(
        r"([A-Z]{2})(\d{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 "
        "LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 "
        "QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30",
    )
)
_CARD = re.compile(r"(?<![\d.,-])(?<!\d )[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d])(?![.,-]\d)")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}(?![\w@])")
_PHONE = re.compile(
    r"(?<![\w+./:-])(?<!\d )(?:(?:\+|00)[1-9]\d{0,2}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?(?:\d[ ./-]{0,3}){5,12}\d"
    r"|\(0?\d{2,5}\)[ ./-]?\d{2,4}(?:[ ./-]?\d{2,4}){1,4}|0\d{1,4}[ /-]\d{2,4}(?:[ -]?\d{2,4}){1,4}"
    r"|\d{3}[ .-]\d{3}[ .-]\d{4})(?![\w]|[.,:-]\d)"
)
_DATE = re.compile(r"\d{1,2}[ ./-]\d{1,2}[ ./-]\d{4}")
LEAST_ENTROPY = 2.5
"""From this many bits a character on, a word behind "password" counts as a password, not as a word of the language."""


def _private_keys(text: str) -> Iterator[Span]:
    if "PRIVATE KEY" in text:
        for found in _PRIVATE_KEY.finditer(text):
            yield found.start(), found.end(), f"-----BEGIN {found.group(1)}----- …"


def _secrets(text: str) -> Iterator[Span]:
    for found in _TOKENS.finditer(text):
        yield found.start(), found.end(), f"{found.group()[:3]}… ({len(found.group())} characters)"
    if "://" in text:
        for found in _IN_URL.finditer(text):
            yield found.start(1), found.end(1), f"a password in a URL ({len(found.group(1))} characters)"
    lowered = text.lower()
    if any(word in lowered for word in _ASSIGNING):
        for found in _ASSIGNED.finditer(text):
            if _random(value := found.group(1).rstrip(".!?)")):
                yield found.start(1), found.start(1) + len(value), f"a secret in plain words ({len(value)} characters)"


def _random(value: str) -> bool:
    """Whether a word looks like a secret: letters with digits or signs among them, with little repetition."""
    if value.isalpha() or value.isdigit() or value.startswith(("<", "{", "$", "[", "*")) or value.count("*") > 2:
        return False
    counts = Counter(value)
    bits = -math.fsum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return bits >= LEAST_ENTROPY and any(letter.isdigit() for letter in value)


def _ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        country = found.group(1)[:2].upper()
        length = int(_IBAN_LENGTHS.get(country, 0))
        end, digits = _cut(found.group(1), length)
        if length and len(digits) == length and _mod_97(digits.upper()) == 1:
            yield found.start(), found.start() + end, f"{country}** … **{digits[-2:].upper()}"


def _cut(text: str, length: int) -> tuple[int, str]:
    """The first `length` letters and digits of a text, and where they end in it: an IBAN without the words
    behind it."""
    taken = [(place, letter) for place, letter in enumerate(text) if letter.isalnum()][:length]
    return (taken[-1][0] + 1 if taken else 0), "".join(letter for _, letter in taken)


def _mod_97(iban: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])) % 97


def _cards(text: str) -> Iterator[Span]:
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if 13 <= len(digits) <= 19 and len(set(digits)) > 1 and _luhn(digits):
            yield found.start(), found.end(), f"**** … {digits[-4:]}"


def _luhn(digits: str) -> bool:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _emails(text: str) -> Iterator[Span]:
    if "@" in text:
        for found in _EMAIL.finditer(text):
            name, host = found.group().rsplit("@", 1)
            yield found.start(), found.end(), f"{name[0]}***@***.{host.rsplit('.', 1)[1]}"


def _phones(text: str) -> Iterator[Span]:
    for found in _PHONE.finditer(text):
        digits = re.sub(r"\D", "", found.group())
        if 8 <= len(digits) <= 15 and len(set(digits)) > 2 and not _DATE.fullmatch(found.group()):
            yield found.start(), found.end(), f"{found.group()[:3]}… **{digits[-2:]}"


_FINDERS: dict[Kind, Callable[[str], Iterator[Span]]] = {
    "private_key": _private_keys,
    "secret": _secrets,
    "iban": _ibans,
    "payment_card": _cards,
    "email": _emails,
    "phone": _phones,
}
