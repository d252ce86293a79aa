"""UDP (RFC 768): connected, bound and listening endpoints as files."""

from schemes.udp.scheme import UdpScheme

__all__ = ["UdpScheme"]
