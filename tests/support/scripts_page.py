"""The ladders of docs/scripts.md, played from examples/scripts.

python -m tests.support.scripts_page      writes them into the page
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schemefs.script.notation import parse_script
from schemefs.script.player import Difference, Player
from schemefs.story.ladder import rungs
from schemefs.story.ladder_text import ladder_text

_ROOT: Final = Path(__file__).parents[2]
PAGE: Final = _ROOT / "docs/scripts.md"
BEGIN: Final = "<!-- The scripts: python -m tests.support.scripts_page -->\n"
SCRIPTS: Final = tuple(
    _ROOT / "examples/scripts" / name
    for name in (
        "handshake", "lost-syn-ack", "fast-retransmit", "tail-loss-probe", "zero-window", "path-mtu", "half-close",
        "simultaneous-close", "challenge-ack", "paws",
    )
)  # fmt: skip
WIDTH: Final = 104


def play(text: str) -> tuple[Difference | None, str]:
    """Play a script; return the first difference and the ladder."""
    player = Player("script")
    difference = player.play(parse_script(text))
    lines = ladder_text(player.story, rungs(player.story, fold=False), WIDTH)
    return difference, "".join(f"{line.rstrip()}\n" for line in lines)


def section(script: Path) -> str:
    """Return the part of the page about one script."""
    text = script.read_text()
    comment, _, lines = text.partition("\n")
    difference, ladder = play(text)
    assert difference is None, f"{script.name}: {difference}"
    return (
        f"### {script.name}\n\n{comment.removeprefix('# ')}\n\n```\n{lines}```\n\n"
        f"`schemefs script examples/scripts/{script.name}`:\n\n```\n{ladder}```\n"
    )


def written() -> str:
    """Return the page as it should be."""
    before = PAGE.read_text().partition(BEGIN)[0]
    return f"{before}{BEGIN}\n" + "\n".join(map(section, SCRIPTS))


if __name__ == "__main__":
    PAGE.write_text(written())
