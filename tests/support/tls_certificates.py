"""Certificates for tests: an authority, valid and expired certificates of it, and self-signed ones."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme


@dataclass(frozen=True)
class OnDisk:
    """The file itself instead of a copy. Satisfies `FileCopy`."""

    path: str

    @property
    def octets(self) -> bytes:
        return Path(self.path).read_bytes()


class AllFiles(dict[str, OnDisk]):
    """A `Caller.files` that has every file."""

    def __missing__(self, name: str) -> OnDisk:
        return OnDisk(name)

    def __contains__(self, name: object) -> bool:
        return True


class Authority:
    """A certificate authority in *folder*. `ca` is the file of its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.ca = folder / f"{name}.pem"
        self._authority = trustme.CA(organization_name=f"test {name}")
        self._authority.cert_pem.write_to_path(str(self.ca))

    def certificate(self, name: str, *identities: str, expired: bool = False) -> Path:
        """Return a PEM file with a certificate for *identities* (host names, addresses) and its key."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        signed = self._authority.issue_cert(
            *identities,
            common_name=name,
            not_before=yesterday - timedelta(days=1),
            not_after=yesterday if expired else None,
        )
        path = self.folder / f"{name}.pem"
        signed.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path


def self_signed(folder: Path, name: str) -> Path:
    """Return a PEM file with a self-signed certificate for *name*, and its key."""
    path = folder / f"{name}.pem"
    extension = ("-addext", f"subjectAltName=DNS:{name}")
    made = ("req", "-x509", "-newkey", "ed25519", "-noenc", "-days", "2", "-subj", f"/CN={name}", *extension)
    subprocess.run(
        ["openssl", *made, "-keyout", str(path), "-out", f"{path}.crt"], check=True, capture_output=True, timeout=30
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path
