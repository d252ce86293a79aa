"""The network scheme: raw frames, hardware address and counters of each driver, as files."""

from schemes.network.scheme import NetworkScheme

__all__ = ["NetworkScheme"]
