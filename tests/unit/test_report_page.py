"""The page of a report: every text is escaped, nothing is fetched, and the picture of a lab has all its parts."""

from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from schemefs.report.page import ConversationPart, DropPart, InterfacePart, Page, TimePart, html
from schemefs.report.topology_svg import topology_svg

EVIL = '<img src="http://example.org/x" onerror=alert(1)>'


def page(*, empty: bool = False) -> Page:
    topology = topology_svg(
        ["client", "server"], ["r1", "r2"], {"lan": ["client", "server", "r1"], "way": ["r1", "r2"]}
    )
    if empty:
        return Page("schemefs", {}, "Interfaces", (), (), ())
    return Page(
        title=EVIL,
        facts={EVIL: EVIL},
        interfaces_title="Links",
        interfaces=(InterfacePart(EVIL, {"state": EVIL}, (EVIL,), {"more": EVIL}),),
        conversations=(ConversationPart(EVIL, {"state": EVIL}, EVIL, (TimePart("rto", 1.5, 0.75, EVIL),), note=EVIL),),
        drops=(DropPart(EVIL, EVIL, 3, EVIL),),
        topology=topology,
        left_out=7,
        notes=(EVIL,),
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "link", "rect", "circle", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "circle", "line"):
            assert self.open.pop() == tag


@pytest.mark.parametrize("empty", [False, True])
def test_the_page_is_closed_and_escaped(*, empty: bool) -> None:
    tags = Tags()
    text = html(page(empty=empty))
    tags.feed(text)
    assert not tags.open
    assert not {"img", "script"} & tags.seen
    assert ("7 more conversations are left out" in text) is not empty
    assert ("Nothing was dropped" in text) is empty


def test_the_picture_of_the_network() -> None:
    picture = ET.fromstring(
        topology_svg(["client", "server"], ["r1", "r2"], {"lan": ["client", "server", "r1"], "way": ["r1", "r2"]})
    )
    name = "{http://www.w3.org/2000/svg}"
    assert {text.text for text in picture.iter(f"{name}text")} == {"client", "server", "r1", "r2", "lan", "way"}
    assert len(list(picture.iter(f"{name}line"))) == 5
    corners = {(one.get("x"), one.get("y")) for one in picture.iter(f"{name}rect")}
    assert len(corners) == 5  # no box is upon another


@pytest.mark.full
@pytest.mark.needs("chromium")
def test_a_browser_has_nothing_to_say_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html(page()))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path}/profile", f"file://{tmp_path}/page.html"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert "7 more conversations are left out" in done.stdout
    assert "CONSOLE" not in done.stderr
