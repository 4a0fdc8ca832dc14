"""The page: made of records alone, whole, and the same way each time."""

import math

import cv2
import pytest

from benchmarks.page import SLOT, TEMPLATE, plots, scores, shown, tables, write_page
from benchmarks.page.plots import Point
from benchmarks.page.tables import number, table, timed
from benchmarks.records import keep, kept, result
from benchmarks.timing import spread


def figure(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def accuracy(model, iou, *, images=293, quick=False, classes=("particle",), **settings):
    per_image = {name: figure(iou) for name in ("iou", "dice", "boundary_f1")}
    objects = ("mask_ap", "mask_ap50", "panoptic_quality", "relative_count_error", "ks_statistic")
    pooled = dict.fromkeys((*objects, "iou"), figure(0.5))
    undefined = dict.fromkeys(("value", "low", "high"), math.nan)
    pooled["d50_error"] = figure(0.1) if model == "several" else undefined
    each = dict.fromkeys(("background", *classes), 0.75)
    seconds = {"median": 0.5, "least": 0.25, "most": 1.0}
    figures = {"per_image": per_image, "pooled": pooled, "pooled_iou_of_classes": each}
    return result(
        "accuracy",
        model,
        about=model,
        command=f"python -m benchmarks accuracy --weights {model}",
        quick=quick,
        model=model,
        dataset={"name": "emps", "images": 73, "train_images": images},
        settings=settings,
        figures=figures | {"seconds_per_image": seconds},
    )


@pytest.fixture
def folder(tmp_path):
    change = {**figure(0.3), "verdict": "better"}
    worse = {**figure(-0.005), "verdict": "not told apart"}
    metrics = {"iou": change, "boundary_f1": worse}
    pairs = [{"model": "good", "beside": "a | b", "metrics": metrics}]
    told = {"about": "", "command": "compare them", "dataset": {"name": "emps", "images": 73}}
    keep(result("paired", "emps", figures={"pairs": pairs}, **told), tmp_path)
    keep(accuracy("good", 0.8), tmp_path)
    keep(accuracy("several", 0.7, classes=("secondary", "tertiary")), tmp_path)
    for count in (5, 10):
        keep(accuracy(f"net-{count}", 0.4 + count / 100, images=count, curve="net"), tmp_path)
    keep(accuracy("small", 0.2, quick=True), tmp_path)
    return tmp_path


def test_the_page_shows_every_record_with_its_command(folder):
    text = write_page(folder).read_text()
    for record in kept(folder):
        if record["name"] != "net-5":  # a curve has one row, and one of its commands
            assert f"`{record['command']}`" in text
        assert record["hardware"]["processor"] in text
    assert "0.800 [0.790, 0.810]" in text
    assert "| emps | net | 0.450 [0.440, 0.460] | 0.500 [0.490, 0.510] |" in text
    assert "2.00 [1.00, 4.00]" in text  # images per second
    assert "–" in text  # the D50 error that is not defined


def test_the_cards_scores_stand_beside_what_was_found(tmp_path):
    card = {"iou": 0.8248, "images": 73}
    keep(accuracy("unet_mobilenet/emps-frozen", 0.8252, card_scores=card), tmp_path)
    keep(accuracy("other", 0.5, card_scores={"iou": 0.9, "images": 4}), tmp_path)
    text = write_page(tmp_path).read_text()
    assert "cards: `unet_mobilenet/emps-frozen` 0.8248, here 0.8252." in text


def test_quick_records_stand_apart(folder):
    text = write_page(folder).read_text()
    full, quick = text.split("# The quick run")
    assert "| good |" in full
    assert "| small |" not in full
    assert "| small |" in quick
    assert "(quick-iou-speed.png)" in quick


def test_a_difference_is_called_better_only_where_it_is(folder):
    text = write_page(folder).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| emps | good |")]
    assert "+0.300 [+0.290, +0.310] **better**" in row
    assert "-0.005 [-0.015, +0.005] |" in row
    assert "a \\| b" in row


def test_classes_are_told_apart_where_there_are_several(folder):
    text = write_page(folder).read_text()
    expected = "`several` on emps: pooled IoU of background 0.750, secondary 0.750, tertiary 0.750;"
    assert f"{expected} mean of all 3: 0.750." in text
    assert "`good` on emps: pooled" not in text


def test_plots_are_pictures_and_the_page_has_them(folder):
    text = write_page(folder).read_text()
    for name in ("iou-speed.png", "learning-curve.png"):
        assert f"]({name})" in text
        picture = cv2.imread(str(folder / name))
        assert picture.shape[1] > 600
        assert picture.std() > 5


def test_the_same_records_give_the_same_page(folder):
    first = write_page(folder).read_bytes()
    assert write_page(folder).read_bytes() == first


def test_a_curve_needs_two_numbers_of_images(folder):
    points = scores.curve_points({"accuracy": kept(folder, quick=False)[:4]})
    assert [(p.series, p.x[0], p.y[0]) for p in points] == [("net", 10, 0.5), ("net", 5, 0.45)]
    assert scores.curve_points({"accuracy": [accuracy("n", 0.4, images=5, curve="n")]}) == []


def test_the_end_of_a_curve_stands_for_its_model(folder):
    judged = [record for record in kept(folder, quick=False) if record["what"] == "accuracy"]
    series = {point.series for point in scores.speed_points({"accuracy": judged})}
    assert series == {"good", "several", "net-10"}


def test_a_score_without_a_speed_has_a_dash_and_no_point(tmp_path):
    record = accuracy("good", 0.8)
    del record["figures"]["seconds_per_image"]
    keep(record, tmp_path)
    keep(accuracy("timed", 0.7), tmp_path)
    assert scores.speed_points({"accuracy": [record]}) == []
    assert "| – | `python -m benchmarks accuracy" in write_page(tmp_path).read_text()


def recipe(name, seconds=0.1, value=0.6, images=293):
    iou = figure(value)
    pooled = {"iou": iou, "instance_f1": iou}
    figures = {"per_image": {"iou": iou}, "pooled": pooled, "joint_iou": None}
    figures |= {"pooled_iou_of_classes": {}, "seconds_per_image": spread([seconds])}
    told = {"about": "U-Net", "command": name, "training": {"minutes": 1.0}}
    data = {"name": "emps", "images": 73, "train_images": images}
    return result("recipe", name, figures=figures, dataset=data, **told)


def test_recipes_stand_in_the_plots_where_no_weights_are_judged():
    found = [recipe("emps-unet"), recipe("emps10-unet", images=10)]
    assert scores.speed_points({"recipe": found})[0] == Point(
        "emps", "emps-unet", (10.0, 10.0, 10.0), (0.6, 0.59, 0.61)
    )
    assert scores.speed_points({"recipe": found, "accuracy": [accuracy("a", 0.5)]})[1:] == []
    assert {p.x[0] for p in scores.curve_points({"recipe": found})} == {10, 293}


def test_the_table_says_whether_another_seed_lies_in_the_interval():
    again = [recipe("emps-unet-seed1", value=0.605), recipe("emps-unet-seed2", value=0.9)]
    rows = scores.recipe([recipe("emps-unet"), *again])[-2:]
    assert [row.split("|")[4].strip() for row in rows] == ["yes", "no"]


def test_every_kind_of_record_has_a_table_and_every_table_is_filled():
    slots = SLOT.findall(TEMPLATE.read_text(encoding="utf-8"))
    assert {kind for kind, path, _ in slots if not path} == {*scores.TABLES}
    for record in kept():
        assert any(line.startswith("| --- |") for line in shown(record)), record["name"]
    for kind, path, columns in slots:
        found = [record for record in kept() if record["what"] == kind]
        if path and found:
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
    assert pixels.count("0.800 [0.790, 0.810]") == 3
    assert "| 0.500 [0.490, 0.510] |" in objects
    assert "| +50.0% [+49.0%, +51.0%] |" in objects  # of the count


def test_a_plot_with_long_names_has_its_panels_whole(tmp_path):
    """Legends stand beside the panels: none is squeezed, and none covers another."""
    long = "a network of many words that say how it was trained, on what, and for how long "
    points = [
        Point(f"data {k % 2}", f"{long}{k}", (1.0 + k, 0.8 + k, 1.2 + k), (0.5, 0.4, 0.6))
        for k in range(16)
    ]
    figure, axes = plots._panels(points)
    heights = [axis.get_position().height * figure.get_figheight() for axis in axes]
    assert min(heights) > 2.0
    path = plots.iou_and_speed(points, tmp_path / "p.png")
    assert cv2.imread(str(path)).shape[0] > 150 * 2 * plots.LEGEND_ROW * 16


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
