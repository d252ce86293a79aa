"""logging: the daemon's logs as files."""

from schemes.logging.scheme import LoggingScheme

__all__ = ["LoggingScheme"]
