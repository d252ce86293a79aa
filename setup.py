"""The part of the build that pyproject.toml can't declare: two extensions in C, and the core compiled by mypyc."""

import glob
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext

JOBS = os.cpu_count() or 1

# What is compiled: typed, run for each segment, and subclassed by no plugin and no test. The rest calls it as before.
CORE = (
    "schemefs/call_soon.py",
    "schemefs/held_octets.py",
    "schemefs/timers.py",
    "schemefs/net/buffer.py",
    "schemefs/net/checksum.py",
    "schemefs/net/offload.py",
    "schemes/ip/ethernet.py",
    "schemes/ip/forwarded_flows.py",
    "schemes/ip/forwarding.py",
    "schemes/ip/fragmentation.py",
    "schemes/ip/identification.py",
    "schemes/ip/interface.py",
    "schemes/ip/ipv4.py",
    "schemes/ip/link_neighbors.py",
    "schemes/ip/neighbor.py",
    "schemes/ip/neighbors.py",
    "schemes/ip/network.py",
    "schemes/ip/path.py",
    "schemes/ip/seen_segments.py",
    "schemes/ip/wire.py",
    "schemes/ip/v6/extension_headers.py",
    "schemes/ip/v6/ipv6.py",
    "schemes/ip/v6/ipv6_forwarder.py",
    "schemes/ip/v6/ipv6_interface.py",
    "schemes/ip/v6/ipv6_path.py",
    "schemes/ip/v6/route_lookup.py",
    "schemes/ip/v6/wire.py",
    "schemes/tcp/*.py",
    "schemes/tcp/congestion/*.py",
    "schemes/udp/groups.py",
    "schemes/udp/socket.py",
    "schemes/udp/udp.py",
    "schemes/udp/wire.py",
    "drivers/virtio/faulty_queue.py",
    "drivers/virtio/header.py",
    "drivers/virtio/queue.py",
    "drivers/virtio/receive.py",
    "drivers/virtio/rings.py",
    "drivers/virtio/transmit.py",
)
PLAIN = ("__init__.py", "schemes/tcp/scheme.py", "schemes/tcp/settings.py", "schemes/tcp/status.py")  # not per segment


def pkg_config(option: str) -> list[str]:
    """Return what pkg-config says about fuse3, or fail with the package to install."""
    try:
        return subprocess.run(
            ["pkg-config", option, "fuse3"], check=True, capture_output=True, text=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        message = "schemefs needs libfuse3 and pkg-config to build: apt-get install libfuse3-dev pkg-config gcc"
        raise SystemExit(message) from error


class Build(build_ext):
    """Compiles the core too, unless it is asked not to: SCHEMEFS_PURE=1. An editable install runs what is edited."""

    def run(self) -> None:
        """Build the extensions, which are needed, then the core, which works as Python too."""
        super().run()
        if self.inplace or self.editable_mode:
            return
        if os.environ.get("SCHEMEFS_PURE", "") not in ("", "0"):
            print("schemefs: SCHEMEFS_PURE is set: the core stays plain Python", file=sys.stderr)
            return
        core = BuildCore(Distribution())
        core.build_lib, core.build_temp, core.parallel = self.build_lib, self.build_temp, JOBS
        try:
            core.distribution.ext_modules = extensions_of_core()
            core.ensure_finalized()
            core.run()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is: of mypyc, of the C compiler
            for path in filter(os.path.exists, core.built()):
                os.remove(path)
            print(f"schemefs: the core is not compiled and stays plain Python, slower: {error}", file=sys.stderr)
        else:
            print(f"schemefs: the core is compiled: {len(core.built())} modules", file=sys.stderr)


class BuildCore(build_ext):
    """Compiles the sources of one extension in parallel: nearly all of the core is in one."""

    def build_extension(self, ext: Extension) -> None:
        """Compile, then link."""

        def compiled(source: str) -> list[str]:
            flags = {"include_dirs": ext.include_dirs, "extra_postargs": ext.extra_compile_args}
            return self.compiler.compile([source], output_dir=self.build_temp, depends=ext.depends, **flags)

        with ThreadPoolExecutor(JOBS) as pool:
            ext.extra_objects = [name for names in pool.map(compiled, ext.sources) for name in names]
        ext.sources = []
        super().build_extension(ext)

    def built(self) -> list[str]:
        """Return the files that there are if all has been built."""
        return [self.get_ext_fullpath(ext.name) for ext in self.distribution.ext_modules or ()]


def extensions_of_core() -> list[Extension]:
    """Return what mypyc makes of the core: one library with all of it, and a small one for each module."""
    from mypyc.build import mypycify  # noqa: PLC0415 - a build without it is the plain one

    found = [path for pattern in CORE for path in sorted(glob.glob(pattern))]
    sources = [path for path in found if not path.endswith(PLAIN)]
    options = ["--config-file=", "--ignore-missing-imports", *sources]
    # -O1: as fast as -O3 here, since most calls go into the interpreter, and compiled in half the time.
    extensions = mypycify(options, opt_level="1", debug_level="0", multi_file=True, group_name="schemefs_core")
    for extension in extensions:  # mypyc asks for -Werror: the warnings of a newer compiler are no reason to go without
        extension.extra_compile_args = [flag for flag in extension.extra_compile_args if flag != "-Werror"]
    return list(extensions)


setup(
    cmdclass={"build_ext": Build},
    ext_modules=[
        Extension(
            "schemefs.fs._libfuse_hooks",
            ["schemefs/fs/_libfuse_hooks.c"],
            extra_compile_args=["-O2", "-Wall", "-Wextra", *pkg_config("--cflags")],
            extra_link_args=["-Wl,--no-as-needed", *pkg_config("--libs")],
        ),
        Extension(
            "schemefs.net._internet_sum",
            ["schemefs/net/_internet_sum.c"],
            extra_compile_args=["-O3", "-Wall", "-Wextra"],
        ),
    ],
)
