"""Where an address lies: on the public internet, on an allowed network, or inside.

Used by `core.outbound`, which dials only what was checked here.
"""

from __future__ import annotations

import ipaddress
import socket

from django.conf import settings

from core.errors import DomainError

_LOWEST_FREE_PORT = 1024
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# `is_global` alone lets multicast, NAT64, 6to4 and IPv4-compatible forms pass.
_NEVER = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # IETF protocol assignments
        "168.63.129.16/32",  # what Azure tells its machines, at a public address
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/4",  # multicast
        "2001::/23",  # Teredo and other assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_IPV6_UNICAST = ipaddress.ip_network("2000::/3")


class OutboundRefused(DomainError):
    """The address is none that this installation calls."""

    error_code = "INVALID_PARAMETER_VALUE"


def addresses_of(host: str, port: int, flags: int = 0) -> list[Address]:
    """Return the addresses of a host, none when there is no such host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    except (OSError, UnicodeError):
        return []
    addresses = [ipaddress.ip_address(str(sockaddr[0])) for *_, sockaddr in found]
    return list(dict.fromkeys(addresses))


def check_addresses(addresses: list[Address], scheme: str, port: int) -> None:
    """Let a host through only if every address that it has may be called.

    The text does not repeat the address: what a name resolves to inside our
    network is nobody's business.
    """
    for address in addresses:
        if _is_listed(address):
            continue
        if not is_public(address):
            raise OutboundRefused(
                "The host is not on the public internet. An administrator can allow "
                "its network with GREENLIGHT_WEBHOOK_ALLOWED_NETWORKS."
            )
        if scheme != "https":
            raise OutboundRefused("The URL must start with https://.")
        if port != default_port("https") and port < _LOWEST_FREE_PORT:
            raise OutboundRefused(f"Use port 443 or one from {_LOWEST_FREE_PORT} up.")


def check_peer(connection: socket.socket, address: Address) -> None:
    """Make sure that the other end is the address that was checked."""
    peer = ipaddress.ip_address(str(connection.getpeername()[0]).partition("%")[0])
    if _unmapped(peer) != _unmapped(address):
        raise OutboundRefused("The connection leads to another address.")


def _is_listed(address: Address) -> bool:
    networks: list[str] = settings.WEBHOOK_ALLOWED_NETWORKS
    plain = _unmapped(address)
    return any(
        plain in ipaddress.ip_network(network, strict=False) for network in networks
    )


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, and nothing else."""
    plain = _unmapped(address)
    if any(plain in network for network in _NEVER):
        return False
    if isinstance(plain, ipaddress.IPv6Address):
        return plain in _IPV6_UNICAST and plain.is_global
    return plain.is_global


def _unmapped(address: Address) -> Address:
    """Return the IPv4 address inside ::ffff:a.b.c.d, else the address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
