"""``results/README.md``, made anew from the records each time.

    python -m benchmarks page

``template.md`` is the page without its tables: ``<!-- KIND PATH: COLUMN … -->`` in it stands for a
table that ``benchmarks.page.tables`` makes of the figures of all records of a kind. A section
without records is left out; the quick runs stand in a part of their own, by the same template.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.page import tables
from benchmarks.page.tables import Record
from benchmarks.records import RESULTS, kept, write_lines

TEMPLATE = Path(__file__).with_name("template.md")
SLOT = re.compile(r"<!-- (\S+) (\S+): (.+?) -->", re.DOTALL)
QUICK = """# The quick run

`python -m benchmarks all --quick`: drawn micrographs and small networks, minutes in all. It shows
that everything runs, and how machines compare; its scores say little of real images.
"""


def write_page(folder: Path = RESULTS) -> Path:
    """Writes the page from the records in ``folder``; gives the page's path."""
    head, *sections = re.split(r"\n(?=## )", TEMPLATE.read_text(encoding="utf-8"))
    parts, short = [], []
    for found, quick in ((parts, False), (short, True)):
        of: dict[str, list[Record]] = {}
        for record in kept(folder, quick=quick):
            of.setdefault(record["what"], []).append(record)
        found += [part for text in sections if (part := _filled(text, of))]
    text = "\n".join([head, _contents(parts), *parts, *([QUICK] if short else []), *short])
    return write_lines(folder / "README.md", [text.rstrip()])


def shown(record: Record) -> list[str]:
    """What the page will say of one record."""
    slots = SLOT.findall(TEMPLATE.read_text("utf-8"))
    found = [tables.lines([record], *how) for kind, *how in slots if kind == record["what"]]
    return [line for lines in found if lines for line in (*lines, "")][:-1]


def _contents(sections: Iterable[str]) -> str:
    titles = [text.splitlines()[0].removeprefix("## ") for text in sections]
    anchors = ["".join(c for c in t.lower() if c.isalnum() or c in " -") for t in titles]
    pairs = zip(titles, anchors, strict=True)
    return "".join(f"- [{t}](#{a.replace(' ', '-')})\n" for t, a in pairs)


def _filled(text: str, of: Mapping[str, Sequence[Record]]) -> str:
    """A section with its tables, or "" where there are no records for any."""
    kinds = [kind for kind, *_ in SLOT.findall(text)]
    if not of.keys() & {*kinds}:
        return ""
    text = SLOT.sub(lambda m: "\n".join(tables.lines(of.get(m[1], ()), m[2], m[3])), text)
    lines = [re.sub(r"\n{3,}", "\n\n", text).rstrip()]
    for kind in dict.fromkeys(kinds):
        commands = dict.fromkeys(f"`{r['command']}`" for r in of.get(kind, ()))
        others = [command for command in commands if command not in text]
        lines += ["", f"By {'; '.join(others)}.", ""] if others else [""]
    return "\n".join([*lines, measured([r for k in kinds for r in of.get(k, ())])]) + "\n"


def measured(records: Iterable[Record]) -> str:
    """The machines, versions, commits and dates of some records, and how busy they were before."""
    machines: dict[str, list[dict[str, Any]]] = {}
    for r in records:
        hardware, versions = r["hardware"], r["versions"]
        libraries = [f"{n} {versions[n]}" for n in ("python", "tensorflow", "jax") if n in versions]
        name = f"{hardware['processor']}, {hardware['cores']} cores, {', '.join(libraries)}"
        machines.setdefault(f"{name}, {r['date']}", []).append(r)
    told = []
    for name, found in sorted(machines.items()):
        commits = sorted({r["commit"] or "not noted" for r in found})
        busy = [r["load_before"] for r in found if r["load_before"] is not None]
        load = f", load before {min(busy):g} to {max(busy):g}" if busy else ""
        told.append(f"{name}, commit {', '.join(commits)}{load}")
    return f"Measured on: {'; '.join(told)}."
