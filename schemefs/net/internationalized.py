"""Host names with letters beyond ASCII: the one conversion for addresses, hosts files, lookups and certificates."""

from __future__ import annotations


def ascii_name(name: str) -> str:
    """Return *name* with its labels beyond ASCII as A-labels: UTS 46, not transitional, then IDNA 2008 (RFC 5891).

    Labels of ASCII stay as they are: `_dmarc` is no host name, but a name. ValueError: no such label can exist.
    """
    if name.isascii():
        return name
    import idna  # noqa: PLC0415 - its tables are needed by such names alone

    try:
        labels = idna.uts46_remap(name, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except idna.IDNAError as error:
        message = f"{name!r} is not a host name: {str(error)[:1].lower()}{str(error)[1:]}"
        raise ValueError(message) from None
