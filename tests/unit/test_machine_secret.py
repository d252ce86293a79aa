"""The key of stable IPv6 addresses."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemefs import machine_secret


def test_it_lasts_and_does_not_tell_the_identifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "machine-id"
    monkeypatch.setattr(machine_secret, "MACHINE_ID", file)
    assert machine_secret.stable_secret() == b""
    file.write_text("\n")
    assert machine_secret.stable_secret() == b""
    file.write_text("0123456789abcdef0123456789abcdef\n")
    secret = machine_secret.stable_secret()
    assert len(secret) == 32
    assert secret == machine_secret.stable_secret()
    assert secret.hex() != file.read_text().strip()
    file.write_text("1123456789abcdef0123456789abcdef\n")
    assert machine_secret.stable_secret() != secret
