"""DNS as a scheme: names to addresses and other records, on this stack's own udp and tcp."""

from schemes.dns.scheme import DnsScheme

__all__ = ["DnsScheme"]
