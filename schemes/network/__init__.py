"""The network scheme: a driver's raw frames, hardware address and counters as files."""

from schemes.network.scheme import NetworkScheme

__all__ = ["NetworkScheme"]
