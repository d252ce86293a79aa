"""The dns scheme: a stub resolver (RFC 1034 §5.3.1) over this stack's own udp and tcp."""

from schemes.dns.scheme import DnsScheme

__all__ = ["DnsScheme"]
