"""docs/performance.md, docs/performance.json and docs/performance.svg: what `./dev bench --write` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.bench.measurement import KERNEL, OURS, SLIRP
from tests.bench.plot import svg
from tests.bench.report import as_json, is_met, most_in, shown

Json = dict[str, Any]
BEGIN, END = "<!-- measured -->", "<!-- end of what was measured -->"
LINE: Final = 120


def write(document: Json, docs: Path) -> None:
    """Write all three into a directory."""
    (docs / "performance.json").write_text(as_json(document))
    (docs / "performance.svg").write_text(svg(document))
    page = docs / "performance.md"
    page.write_text(with_table(page.read_text(), document))


def with_table(page: str, document: Json) -> str:
    """Return the page with the part between its marks made anew."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin and end, f"the page has no {BEGIN} … {END}"
    return f"{before}{begin}\n{measured(document)}\n{end}{after}"


def measured(document: Json) -> str:
    """Return the facts of the run and the table."""
    older = [name for name in document["candidates"] if name not in {OURS, KERNEL, SLIRP}]
    names = [OURS, KERNEL, SLIRP, *older]
    parts = [facts(document), table(document["rows"], names), ending(document), profiles(document["profiles"])]
    return "\n\n".join("\n".join(part) for part in parts if part)


def facts(document: Json) -> list[str]:
    """Return what the figures depend on, one fact a line."""
    machine = f"{document['processors']} × {document['processor']}, Linux {document['kernel']}"
    return [
        f"* {document['date']}, {document['seconds']:.0f} s, load average {document['load']} at the start; {machine}",
        *(
            f"* {name}: {', '.join(f'{key} {value}' for key, value in about.items() if value)}"
            for name, about in document["candidates"].items()
        ),
        f"* medians of at most {document['rounds']} rounds, with the least and the most of ours",
    ]


def table(rows: list[Json], names: list[str]) -> list[str]:
    """Return the table in Markdown."""
    found = [
        f"| `./dev bench` | figure | {' | '.join(names)} | goal | measured |",
        f"|---|---|{'---|' * len(names)}---|---|",
    ]
    for row in rows:
        values = [cell(row["values"].get(name), spread=name == OURS) for name in names]
        goals = "<br>".join(f"{goal['bound']}{' of ' + goal['of'] if goal['of'] else ''}" for goal in row["goals"])
        reached = "<br>".join(
            shown(goal["measured"]) if is_met(goal) else f"**{shown(goal['measured'])}**" for goal in row["goals"]
        )
        title = row["title"] + (f", {row['unit']}" if row["unit"] else "")
        found.append(f"| `{row['measurement']}` | {title} | {' | '.join(values)} | {goals} | {reached} |")
    return found


def cell(value: Json | None, *, spread: bool) -> str:
    if value is None:
        return ""
    spread = spread and value["least"] < value["most"]
    return shown(value["median"]) + (f" ({shown(value['least'])} – {shown(value['most'])})" if spread else "")


def ending(document: Json) -> list[str]:
    """Return how many goals are met."""
    goals = [goal for row in document["rows"] for goal in row["goals"]]
    failed = [f"Failed: {text}" for text in document["failures"]]
    return [f"{sum(map(is_met, goals))} of {len(goals)} goals are met; those that are not are **bold**.", *failed]


def profiles(found: list[Json]) -> list[str]:
    """Return where the daemon's time goes in the measurements that miss a goal."""
    if not found:
        return []
    parts = list(found[0]["parts"])
    head = [f"| our daemon in | {', % | '.join(parts)}, % | most in |", f"|---|{'---|' * len(parts)}---|"]
    shares = [" | ".join(shown(profile["parts"][part]) for part in parts) for profile in found]
    names = [profile["measurement"] for profile in found]
    return [
        *head,
        *(f"| `{name}` | {share} | {most_in(each)} |" for name, share, each in zip(names, shares, found, strict=True)),
    ]
