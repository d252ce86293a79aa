"""docs/redox.md: its scripts print what the page shows, and the nodes it names exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount

pytestmark = pytest.mark.needs("fuse")

DOCUMENT = (Path(__file__).parents[2] / "docs" / "redox.md").read_text()
SHOWN = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize(("script", "output"), SHOWN)
def test_a_script_prints_the_shown_output(
    script: str, output: str, shell: str, module_scheme_mount: SchemeMount
) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, "-c", script],
        cwd=module_scheme_mount.path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert (done.stdout, done.stderr) == (output, "")


def test_every_block_is_run() -> None:
    assert len(SHOWN) == DOCUMENT.count("```sh") >= 3


@pytest.mark.parametrize(
    "name",
    [
        "netcfg/ifaces/lo/addr/list",
        "netcfg/route/rm",
        "netcfg/resolv/nameserver",
        "network/lo/mac",
        "event/raw",
        "event/queue",
    ],
)
def test_the_named_nodes_exist(name: str, module_scheme_mount: SchemeMount) -> None:
    assert f"{name.partition('/')[0]}/" in DOCUMENT
    assert (module_scheme_mount.path / name).exists()
