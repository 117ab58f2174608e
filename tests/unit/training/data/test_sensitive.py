from __future__ import annotations

import pytest

from training.data.sensitive import find_sensitive


def wide(text: str) -> str:
    """Full-width letters and digits, as an Asian keyboard writes them."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----"
FOUND = [
    ("Write to jane.doe+bikes@mail.example.co.uk today.", "email", "jane"),
    ("(JANE@EXAMPLE.COM)", "email", "JANE"),
    (wide("jane@example.com"), "email", "ane@"),
    ("jane\u200b.doe@exam\u200bple.com", "email", "doe"),
    ("Call +44 20 7946 0958.", "phone", "7946"),
    ("Ruf 0049 (0)30 / 901820 an", "phone", "901820"),
    ("Call 030 9018 2020 now", "phone", "9018"),
    ("It is (555) 013-4477.", "phone", "4477"),
    ("Tel: 555-013-4477", "phone", "013"),
    ("Pay to DE89 3704 0044 0532 0130 00 UNTIL MAY", "iban", "3704"),
    ("pay to gb29nwbk60161331926819.", "iban", "nwbk"),
    ("Card 4111 1111 1111 1111, exp 12/27", "payment_card", "4111 1111 1111 1111"),
    ("Card 3782-822463-10005", "payment_card", "822463"),
    (wide("4111111111111111"), "payment_card", "11111111111"),
    ("use sk-proj-abcDEF0123456789abcdef", "secret", "abcDEF"),
    ("AKIAIOSFODNN7EXAMPLE", "secret", "IOSFODNN7"),
    ("token ghp_abcdefghijklmnopqrst0123456789", "secret", "abcdefg"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF", "secret", "hbGci"),
    ("postgres://tandem:hunter2x@db.example.com/x", "secret", "hunter2x"),
    ('password = "Tr0ub4dor&3"', "secret", "Tr0ub4dor"),
    ("The password is Tr0ub4dor&3.", "secret", "Tr0ub4dor"),
    (KEY, "private_key", "MIIE"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", "private_key", "b3Bl"),
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_it_is_found_once_and_its_value_is_never_shown(text: str, kind: str, value: str) -> None:
    (finding,) = find_sensitive(text, line=7)
    assert (finding.line, finding.kind) == (7, kind)
    assert value not in finding.masked


@pytest.mark.parametrize(
    "text",
    [
        "The price is 1,200.50 pounds for 24 months from 2024-05-12 until 12.05.2026 at 08:30.",
        "Order 4111 1111 1111 1112 has no valid check digit.",
        "DE88 3704 0044 0532 0130 00 is no IBAN.",
        "XX89 3704 0044 0532 0130 00 is of no country.",
        "The odometer shows 0000 0000 0000 0000.",
        "Follow @brindle or see https://example.com/a@b/c.",
        "Your password is reset by the clinic; the password must have eight letters.",
        "The secret ingredient is chocolate. API key: <your-key>. password: ********",
        "Serial number 123456789012345678901234567890.",
        "Version 1.2.3 build 20240512 on 192.168.0.1:8080",
        "Call us between 9 and 17, room 12.",
        "-----BEGIN PUBLIC KEY-----",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find_sensitive(text) == []


def test_several_kinds_in_one_text_are_all_found_and_none_twice() -> None:
    text = f"jane@example.com, +44 20 7946 0958, DE89370400440532013000, 4111111111111111\n{KEY}\njoe@example.com"
    kinds = [finding.kind for finding in find_sensitive(text)]
    assert sorted(kinds) == ["email", "email", "iban", "payment_card", "phone", "private_key"]


def test_two_ibans_side_by_side_are_two() -> None:
    found = find_sensitive("from DE89 3704 0044 0532 0130 00 to FR14 2004 1010 0505 0001 3M02 606 please")
    assert [(one.kind, one.masked) for one in found] == [("iban", "DE** … **00"), ("iban", "FR** … **06")]


def test_a_long_line_of_digits_and_letters_takes_no_time() -> None:
    assert find_sensitive("a1" * 50_000) == []
    assert find_sensitive("1 " * 50_000) == []
    assert find_sensitive("a." * 50_000 + "@") == []
