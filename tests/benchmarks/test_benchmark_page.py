"""The page: made of records alone, whole, and the same way each time."""

import math

import pytest

from benchmarks.page import SLOT, TEMPLATE, shown, tables, write_page
from benchmarks.page.tables import number, table, timed
from benchmarks.records import keep, kept, result
from benchmarks.timing import spread


def figure(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def accuracy(model, iou, *, quick=False, data="emps", classes=("particle",)):
    per_image = {name: figure(iou) for name in ("iou", "dice")}
    objects = ("mask_ap", "mask_ap50", "panoptic_quality", "relative_count_error")
    pooled = dict.fromkeys((*objects, "iou"), figure(0.5))
    undefined = dict.fromkeys(("value", "low", "high"), math.nan)
    pooled["d50_error"] = figure(0.1) if model == "several" else undefined
    each = dict.fromkeys(("background", *classes), 0.75)
    figures = {"per_image": per_image, "pooled": pooled, "pooled_iou_of_classes": each}
    return result(
        "accuracy",
        model,
        about=model,
        command=f"python -m benchmarks accuracy --weights {model}",
        quick=quick,
        model=model,
        dataset={"name": data, "images": 73},
        figures=figures,
    )


@pytest.fixture
def folder(tmp_path):
    change = {**figure(0.3), "verdict": "better"}
    worse = {**figure(-0.005), "verdict": "not told apart"}
    metrics = {"iou": change, "mask_ap50": worse}
    pairs = [{"model": "good", "beside": "a | b", "metrics": metrics}]
    told = {"about": "", "command": "compare them", "dataset": {"name": "emps", "images": 73}}
    keep(result("paired", "emps", figures={"pairs": pairs}, **told), tmp_path)
    keep(accuracy("good", 0.8), tmp_path)
    keep(accuracy("several", 0.7, data="super1", classes=("1", "2")), tmp_path)
    keep(accuracy("small", 0.2, quick=True), tmp_path)
    return tmp_path


def test_the_page_shows_every_record_with_its_command(folder):
    text = write_page(folder).read_text()
    for record in kept(folder):
        assert f"`{record['command']}`" in text
        assert record["hardware"]["processor"] in text
    assert "0.800 [0.790, 0.810]" in text
    assert "–" in text  # the D50 error that is not defined


def test_quick_records_stand_apart(folder):
    text = write_page(folder).read_text()
    full, quick = text.split("# The quick run")
    assert "| good |" in full
    assert "| small |" not in full
    assert "| small |" in quick


def test_a_difference_is_called_better_only_where_it_is(folder):
    text = write_page(folder).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| emps | good |")]
    assert "+0.300 [+0.290, +0.310] **better**" in row
    assert "-0.005 [-0.015, +0.005] |" in row
    assert "a \\| b" in row


def test_classes_of_super1_are_told_apart(folder):
    text = write_page(folder).read_text()
    assert "| several | 0.750 | 0.750 | 0.750 |" in text
    assert "| good | 0.750 |" not in text


def test_the_same_records_give_the_same_page(folder):
    first = write_page(folder).read_bytes()
    assert write_page(folder).read_bytes() == first


def test_every_kind_of_record_has_a_table_and_every_table_is_filled():
    slots = SLOT.findall(TEMPLATE.read_text(encoding="utf-8"))
    for record in kept():
        assert any(line.startswith("| --- |") for line in shown(record)), record["name"]
    for kind, path, columns in slots:
        found = [record for record in kept() if record["what"] == kind]
        if found:
            head, *_ = tables.lines(found, path, columns)
            wanted = sum("=" not in column for column in columns.split())
            assert head.count("|") - 1 >= wanted - 1, (kind, path)  # what none has is left out


def test_every_row_has_as_many_cells_as_its_head():
    for record in kept():
        head = 0
        for line in shown(record):
            cells = line.replace("\\|", "").count("|") if line.startswith("|") else 0
            assert not (head and cells) or cells == head, line
            head = cells if line else 0


def test_a_generic_table_follows_its_columns():
    figures = {
        "rows": [
            {"engine": "a", "s": spread([1.0, 2.0]), "n": 1200, "iou": figure(0.5), "bytes": 2e6},
            {"engine": "b", "s": spread([3.0]), "n": None, "tile": {"px, all": 0.25}},
        ],
        "deep": {"x": {"in": {"k": 1.0}}, "y": {"in": {"l": 2.0}}},
    }
    record = result("startup", "r", about="about it", command="c", figures=figures)
    columns = ["@about:What", "engine", "s:time,_s", "n", "iou", "bytes/MB", "tile.px_all/%:more"]
    assert tables.lines([record], "rows", " ".join(columns)) == [
        "| What | engine | time, s | n | iou | bytes | more |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| about it | a | 1.50 [1.00, 2.00] | 1,200 | 0.500 [0.490, 0.510] | 2.00 | – |",
        "| about it | b | 3.00 | – | – | – | +25.00% |",
    ]
    assert tables.lines([record], "rows", "engine n engine=a")[2:] == ["| a | 1,200 |"]
    assert tables.lines([record], "deep.*.in", "key value")[2:] == [
        "| x, k | 1.00 |",
        "| y, l | 2.00 |",
    ]
    assert tables.lines([record], "-", "@name deep.x.in.k")[::2] == [
        "| name | k |",
        "| r | 1.00 |",
    ]
    assert tables.lines([record], "absent", "key value") == []


def test_scores_of_pixels_and_objects_have_their_intervals(folder):
    text = write_page(folder).read_text()
    pixels, objects = (line for line in text.splitlines() if line.startswith("| emps, 73 | good |"))
    assert pixels.count("0.800 [0.790, 0.810]") == 2
    assert "| 0.500 [0.490, 0.510] |" in objects
    assert "| +50.0% [+49.0%, +51.0%] |" in objects  # of the count


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (None, "–"),
        (math.inf, "–"),
        (1234.5, "1,234"),
        (12.345, "12.3"),
        (0.00123, "0.00123"),
    ],
)
def test_numbers_have_three_figures(value, shown):
    assert number(value) == shown


def test_one_repetition_has_no_spread():
    assert timed(spread([2.0])) == "2.00"
    assert timed(spread([2.0, 1.0, 3.0]), 10) == "20.0 [10.0, 30.0]"


def test_bars_in_cells_are_escaped():
    assert table("a | b", [["x | y", 1]]) == ["| a | b |", "| --- | --- |", "| x \\| y | 1 |"]
