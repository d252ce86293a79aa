"""The netcfg scheme: the network configuration as files; each line that is written is a command."""

from schemes.netcfg.scheme import NetcfgScheme

__all__ = ["NetcfgScheme"]
