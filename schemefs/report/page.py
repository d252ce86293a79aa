"""What a report has, and the page that shows it. It refers to no other file, so it opens without a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from typing import Final

import jinja2

TEMPLATE: Final = "page.html"


@dataclass(frozen=True, slots=True)
class InterfacePart:
    """An interface of a mount, or a link of a lab."""

    name: str
    facts: dict[str, str]
    impair: tuple[str, ...] = ()  # lines: the rules, and comments with what they did
    more: dict[str, str] = field(default_factory=dict)  # shown when asked for


@dataclass(frozen=True, slots=True)
class TimePart:
    """A cause of `time`."""

    cause: str
    seconds: float
    share: float  # of the age
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ConversationPart:
    """One conversation. Pictures are SVG; empty: there is none, and `note` says why."""

    name: str
    facts: dict[str, str]
    why: str = ""
    time: tuple[TimePart, ...] = ()
    ladder: str = ""
    graph: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class DropPart:
    """Dropped frames of one reason."""

    where: str
    reason: str
    count: int
    sample: str = ""  # the last one


@dataclass(frozen=True, slots=True)
class Page:
    """The whole report."""

    title: str
    facts: dict[str, str]
    interfaces_title: str  # "Interfaces" or "Links"
    interfaces: tuple[InterfacePart, ...]
    conversations: tuple[ConversationPart, ...]
    drops: tuple[DropPart, ...]
    topology: str = ""  # SVG
    left_out: int = 0  # conversations without a part
    notes: tuple[str, ...] = field(default=())


def html(page: Page) -> str:
    """Return the page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files("schemefs.report").joinpath(TEMPLATE).read_text(encoding="utf-8")
    return environment.from_string(source).render(page=page)
