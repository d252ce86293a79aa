"""icmp: echo, ping and trace as files, and the errors of IPv4 (RFC 792)."""

from schemes.icmp.scheme import IcmpScheme

__all__ = ["IcmpScheme"]
