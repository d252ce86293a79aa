"""The table of docs/tools.md: each tool beside its model, with the same words against the same servers.

    python -m tests.support.tools_page      as root: runs all cases whose models are installed, and writes the page

A row is kept as it is where its model is not installed. The mount and the kernel are the two ends of a TAP; ours
reaches the servers of the peer through the mount, the model through the kernel of the peer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemefs.testing.network import TapNetwork

PAGE: Final = Path(__file__).parents[2] / "docs/tools.md"
BEGIN: Final = "<!-- The table: python -m tests.support.tools_page -->\n"
_HEAD: Final = "| schemefs | model | exit status | output |\n|---|---|---|---|\n"
_DNS_SERVER: Final = Path(__file__).parents[1] / "wire/dns_server.py"


@dataclass(frozen=True, slots=True)
class Case:
    """One command of ours beside one of the model."""

    ours: str  # without `schemefs`
    theirs: str
    note: str = ""  # why the output differs

    @property
    def row(self) -> str:
        """The beginning of its row."""
        return f"| `{self.ours}` | `{self.theirs}` |"


CASES: Final = (
    Case("ping -c 2 -i 0.2 --iputils 10.0.2.2", "ping -c 2 -i 0.2 10.0.2.2"),
    Case("ping -q -c 2 -i 0.2 --iputils 10.0.2.2", "ping -q -c 2 -i 0.2 10.0.2.2"),
    Case("ping -c 1 -s 3000 --iputils 10.0.2.2", "ping -c 1 -s 3000 10.0.2.2"),
    Case("ping -c 1 10.0.2.2", "ping -c 1 10.0.2.2", "Redox's lines, without `--iputils`"),
    Case("ping -c 1 --iputils 10.0.2.77", "ping -c 1 10.0.2.77", "the sentence of the stack"),
    Case("ping --xyzzy 10.0.2.2", "ping --xyzzy 10.0.2.2", "a sentence, and where the help is"),
    Case("traceroute -n 10.0.2.2", "traceroute -n -I 10.0.2.2"),
    Case("traceroute -n -q 1 -m 4 10.0.2.2 100", "traceroute -n -I -q 1 -m 4 10.0.2.2 100"),
    Case("nc -z -w 1 10.0.2.2 7000", "nc -z -w 1 10.0.2.2 7000"),
    Case("nc -v -n -z -w 1 10.0.2.2 7000", "nc -v -n -z -w 1 10.0.2.2 7000"),
    Case("nc -v -n -z -w 1 10.0.2.2 9", "nc -v -n -z -w 1 10.0.2.2 9", "the reason follows"),
    Case("nc -n -z -w 1 10.0.2.2 9 6999-7001", "nc -n -z -w 1 10.0.2.2 9 6999-7001"),
    Case("nc -z -w 1 10.0.2.2 22,80", "nc -z -w 1 10.0.2.2 22,80", "a sentence with what is possible"),
    Case("nc -u -w 0 10.0.2.2 9", "nc -u -w 0 10.0.2.2 9"),
    Case("nc -N -w 2 10.0.2.2 7000", "nc -N -w 2 10.0.2.2 7000"),
    Case("nc 10.0.2.2", "nc 10.0.2.2", "a sentence"),
    Case("get http://10.0.2.2:8080/x", "curl -s http://10.0.2.2:8080/x"),
    Case("get -i http://10.0.2.2:8080/x", "curl -s -i http://10.0.2.2:8080/x"),
    Case("get -H 'Range: bytes=1-2' http://10.0.2.2:8080/x", "curl -s -H 'Range: bytes=1-2' http://10.0.2.2:8080/x"),
    Case("get http://10.0.2.2:9/", "curl -sS http://10.0.2.2:9/", "the sentence of the stack"),
    Case("get -4 http://[::1]:9/", "curl -sS -4 http://[::1]:9/", "a sentence"),
    Case("get http://no-such-host.invalid/", "curl -sS http://no-such-host.invalid/", "the sentence of the resolver"),
    Case("dns name.test", "dig +short @10.0.2.2 name.test"),
    Case("dns -t a name.test", "dig +short @10.0.2.2 -t a name.test"),
    Case("dns nxdomain.test", "dig +short @10.0.2.2 nxdomain.test", "a sentence; status 1, as host(1) has it"),
    Case("ss -tlnH", "ss -tlnH", "other columns: tests/mount/test_ss_like_iproute2.py compares the rows"),
    Case("ss state nosuch", "ss state nosuch", "a sentence with the states that there are"),
    Case("ss --nosuch", "ss --nosuch", "a sentence, and where the help is"),
    Case("ip -4 -o addr show dev lo", "ip -4 -o addr show dev lo"),
    Case("ip -br link show dev lo", "ip -br link show dev lo"),
    Case("ip -j -4 addr show dev lo", "ip -j -4 addr show dev lo", "a subset of the fields: no qdisc, group, txqlen"),
    Case("ip route get 127.0.0.7", "ip route get 127.0.0.7", "no `uid`; the source is the address itself"),
    Case("ip neigh show dev lo", "ip neigh show dev lo"),
    Case("ip route del 10.77.0.0/16", "ip route del 10.77.0.0/16", "a sentence"),
    Case("ip addr show dev nope", "ip addr show dev nope", "a sentence with the interfaces that there are"),
    Case("ip route frobnicate", "ip route frobnicate", "a sentence with the commands that there are"),
    Case("ip frobnicate", "ip frobnicate", "a sentence"),
)

# What differs from run to run, or is that of the machine.
_VARYING: Final = (
    (re.compile(r"\d+\.\d+( ?ms|(?=/))"), r"N\1"),
    (re.compile(r"time=\d+( ?ms)"), r"time=N\1"),
    (re.compile(r"time \d+ms"), "time Nms"),
    (re.compile(r"^From 10\.0\.2\.(15|2) ", re.MULTILINE), "From the sender "),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
    (re.compile(r"^(Date|Server|Last-Modified): .*$", re.MULTILINE), r"\1"),
    (re.compile(r" group default| qlen \d+| qdisc \S+"), ""),
)


def plain(text: str) -> str:
    """Return *text* without what varies."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text.replace("\r", "").strip()


