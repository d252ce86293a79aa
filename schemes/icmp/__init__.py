"""ICMP (RFC 792): echo, ping and trace as files, and the ICMP errors of IPv4."""

from schemes.icmp.scheme import IcmpScheme

__all__ = ["IcmpScheme"]
