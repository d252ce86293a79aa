"""The closing report of `schemefs lab`, as lines and as JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("fuse", "tap", "root", "curl")

LAB = [sys.executable, "-m", "schemefs", "lab"]
FOLDER = Path(__file__).parents[2]
SCRIPT = """
    on server -d python3 -m http.server 80 >/dev/null 2>&1
    until curl -sS -o /dev/null http://server/ 2>/dev/null; do sleep 0.05; done
    curl -sS -o /dev/null http://server:81/ 2>/dev/null
    exit 7
"""


def lab(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LAB, *words], capture_output=True, text=True, timeout=60, check=False, cwd=FOLDER)


def test_links_rules_and_connections_are_reported(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    rules = "delay 10ms; drop tcp data 1 port 80; drop udp"
    done = lab("--link", f"server={rules}", "--report-json", str(file), "--report", str(tmp_path / "page.html"),
               "--", "sh", "-c", SCRIPT)  # fmt: skip
    assert done.returncode == 7
    page = (tmp_path / "page.html").read_text()
    assert re.search(r"<h3>client:\d+ &gt; server:80</h3>", page)
    assert "drop tcp data 1 port 80: 2 of " in page
    assert "sequence numbers, received" in page
    assert page.count("again: later text was sent before it") >= 1
    lines = done.stderr.splitlines()
    assert re.fullmatch(r"lab: \d+\.\d\d s", lines[0])
    assert re.fullmatch(r"client-router: in \d+ frames, .*B; out \d+ frames, .*B", lines[1])
    assert re.fullmatch(r"server-router: in \d+ frames, .*B; out \d+ frames, .*B", lines[2])
    assert re.fullmatch(r"  delay 10ms seed \d+: in \d+ frames, none .*; out \d+ frames, none .*", lines[3])
    assert re.fullmatch(r"  drop tcp data 1 port 80: 2 of \d+ frames", lines[4])  # the request's, and the answer's
    assert lines[5] == "  drop udp: never matched"
    assert re.fullmatch(r"tcp client:\d+ > server:81: reset after 0\.\d\d s", lines[-2])

    report = json.loads(file.read_text())
    [link] = [link for link in report["links"] if link["name"] == "server-router"]
    [data, udp] = link["impair"]["rules"]
    assert (data["acted_in"], data["acted_out"], udp["seen"]) == (1, 1, 0)
    [answered] = [flow for flow in report["flows"] if flow["state"] == "closed"]
    assert report["names"][answered["server"].partition(":")[0]] == "server"
    assert answered["sent"]["retransmitted"] >= 1
    assert answered["received"]["retransmitted"] + answered["received"]["out_of_order"] >= 1
    assert answered["round_trip"] > 0.02
    assert report["flows"][-1]["state"] == "reset"


@pytest.mark.parametrize("option", ["--report-json", "--report"])
def test_a_file_that_can_not_be_written_is_refused_before_the_start(option: str) -> None:
    done = lab(option, "/nonexistent/report", "--", "true")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"schemefs: {option} /nonexistent/report: No such file or directory\n"
