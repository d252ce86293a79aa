"""Certificates for tests, made by the openssl command: an authority, and what it signs, well and badly."""

from __future__ import annotations

import subprocess
from pathlib import Path


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=30)


class Authority:
    """A certificate authority in *folder*: `ca` is its certificate, to be trusted."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder = folder
        self.ca = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"
        _new_key(self.key)
        sign_itself(self.key, self.ca, "-subj", f"/CN=test {name}")

    def certificate(self, name: str, alternative: str, *, expired: bool = False) -> Path:
        """Return a PEM file with a certificate for *alternative* (DNS:… or IP:…) and its key."""
        key, request, signed = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\n")
        _new_key(key)
        openssl("req", "-new", "-key", str(key), "-subj", f"/CN={name}", "-out", str(request))
        command = ["x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self.key), "-CAcreateserial"]
        # A certificate of -1 days ended yesterday.
        command += ["-days", "-1" if expired else "2", "-extfile", str(extensions), "-out", str(signed)]
        openssl(*command)
        return _joined(self.folder / f"{name}.pem", signed, key)


def self_signed(folder: Path, name: str) -> Path:
    """Return a PEM file with a certificate for *name* that nobody else has signed, and its key."""
    key, signed = folder / f"{name}.key", folder / f"{name}.crt"
    _new_key(key)
    sign_itself(key, signed, "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    return _joined(folder / f"{name}.pem", signed, key)


def sign_itself(key: Path, certificate: Path, *what: str) -> None:
    openssl("req", "-x509", "-new", "-key", str(key), "-days", "2", "-out", str(certificate), *what)


def _new_key(path: Path) -> None:
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(path))


def _joined(path: Path, certificate: Path, key: Path) -> Path:
    path.write_text(certificate.read_text() + key.read_text())
    return path
