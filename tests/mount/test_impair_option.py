"""`schemefs mount --impair`: rules from the start, refused in a sentence, and a last word about those never matched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemefs.testing.mount import MountFailed, SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


def test_rules_from_the_start_and_a_last_word(tmp_path: Path, family: Family) -> None:
    log, rules = tmp_path / "log", "drop tcp syn 1; drop arp; delay 1ms seed 7"
    with SchemeMount("--driver", "loopback", "--impair", rules) as mount:
        file = mount.path / "netcfg/ifaces/lo/impair"
        assert file.read_text().splitlines()[:3] == rules.split("; ")
        script = f"exec 3<>tcp/:0; exec 4<>tcp/{family.lo.host}:$(sed 's/.*://' $(schemefs which 3)/local)"
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        subprocess.run(["bash", "-c", script], cwd=mount.path, check=True, timeout=20, env={"PATH": path})
        lines = file.read_text().splitlines()
        assert "# rule drop tcp syn 1: in=0 out=1 seen=2" in lines  # on lo a frame is impaired once
        assert [line.split(":")[0] for line in lines[3:]] == ["# out", "# rule drop tcp syn 1", "# rule drop arp"]
        os.link(mount.path.parent / "log", log)
    assert "lo: the impairments end: # rule drop tcp syn 1: in=0 out=1 seen=2" in log.read_text()
    assert "WARNING ip: lo: the rule 'drop arp' never matched: 0 frames met its conditions" in log.read_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--driver", "loopback", "--impair", "drop tcp sin 1"), "'sin' is not one of the conditions of 'drop'"),
        (("--driver", "loopback", "--impair", "loss 5"), "'5' is not a percentage, such as 0.5%"),
        (("--config", "/dev/null", "--impair", "loss 5%"), "--impair and --config can't be given together"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(MountFailed) as failure:
        SchemeMount(*options)
    assert sentence in str(failure.value)
