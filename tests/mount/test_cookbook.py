"""Runs all recipes of docs/cookbook.md: each in bash and, if it is marked `sh`, in dash.

The output of a recipe is compared with the block that follows it; `…` matches any text. `$ ` blocks run on the peer.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schemefs.testing.network import TapNetwork
from tests.support.tls_certificates import Authority

pytestmark = pytest.mark.needs("fuse", "tap", "root")

DOCUMENT = Path(__file__).parents[2] / "docs" / "cookbook.md"
PEERS = Path(__file__).with_name("cookbook_peers.py")
INTERPRETERS = {"sh": ("dash", "bash"), "bash": ("bash",), "python": (sys.executable,)}
TIMEOUT = 20.0

HEARD = {
    "Send a file": ["9000 300000", "9000 300000"],
    "Pipe one connection through a filter into another": ["9003 QUIET WORDS"],
    "Send a line to syslog": ["514 <13>cookbook: the cake is ready"],
    "Wake a machine up": ["9 " + "ff" * 6 + "525400123456" * 16],
}
"""The lines that cookbook_peers.py must print, by recipe."""


@dataclass
class Recipe:
    title: str
    language: str = ""
    script: str = ""
    output: str | None = None
    session: list[tuple[str, str]] = field(default_factory=list)  # (command, output) on the other side


def recipes() -> list[Recipe]:
    found = []
    for section in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)[1:]:
        recipe = Recipe(section.splitlines()[0])
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            if language == "text":
                recipe.output = block
            elif language == "console":
                recipe.session = re.findall(r"^\$ ([^\n]*)\n((?:(?!\$ )[^\n]*\n)*)", block, re.MULTILINE)
            else:
                assert language in INTERPRETERS, recipe.title
                recipe.language, recipe.script = language, block
        found.append(recipe)
    return found


RECIPES = recipes()
RUNS = [(recipe, program) for recipe in RECIPES for program in INTERPRETERS[recipe.language]]


class Peers:
    """The process cookbook_peers.py, and its output."""

    def __init__(self, network: TapNetwork, pem: Path) -> None:
        self.network = network
        self.process = network.start_peer([sys.executable, str(PEERS), str(pem)], stdout=subprocess.PIPE)
        self._said = b""
        assert self.next_line() == "ready"

    def next_line(self) -> str:
        assert self.process.stdout is not None
        while b"\n" not in self._said:
            assert select.select([self.process.stdout], [], [], TIMEOUT)[0], "the peers heard nothing"
            self._said += os.read(self.process.stdout.fileno(), 4096)
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()


@pytest.fixture(scope="module")
def network(module_tap_network: TapNetwork) -> TapNetwork:
    return module_tap_network


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home directory with ca.pem, server.pem for the recipes, and peer.example.pem for the peer."""
    authority = Authority(tmp_path_factory.mktemp("home"))
    authority.certificate("server", "10.0.2.15")
    authority.certificate("peer.example", "10.0.2.2")
    return authority.folder


@pytest.fixture(scope="module")
def peers(network: TapNetwork, home: Path) -> Peers:
    return Peers(network, home / "peer.example.pem")


def matches(expected: str, output: str) -> bool:
    pattern = "[^\n]*".join(re.escape(part) for part in expected.split("…"))
    if expected.endswith("\n…\n"):  # the rest of the text, however long
        pattern = pattern.removesuffix("[^\n]*\\\n") + "(?:.|\n)*"
    return re.fullmatch(pattern, output.replace("\r", "")) is not None


def wait_until_listening(network: TapNetwork, started: subprocess.Popen[str]) -> None:
    """Wait until a conversation of the mount listens: a recipe prints no message when it is ready."""
    while started.poll() is None:
        for status in network.mount.path.glob("t[cl][ps]/*/status"):
            try:
                if status.read_text().startswith("state=LISTEN"):
                    return
            except OSError:
                continue
        if any(entry.name.isdecimal() for entry in (network.mount.path / "udp").iterdir()):
            return


@pytest.mark.parametrize(
    ("recipe", "program"), RUNS, ids=[f"{re.sub('[^a-z0-9]+', '-', r.title.lower())}-{Path(p).name}" for r, p in RUNS]
)
def test_recipe(recipe: Recipe, program: str, network: TapNetwork, peers: Peers, home: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SCHEME": str(network.mount.path),
        "TMPDIR": str(tmp_path),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
    }
    with subprocess.Popen(
        [program, "-c", recipe.script],
        cwd=network.mount.path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            if recipe.session:
                wait_until_listening(network, started)
            for command, expected in recipe.session:
                said = network.run_peer(["bash", "-c", command], env=environment).stdout
                assert matches(expected, said), said
            endless = recipe.session and ("while " in recipe.script or "serve" in recipe.script)
            if endless:
                os.killpg(started.pid, 15)
            output, complaints = started.communicate(timeout=TIMEOUT)
        except BaseException:
            os.killpg(started.pid, 9)
            print(started.communicate())
            raise
    assert recipe.output is None or matches(recipe.output, output), output + complaints
    if not endless:
        assert (started.returncode, complaints if "nonsense" not in recipe.script else "") == (0, "")
    for expected in HEARD.get(recipe.title, []):
        line = peers.next_line()
        while not line.startswith(expected.split()[0]):  # "9000 …" of a recipe without an entry in HEARD
            line = peers.next_line()
        assert line == expected


def test_there_are_enough_recipes_and_all_entries_of_heard_have_one() -> None:
    assert len(RECIPES) >= 15
    assert set(HEARD) <= {recipe.title for recipe in RECIPES}
    assert all(recipe.script for recipe in RECIPES)
