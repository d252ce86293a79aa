"""A file of which a part was downloaded: how long it is, and which version of the resource it is a part of.

The version is the response's validator (RFC 9110 §8.8), kept as an extended attribute of the file until the download
is complete. A resumed request sends it as If-Range, so a resource that has changed is sent as a whole.
"""

from __future__ import annotations

import os
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from schemefs.tools.http import HttpExchange

_ATTRIBUTE: Final = "user.schemefs.validator"
_STRONG_AFTER: Final = 60.0  # seconds between Last-Modified and Date (RFC 9110 §8.8.2.2)


class PartialFile:
    """The file *name*, which may not exist."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.octets = os.path.getsize(name) if os.path.exists(name) else 0
        self._validator = ""  # of the version that the octets are a part of; empty: unknown

    def request_fields(self) -> dict[str, str]:
        """Return the fields of a request for the rest; none if nothing is there."""
        if not self.octets:
            return {}
        # None is kept, or the filesystem has no attributes: the octets are trusted, as by curl.
        with suppress(OSError):
            self._validator = os.getxattr(self._name, _ATTRIBUTE).decode("latin-1")
        return {"Range": f"bytes={self.octets}-", "If-Range": self._validator}

    def is_of_another_version(self, exchange: HttpExchange) -> bool:
        """Return whether the whole is sent because the resource has changed, not because the server has no ranges."""
        return self._validator not in ("", _validator_of(exchange))

    def begin(self, exchange: HttpExchange) -> None:
        """Keep the validator of the response whose body follows."""
        validator = _validator_of(exchange)
        with suppress(OSError):
            if validator:
                os.setxattr(self._name, _ATTRIBUTE, validator.encode("latin-1"))
            else:
                os.removexattr(self._name, _ATTRIBUTE)

    def complete(self) -> None:
        """Forget the validator: the file is whole."""
        with suppress(OSError):
            os.removexattr(self._name, _ATTRIBUTE)


def _validator_of(exchange: HttpExchange) -> str:
    return strong_validator(exchange.field("ETag"), exchange.field("Last-Modified"), exchange.field("Date"))


def strong_validator(etag: str, modified: str, date: str) -> str:
    """Return what If-Range may have (RFC 9110 §13.1.5): a strong ETag, or an old enough date; empty: neither."""
    if etag:
        return etag if etag.startswith('"') else ""
    try:
        age = parsedate_to_datetime(date) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    return modified if age.total_seconds() >= _STRONG_AFTER else ""
