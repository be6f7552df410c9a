"""Where a call came from: addresses, the network one belongs to, and the networks a token may be used from."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


@lru_cache(maxsize=65_536)
def address(text: str) -> IPv4Address | IPv6Address | None:
    """The IP address in a text; an IPv4 address in IPv6's clothes is IPv4. None where it is no address."""
    try:
        found = ip_address(text.strip().split("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


@lru_cache(maxsize=65_536)
def network(text: str) -> str | None:
    """The network an address belongs to, as people move within it: IPv4 /24, IPv6 /48. None where it is no address."""
    found = address(text)
    if found is None:
        return None
    return str(ip_network((found, 24 if isinstance(found, IPv4Address) else 48), strict=False))


@lru_cache(maxsize=1_024)
def cidr(text: str) -> IPv4Network | IPv6Network:
    """Errors: ValueError that says what is allowed."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; write networks as 203.0.113.0/24 or 2001:db8::/32") from None


@lru_cache(maxsize=65_536)
def within(text: str, allowed: tuple[str, ...]) -> bool | None:
    """Whether an address lies in one of the networks; None where it is no address."""
    found = address(text)
    return None if found is None else any(found in cidr(each) for each in allowed)
