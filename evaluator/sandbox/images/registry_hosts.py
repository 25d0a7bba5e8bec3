"""Which registries may be asked: whoever submits names the host, and the question comes from inside our network."""

from __future__ import annotations

import ipaddress
import os
import re
import socket

from evaluator.sandbox.admission import ImageRefused

#: Environment: `1` allows registries of this very machine, over plain HTTP.
LOCAL_REGISTRY = "PALIMPSEST_LOCAL_REGISTRY"
#: Environment: the only registries that may be named, as host or host:port, with commas between.
REGISTRIES = "PALIMPSEST_REGISTRIES"

_LOOPBACK = re.compile(r"^(localhost|127(?:\.\d{1,3}){3})(:\d+)?$")
#: An IPv4 address inside an IPv6 one that a translator of the network would reach.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


def host_of(image: str) -> str:
    """The registry that an image names; empty when it names none."""
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else ""


def plain_http(host: str) -> bool:
    """Whether a registry is asked without TLS: one of this machine, where that is allowed."""
    return bool(_LOOPBACK.match(host)) and os.environ.get(LOCAL_REGISTRY) == "1"


def host_check(host: str) -> None:
    """Raise `ImageRefused` unless this registry may be asked.

    One that the organisers list is theirs to answer for. All others must have public addresses, every one of them.
    What is resolved here is resolved again by the program that asks, and a registry may redirect it: see
    docs/security.md.
    """
    listed = [name.strip() for name in os.environ.get(REGISTRIES, "").split(",") if name.strip()]
    if plain_http(host) or host in listed:
        return
    if listed:
        raise ImageRefused("image", host, "is not a registry that this site asks", f"push it to {' or '.join(listed)}")
    name, _, port = host.partition(":")
    try:
        found = socket.getaddrinfo(name, int(port or 443), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        remedy = "check the name; write the image in full, as registry.example/name@sha256:<digest>"
        raise ImageRefused("image", host, f"cannot be found ({reason})", remedy) from None
    for address in sorted({str(item[4][0]) for item in found}):
        if not address_is_public(address):
            raise ImageRefused(
                "image",
                host,
                f"is at {address}, which is no public address",
                "push it to a public registry, or upload it as an archive",
            )


def address_is_public(text: str) -> bool:
    """Whether an address belongs to the open internet; one inside another counts as what is inside."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return address_is_public(str(inner))
    return address.is_global and not (address.is_multicast or address.is_reserved)
