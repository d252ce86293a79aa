"""IP: interfaces, addresses, routes, neighbors, IPv4 itself, and raw datagrams as files."""

from schemes.ip.scheme import IpScheme

__all__ = ["IpScheme"]
