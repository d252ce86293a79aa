"""A package of a third party in a folder on the path: a module, and the metadata that an installer writes."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, module: str, source: str, entry_points: str) -> dict[str, str]:
    """Write it, and return the environment in which it is found."""
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (folder / f"{module}.py").write_text(source)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(entry_points)
    (metadata / "RECORD").write_text(f"{module}.py,,\n{metadata.name}/METADATA,,\n{metadata.name}/RECORD,,\n")
    return {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
