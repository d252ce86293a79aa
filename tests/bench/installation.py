"""A schemefs that is installed for one Python: ours, or an older one beside it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

FACTS: Final = """
import platform, schemefs
try:
    from schemefs.variant import variant
except ImportError:
    variant = lambda: "plain Python"
print(platform.python_version(), schemefs.__file__, variant(), sep="\\n")
"""


@dataclass(frozen=True)
class Installation:
    """`[NAME=]PYTHON[,VARIABLE=VALUE]…` of the command line."""

    python: str = sys.executable
    environment: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> tuple[str, Self]:
        """Return the name that *text* gives it, or that of its commit, and the installation. ValueError: none runs."""
        words, *environment = text.split(",")
        name, equals, python = words.rpartition("=")
        found = cls(str(Path(python).expanduser().absolute()), tuple(environment))
        try:
            facts = found.facts()
        except subprocess.CalledProcessError as error:
            raise ValueError(f"{python} runs no schemefs: {error.stderr.strip().splitlines()[-1]}") from None
        return (name if equals else facts["commit"] or "older"), found

    def command(self, *words: object) -> list[str]:
        """Return a command of it. It runs in /: the working directory of a checkout would be imported instead."""
        return ["env", "-C", "/", *self.environment, self.python, "-m", "schemefs", *map(str, words)]

    def facts(self) -> dict[str, str]:
        """Return its Python, its core and its commit, which is "" outside of a checkout."""
        words = ["env", "-C", "/", *self.environment, self.python, "-c", FACTS]
        python, file, variant = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
        return {"Python": python, "core": variant, "commit": commit(Path(file).parent)}


def commit(directory: Path) -> str:
    """Return the commit of a checkout, with + if a tracked file differs from it; "" elsewhere."""
    words = ["git", "-C", str(directory), "describe", "--always", "--exclude=*", "--dirty=+", "--abbrev=7"]
    tracked = subprocess.run(["git", "-C", str(directory), "ls-files", "--error-unmatch", "."], capture_output=True)
    return subprocess.run(words, capture_output=True, text=True).stdout.strip() if not tracked.returncode else ""
