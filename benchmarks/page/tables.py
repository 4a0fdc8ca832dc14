"""What the tables are made of, and tables that the template asks for by the names of figures.

``<!-- KIND PATH: COLUMN COLUMN … -->`` gives a row for each item at a path of the figures of the
records of a kind. The path is dotted; ``*`` in it stands for every key, ``.`` for the figures
themselves; what it leads to is a list, or a dict whose items are named by their keys. The path
``-`` gives one row a record, of all its figures. A column is a dotted path of the item, with ``_``
for a blank; ``key`` is its name, ``value`` all of it, ``@field`` a field of the record, ``A+B`` two
of them, and ``NAME=VALUE`` leaves out the items that are otherwise. ``:Title`` after a column heads
it; ``/GB``, ``/MB``, ``/ms`` and ``/%`` scale it, ``/.3f`` is a format.
How a cell looks follows from what it holds: a spread, a score, a difference, a number.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]  # or one of its figures
UNITS = {"GB": 1e-9, "MB": 1e-6, "ms": 1e3}


def table(head: str, rows: Iterable[Sequence[Any]]) -> list[str]:
    """A Markdown table; the names of its columns are separated by ``|``."""
    names = [name.strip() for name in head.split("|")]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (names, ["---"] * len(names), *cells)]


def number(value: float | None) -> str:
    """Three significant figures, or a dash for what is not defined."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.0e}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def timed(figure: Record, factor: float = 1.0) -> str:
    """``median [least, most]`` of a spread, or the figure alone where there is one repetition."""
    median, least, most = (number(factor * figure[key]) for key in ("median", "least", "most"))
    return median if figure.get("repetitions") == 1 else f"{median} [{least}, {most}]"


def score(figure: Record, form: Callable[[float], str] = "{:.3f}".format) -> str:
    """``value [low, high]`` of a score, or the value alone where its interval has no width."""
    if figure["value"] is None:
        return "–"
    first, *bounds = [form(figure[k]) for k in ("value", "low", "high") if figure[k] is not None]
    return f"{first} [{', '.join(bounds)}]" if {*bounds} - {first} else first


def change(figure: Record) -> str:
    """A score's difference, with "better" or "worse" where it is."""
    told = "" if figure["verdict"] == "not told apart" else f" **{figure['verdict']}**"
    return score(figure, "{:+.3f}".format) + told


def lines(found: Sequence[Record], path: str, columns: str) -> list[str]:
    """The table of some records of a kind; nothing where no item has a figure."""
    parts = columns.split()
    wanted = dict(column.split("=") for column in parts if "=" in column)
    shown = [column.partition(":") for column in parts if "=" not in column]
    rows = [
        [_joined(column, item, key, record) for column, *_ in shown]
        for record in found
        for key, item in _items(record["figures"], path)
        if all(str(_at(item, name, key, record)) == value for name, value in wanted.items())
    ]
    heads = [
        title or column.partition("/")[0].split(".")[-1].lstrip("@") for column, _, title in shown
    ]
    told = [n for n, (column, *_) in enumerate(shown) if n and not column.startswith("@")]
    rows = [row for row in rows if not told or {row[n] for n in told} != {"–"}]
    kept = [n for n in range(len(shown)) if any(row[n] != "–" for row in rows)]
    head = " | ".join(heads[n].replace("_", " ") for n in kept)
    return table(head, [[row[n] for n in kept] for row in rows]) if rows else []


def _items(value: Any, path: str, key: str = "") -> Iterator[tuple[str, Any]]:
    """(name, item) of everything that a path leads to."""
    first, _, rest = path.strip(".").partition(".")
    if first == "-":
        yield key, value
    elif first == "*" and isinstance(value, Mapping):
        for name, each in value.items():
            yield from _items(each, rest, f"{key}, {name}".strip(", "))
    elif first and isinstance(value, Mapping):
        if first in value:
            yield from _items(value[first], rest, key)
    elif isinstance(value, Mapping) and not {"median", "value"} & value.keys():
        for name, each in value.items():
            yield f"{key}, {name}".strip(", "), each
    elif isinstance(value, list):
        yield from ((key, each) for each in value)
    else:
        yield key, value


def _at(item: Any, path: str, key: str, record: Record) -> Any:
    if path in ("key", "value", "@command"):
        return {"key": key, "value": item, "@command": f"`{record['command']}`"}[path]
    if path.startswith("@"):
        item, path = record, path[1:]
    while path and isinstance(item, Mapping):
        first, _, path = path.partition(".")
        item = next(
            (e for n, e in item.items() if n.replace(",", "").replace(" ", "_") == first), None
        )
    return None if path else item


def _joined(column: str, item: Any, key: str, record: Record) -> str:
    path, _, unit = column.partition("/")
    return ", ".join(_cell(_at(item, part, key, record), unit) for part in path.split("+"))


def _cell(value: Any, unit: str) -> str:
    factor = UNITS.get(unit, 1.0)
    form = f"{{:{unit}}}".format if unit[-1:] in ("f", "%") and unit != "%" else number
    if value is None or isinstance(value, str):
        return "–" if value is None else value
    if not isinstance(value, Mapping):
        if unit == "%":
            return f"{value:+.2%}"
        whole = isinstance(value, int) and not unit
        return f"{value:,}" if whole else form(factor * value)
    if unit == "%":
        return "{median:+.0%} [{least:+.0%}, {most:+.0%}]".format_map(value)
    if "verdict" in value:
        return change(value)
    if "median" in value:
        return timed(value, factor)
    if "value" in value:
        return score(value, form)
    return ", ".join(f"{name} {each}" for name, each in value.items())
