"""How host and port become one address."""

import pytest

from serving.addresses import host_port


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "0.0.0.0:8500"),
        ("search.internal", "search.internal:8500"),
        ("::", "[::]:8500"),
        ("[::1]", "[::1]:8500"),
        ("fd00::a", "[fd00::a]:8500"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, address: str) -> None:
    assert host_port(host, 8500) == address
