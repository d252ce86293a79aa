"""What a reply says about a name, CNAMEs followed (RFC 1034 §3.6.2): records, a name to ask for next, or "none"."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemes.dns.wire import Question, Record, Reply


class Negative(SchemeError):
    """The name servers say that there is none: of this name, or of this type."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a reply leads. Neither texts nor failure: `name` is an alias's end, of which nothing was said."""

    name: str  # the last name of the chain
    ttl: float  # the shortest on the way
    texts: tuple[str, ...] = ()
    failure: SchemeError | None = None


def follow(reply: Reply, question: Question, seen: set[str]) -> Finding:
    """Follow *reply* from the question's name on; *seen* are the names that led there, and is added to."""
    name, ttl = question.name, float("inf")
    while True:
        seen.add(name)
        found = [record for record in reply.records if record.owner == name and record.type == question.type]
        if found:
            ttl = min(ttl, *(record.ttl for record in found))
            return Finding(name, ttl, tuple(dict.fromkeys(record.text for record in found)))
        alias = _alias_of(name, reply)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = alias.text.lower() if alias.text != "." else ""
        if name in seen:
            return Finding(
                name, ttl, failure=SchemeError(errno.ELOOP, f"the aliases of {question.name} go in a circle")
            )
    if reply.rcode == "NXDOMAIN":
        failure = Negative(errno.ENOENT, f"there is no name {name}, say the name servers{_asked(name, question)}")
        return Finding(name, min(ttl, reply.negative_ttl), failure=failure)
    if name != question.name and not reply.negative_ttl:
        return Finding(name, ttl)
    none = Negative(errno.ENODATA, f"{name} has no {question.type} record{_asked(name, question)}")
    return Finding(name, min(ttl, reply.negative_ttl), failure=none)


def _alias_of(name: str, reply: Reply) -> Record | None:
    return next((record for record in reply.records if record.owner == name and record.type == "CNAME"), None)


def _asked(name: str, question: Question) -> str:
    return f"; {question.name} is an alias of it" if name != question.name else ""