class Machine:
    """A mount, a peer with servers, and a folder for both."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "x").write_text("octets of x\n")
        self.network = TapNetwork("--nameserver", "10.0.2.2")
        self.network.start_peer(["python3", "-m", "http.server", "8080", "--bind", "10.0.2.2", "-d", str(folder)],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        self.network.start_peer(["socat", "TCP-LISTEN:7000,fork,reuseaddr", "EXEC:cat"])
        names = self.network.start_peer([sys.executable, str(_DNS_SERVER), "10.0.2.2"], stdout=subprocess.PIPE)
        assert names.stdout is not None
        names.stdout.readline()
        for port in (7000, 8080):
            while self.network.run_peer(["nc", "-z", "10.0.2.2", str(port)], check=False).returncode:
                pass

    def result(self, case: Case, tries: int = 3) -> str:
        """Run both; return the end of the row."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "SCHEME": str(self.network.mount.path), "LC_ALL": "C"}
        ours = subprocess.run(["sh", "-c", f"schemefs {case.ours}"], env=environment, check=False, input="hello\n",
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        theirs = self.network.run_peer(["sh", "-c", case.theirs], check=False, input="hello\n", env=environment)
        pair = [plain(done.stdout + done.stderr) for done in (ours, theirs)]
        status = f"{ours.returncode}" if ours.returncode == theirs.returncode else (
            f"{ours.returncode}, model {theirs.returncode}"
        )  # fmt: skip
        output = "the same" if pair[0] == pair[1] else f"differs: {case.note}"
        if output == "differs: " and tries > 1:  # a probe that a busy machine answers too late is shown as one
            return self.result(case, tries - 1)
        if output == "differs: ":
            print(case, *pair, sep="\n", file=sys.stderr)
        return f" {status} | {output} |"


def rows(folder: Path, old: dict[str, str]) -> Iterator[str]:
    """Yield the row of each case; that of *old* where its model is not installed."""
    machine = Machine(folder)
    try:
        for case in CASES:
            if shutil.which(case.theirs.split()[0]):
                yield case.row + machine.result(case)
            else:
                yield old[case.row]
    finally:
        machine.network.close()


def old_rows() -> dict[str, str]:
    """Return the rows of the page by their beginning."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return {case.row: line for case in CASES for line in lines if line.startswith(case.row)}


def written(folder: Path) -> str:
    """Return the page as it should be."""
    text = PAGE.read_text()
    table = "".join(f"{row}\n" for row in rows(folder, old_rows()))
    return f"{text[: text.index(BEGIN) + len(BEGIN)]}\n{_HEAD}{table}"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        PAGE.write_text(written(Path(name)))
