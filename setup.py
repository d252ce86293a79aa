"""The part of the build that pyproject.toml can't declare: the libfuse hooks, compiled against libfuse3."""

import subprocess

from setuptools import Extension, setup


def pkg_config(option: str) -> list[str]:
    """Return what pkg-config says about fuse3, or fail with the package to install."""
    try:
        return subprocess.run(
            ["pkg-config", option, "fuse3"], check=True, capture_output=True, text=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        message = "schemefs needs libfuse3 and pkg-config to build: apt-get install libfuse3-dev pkg-config gcc"
        raise SystemExit(message) from error


setup(
    ext_modules=[
        Extension(
            "schemefs.fs._libfuse_hooks",
            ["schemefs/fs/_libfuse_hooks.c"],
            extra_compile_args=["-O2", "-Wall", "-Wextra", *pkg_config("--cflags")],
            extra_link_args=["-Wl,--no-as-needed", *pkg_config("--libs")],
        )
    ]
)
