"""The chain of CNAMEs in a response (RFC 1034 §3.6.2): it ends in records, in a negative answer or in a new name."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemefs.errors import SchemeError

if TYPE_CHECKING:
    from schemes.dns.wire import Question, ResourceRecord, Response


class NegativeAnswer(SchemeError):
    """A name server reports that the name does not exist, or has no record of this type (RFC 2308)."""


@dataclass(frozen=True, slots=True)
class CnameChain:
    """The end of a chain. Neither texts nor failure: `name` needs a query of its own."""

    name: str  # the last name of the chain
    ttl: float  # the shortest in the chain, in seconds
    texts: tuple[str, ...] = ()
    failure: SchemeError | None = None


def follow(response: Response, question: Question, seen: set[str]) -> CnameChain:
    """Follow the CNAMEs of *response* from the question's name on. *seen* holds the chain's names and is extended."""
    name, ttl = question.name, float("inf")
    while True:
        seen.add(name)
        found = [record for record in response.records if record.owner == name and record.type == question.type]
        if found:
            ttl = min(ttl, *(record.ttl for record in found))
            return CnameChain(name, ttl, tuple(dict.fromkeys(record.text for record in found)))
        alias = _alias_of(name, response)
        if alias is None:
            break
        ttl = min(ttl, alias.ttl)
        name = alias.text.lower() if alias.text != "." else ""
        if name in seen:
            loop = SchemeError(errno.ELOOP, f"the CNAMEs of {question.name} form a loop")
            return CnameChain(name, ttl, failure=loop)
    if response.rcode == "NXDOMAIN":
        failure = NegativeAnswer(errno.ENOENT, f"the name {name} does not exist{_alias_note(name, question)}")
        return CnameChain(name, min(ttl, response.negative_ttl), failure=failure)
    if name != question.name and not response.negative_ttl:
        return CnameChain(name, ttl)
    none = NegativeAnswer(errno.ENODATA, f"{name} has no {question.type} record{_alias_note(name, question)}")
    return CnameChain(name, min(ttl, response.negative_ttl), failure=none)


def _alias_of(name: str, response: Response) -> ResourceRecord | None:
    return next((record for record in response.records if record.owner == name and record.type == "CNAME"), None)


def _alias_note(name: str, question: Question) -> str:
    return f"; {question.name} is an alias of it" if name != question.name else ""
