"""schemefs: the network as files. The framework: files, plugins, time; no protocol (ARCHITECTURE.md)."""

__version__ = "0.1.0"
