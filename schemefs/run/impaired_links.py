"""`--impair`: rules on every link of the tree, lo included, for as long as the program runs."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from schemefs.errors import StartError


class ImpairedLinks:
    """The links, with what their `impair` files said before. Use as a context."""

    def __init__(self, tree: Path, rules: str) -> None:
        self._tree = tree
        self._rules = rules
        self._before: dict[Path, str] = {}

    def __enter__(self) -> Self:
        """Put the rules on. StartError: a link refuses them; all are then as before."""
        for link in sorted((self._tree / "netcfg/ifaces").iterdir()):
            file = link / "impair"
            if not file.exists():
                continue
            try:
                before = file.read_text()
                file.write_text(f"{self._rules}\n")
            except OSError as error:
                reason = self._reason() or error.strerror
                self.__exit__()
                raise StartError(f"--impair on {link.name}: {reason}") from None
            self._before[file] = before
        return self

    def _reason(self) -> str:
        try:
            return (self._tree / "netcfg/err").read_text().strip()
        except OSError:
            return ""

    def report(self) -> list[str]:
        """Return a line for each link that carried frames: its rules with their seeds, and what they did."""
        lines = []
        for file in self._before:
            try:
                text = file.read_text().splitlines()
            except OSError:
                continue
            rules = "; ".join(line for line in text if not line.startswith("#"))
            counts = [counted for line in text if line.startswith("#") and (counted := _counted(line))]
            if counts:
                lines.append(f"{file.parent.name}: {rules}: {'; '.join(counts)}")
        return lines

    def __exit__(self, *_: object) -> None:
        """Put back what was there."""
        while self._before:
            file, before = self._before.popitem()
            try:
                file.write_text("".join(f"{line}\n" for line in before.splitlines() if not line.startswith("#")))
            except OSError:  # the mount has ended, and its links with it
                continue


def _counted(line: str) -> str:
    """Return a line of counts without those that are 0; empty: all are."""
    head, *words = line.lstrip("# ").split()
    counts = [word for word in words if not word.endswith("=0")]
    return " ".join([head, *counts]) if counts else ""
