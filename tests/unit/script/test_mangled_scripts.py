"""Scripts with errors: whatever a line says, the end is a ladder or a sentence with the number of the line."""

import random
import re

from schemefs.script.notation import ScriptError, parse_script
from schemefs.script.player import Player
from tests.support.scripts_page import SCRIPTS

RUNS = 60


def test_no_script_raises_anything_else() -> None:
    draw = random.Random(7)
    lines = [line for script in SCRIPTS for line in script.read_text().splitlines() if not line.startswith("#")]
    words = [word for line in lines for word in line.split()] + ["-1", "99999999999", "٣", "\x00", "->", "lost", "icmp"]
    ends = {"same": 0, "different": 0, "refused": 0}
    for _ in range(RUNS):
        chosen = draw.choice(SCRIPTS).read_text().splitlines()
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(chosen))
            mangled = chosen[at].split(" ")
            mangled[draw.randrange(len(mangled))] = draw.choice(words)
            chosen[at] = draw.choice((" ".join(mangled), draw.choice(lines), ""))
        try:
            difference = Player("script").play(parse_script("\n".join(chosen)))
        except ScriptError as error:
            assert re.match(r"line \d+: .", str(error))
            ends["refused"] += 1
        else:
            ends["different" if difference else "same"] += 1
    assert min(ends["different"], ends["refused"]) > RUNS / 10, ends
