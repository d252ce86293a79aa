"""netcfg: configuration as files, one line a command."""

from schemes.netcfg.scheme import NetcfgScheme

__all__ = ["NetcfgScheme"]
