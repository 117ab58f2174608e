"""Which addresses are of the open internet: the answer is the same on every supported Python."""

from __future__ import annotations

import pytest

from retrieval.sources.outbound import is_public


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822", "2002:5db8:d822::1"])
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.0.200", "198.18.0.1", "224.0.0.1",
        "::1", "fe80::1%eth0", "fc00::1", "fec0::1", "2001:db8::1", "ff0e::1",
        "::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1",
    ],
)  # fmt: skip
def test_any_other_address_is_not(address: str) -> None:
    assert not is_public(address)
