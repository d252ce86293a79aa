"""The tools, run as processes on a mount."""

from __future__ import annotations

import os
import subprocess
import sys

from schemefs.testing.mount import SchemeMount


class Tools:
    """Runs the tools on one mount."""

    def __init__(self, mount: SchemeMount) -> None:
        self.path = mount.path
        self.processes: list[subprocess.Popen[bytes]] = []

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "schemefs", words[0], "--mount", str(self.path), *words[1:]]

    def run(self, *words: str, status: int = 0, octets: bytes = b"") -> str:
        done = subprocess.run(self.command(*words), check=False, input=octets, capture_output=True, timeout=60)
        assert done.returncode == status, done.stderr.decode()
        return (done.stdout + done.stderr).decode()

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self.command(*words), stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.processes.append(process)
        return process

    def listens(self, protocol: str) -> str:
        """Wait for a conversation of *protocol*; return its number."""
        while True:
            for name in os.listdir(self.path / protocol):
                if name.isdecimal():
                    return name

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script in which `schemefs` uses the mount."""
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", script], env={**os.environ, "PATH": path, "SCHEME": str(self.path)},
            check=False, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
