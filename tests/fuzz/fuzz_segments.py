"""The coverage-guided fuzzer of TCP: its inputs (`tcp_fuzz`) are selected by how much of schemes.tcp they reach.

    ./dev fuzz [--seconds N] [--corpus DIRECTORY]     until then, or until one fails: it is written to tests/fuzz/found
    ./dev fuzz --replay FILE                          one again, with its traceback

atheris (libFuzzer for Python) generates them, where there is one for this Python and machine. They are kept in
.fuzz/, so the next run continues from there.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
FOUND = Path(__file__).with_name("found")
NO_ATHERIS = "there is no atheris for this Python and machine: ./dev test tests/property/test_tcp_fuzz.py goes without"
MAX_LENGTH = 400  # octets of an input
SEEDS = 64


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Fuzz TCP, guided by coverage.")
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    parser.add_argument("--corpus", type=Path, default=ROOT / ".fuzz", help="where the inputs are kept (.fuzz)")
    parser.add_argument("--replay", type=Path, help="run one input alone")
    return parser.parse_args()


def seed(corpus: Path) -> None:
    """Begin with random inputs in every state: else the fuzzer would have to find the states first."""
    corpus.mkdir(parents=True, exist_ok=True)
    chance = random.Random(1)
    for number in range(SEEDS):
        story = corpus / f"seed-{number:02}"
        if not story.exists():
            story.write_bytes(bytes([number * 4 % 256]) + chance.randbytes(chance.randrange(20, MAX_LENGTH)))


def main() -> None:
    asked = arguments()
    if asked.replay is not None:
        from tests.support import tcp_fuzz

        tcp_fuzz.run(asked.replay.read_bytes())
        print(f"{asked.replay} holds")
        return
    try:
        import atheris
    except ImportError:
        sys.exit(NO_ATHERIS)
    with atheris.instrument_imports(include=["schemes.tcp"], enable_loader_override=False):
        from tests.support import tcp_fuzz
    seed(asked.corpus)
    FOUND.mkdir(exist_ok=True)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={asked.seconds}",
            f"-max_len={MAX_LENGTH}",
            f"-artifact_prefix={FOUND}/",
            "-timeout=30",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
            "-verbosity=1",
            str(asked.corpus),
        ],
        tcp_fuzz.run,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
