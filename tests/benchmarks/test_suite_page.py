"""The page and the command line: made of records alone, whole, and the same way each time."""

import json
import math
import sys

import cv2
import pytest
from typer.testing import CliRunner

from benchmarks import __main__ as suite
from benchmarks import own, records
from benchmarks.records import keep, kept, result, spread
from benchmarks.suite import page, plots
from benchmarks.suite.plots import Point
from temzoo.cli import benchmarking
from temzoo.cli.common import app
from temzoo.training import run_folder


def figure(value):
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def accuracy(model, iou, *, images=293, quick=False, classes=("particle",), **told):
    per_image = {name: figure(iou) for name in ("iou", "dice", "boundary_f1")}
    pooled = {name: figure(0.5) for _, part, name in page.ACCURACY if part == "pooled"}
    pooled["d50_error"] = {"value": math.nan, "low": math.nan, "high": math.nan}
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
        figures=figures | {"seconds_per_image": seconds} | told.pop("figures", {}),
        **told,
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
        settings = {"epochs": 5, "steps_per_epoch": 60, "batch": 8}
        told = {"curve": "net", "training": {"settings": settings}}
        keep(accuracy(f"net-{count}", 0.4 + count / 100, images=count, **told), tmp_path)
    keep(accuracy("small", 0.2, quick=True), tmp_path)
    return tmp_path


def test_the_page_shows_every_record_with_its_command(folder):
    text = page.write_page(folder).read_text()
    for record in kept(folder):
        assert f"`{record['command']}`" in text
        assert record["hardware"]["processor"] in text
    assert "0.800 [0.790, 0.810]" in text
    assert "2.00 [1.00, 4.00]" in text  # images per second
    assert "–" in text  # the D50 error that is not defined
    assert "in these rows: `net` 300 steps of 8 crops." in text


def test_the_cards_scores_stand_beside_what_was_found(tmp_path):
    card = {"iou": 0.8248, "images": 73}
    keep(accuracy("unet_mobilenet/emps-frozen", 0.8252, card_scores=card), tmp_path)
    keep(accuracy("other", 0.5, card_scores={"iou": 0.9, "images": 4}), tmp_path)
    text = page.write_page(tmp_path).read_text()
    assert "cards: `unet_mobilenet/emps-frozen` 0.8248, here 0.8252." in text


def test_quick_records_stand_apart(folder):
    text = page.write_page(folder).read_text()
    full, quick = text.split("# The quick run")
    assert "| good |" in full
    assert "| small |" not in full
    assert "| small |" in quick
    assert "(quick-iou-speed.png)" in quick


def test_a_difference_is_called_better_only_where_it_is(folder):
    text = page.write_page(folder).read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| emps | good |")]
    assert "+0.300 [+0.290, +0.310] **better**" in row
    assert "-0.005 [-0.015, +0.005] |" in row
    assert "a \\| b" in row


def test_classes_are_told_apart_where_there_are_several(folder):
    text = page.write_page(folder).read_text()
    expected = "`several` on emps, pooled IoU: background 0.750, secondary 0.750, tertiary 0.750;"
    assert f"{expected} mean of all 3: 0.750." in text
    assert "`good` on emps, pooled" not in text


def test_plots_are_pictures_and_the_page_has_them(folder):
    text = page.write_page(folder).read_text()
    for name in ("iou-speed.png", "learning-curve.png"):
        assert f"]({name})" in text
        picture = cv2.imread(str(folder / name))
        assert picture.shape[1] > 600
        assert picture.std() > 5


def test_the_same_records_give_the_same_page(folder):
    first = page.write_page(folder).read_bytes()
    assert page.write_page(folder).read_bytes() == first


def test_a_curve_needs_two_numbers_of_images(folder):
    points = page._curve_points(kept(folder, quick=False))
    assert [(p.series, p.x[0], p.y[0]) for p in points] == [
        ("net", 10, 0.5),
        ("net", 5, 0.45),
    ]
    assert page._curve_points([accuracy("net-5", 0.4, images=5, curve="net")]) == []


def test_the_end_of_a_curve_stands_for_its_model(folder):
    judged = [record for record in kept(folder, quick=False) if record["what"] == "accuracy"]
    series = {point.series for point in page._speed_points(judged)}
    assert series == {"good", "several", "net-10"}


def test_a_score_without_a_speed_has_a_dash_and_no_point(tmp_path):
    record = accuracy("good", 0.8)
    del record["figures"]["seconds_per_image"]
    keep(record, tmp_path)
    assert page._speed_points([record]) == []
    assert "| – | `python -m benchmarks accuracy" in page.write_page(tmp_path).read_text()


def test_a_record_tells_what_was_noted_before_the_measurement(monkeypatch):
    monkeypatch.setattr(records, "_now", lambda: {"commit": "before", "load_before": 0.25})
    with records.measuring(["--with", "my file.py"]):
        monkeypatch.setattr(records, "_now", lambda: {"commit": "after", "load_before": 2.0})
        told = result("startup", "a", about="", command="run it", figures={})
    assert [told["commit"], told["load_before"]] == ["before", 0.25]
    assert told["command"] == "run it --with 'my file.py'"
    later = result("startup", "a", about="", command="run it", figures={})
    assert [later["commit"], later["load_before"]] == ["after", 2.0]
    assert later["command"] == "run it"


def test_records_of_the_older_benchmark_stand_in_the_plots(folder):
    older = {"name": "emps-unet", "data": "emps", "about": "U-Net", "train": {"images": 293}}
    older |= {"per_image": {"iou": figure(0.6)}}
    older |= {"seconds_per_image": {"median": 0.1, "least": 0.1, "most": 0.2}}
    for name, images in (("emps-unet", 293), ("emps10-unet", 10)):
        told = older | {"name": name, "train": {"images": images}}
        (folder / f"accuracy-{name}.json").write_text(json.dumps(told))
    assert page._earlier(folder) == [
        Point("emps", "emps-unet", (10.0, 5.0, 10.0), (0.6, 0.59, 0.61))
    ]
    assert {p.x[0] for p in page._curve_points(page._earlier_records(folder))} == {10, 293}
    assert "iou-speed.png" in page.write_page(folder).read_text()


def timings(what, name, figures):
    return result(what, name, about=name, command=f"python -m benchmarks {what}", figures=figures)


def test_other_measurements_have_tables(tmp_path):
    time = spread([1.0, 2.0, 4.0])
    keep(timings("startup", "startup", {"import temzoo": time}), tmp_path)
    keep(timings("measure", "measure", {"temzoo": time, "ratio": spread([3.0])}), tmp_path)
    rates = {
        "images_per_s": {"pipeline": time},
        "waiting": {"unet": 0.021},
        "longer": {"unet": 0.05},
    }
    keep(timings("pipeline", "pipeline", rates), tmp_path)
    who = {"read_s": time, "draw_s": time, "peak": spread([2e8]), "shapes": 1000}
    told = timings("labels", "images", {"temzoo": who, "datumaro": {"left_out": "no network"}})
    keep(told | {"dataset": {"bytes": 5_000_000}}, tmp_path)
    doses = {
        d: {k: figure(20.0) for k in ("noisy_psnr_db", "psnr_db", "gain_db", "ssim")} for d in "ab"
    }
    told = timings("restoration", "r", {"doses": doses})
    keep(told | {"dataset": {"name": "emps", "images": 73}}, tmp_path)
    text = page.write_page(tmp_path).read_text()
    assert "| import temzoo | 2.00 [1.00, 4.00] |" in text
    assert "| measure | ratio | 3.00 |" in text
    assert "make batches: `unet` 2.10% and +5.0%." in text
    assert "left out: no network" in text
    assert "| temzoo | 2.00 [1.00, 4.00] | 2.00 [1.00, 4.00] | 200 | 1,000 |" in text
    assert "20.00 [19.99, 20.01]" in text


def test_precisions_stand_beside_their_iou(tmp_path):
    row = {
        "engine": "openvino",
        "precision": "int8",
        "seconds": spread([0.1, 0.2, 0.3]),
        "ratio_to_keras": spread([4.0]),
        "iou": figure(0.8),
        "iou_change": {"value": -0.0005, "low": -0.001, "high": 0.0},
        "pixels_that_differ": 0.0012,
        "tiling": {"overhead": spread([0.04, 0.081, 0.2]), "pixels_per_pixel": 1.41},
        "batch_1_over_8": 0.03,
    }
    left = {"onnxruntime-int8": "pip install onnxruntime"}
    keep(timings("precision", "small", {"rows": [row], "left_out": left}), tmp_path)
    text = page.write_page(tmp_path).read_text()
    start = "| openvino, int8 | 0.200 [0.100, 0.300] | 4.00 | 0.800 [0.790, 0.810] |"
    tiles = "+8% [+4%, +20%]; 1.41 px a px"
    assert f"{start} -0.0005 [-0.0010, +0.0000] | 0.12% | {tiles} | +3% |" in text
    assert "Left out: onnxruntime-int8: pip install onnxruntime" in text


def test_vaes_have_a_table(tmp_path):
    names = ("reconstruction_error", "kl", "r diameter_px", "r aspect_ratio", "r angle_deg")
    figures = {name: figure(0.5) for name in names} | {"active_units": 3, "latent_dim": 4}
    told = timings("latent", "vae/particles", figures | {"mig": 0.31, "mig_shuffled": 0.002})
    keep(told | {"dataset": {"name": "drawn particles"}}, tmp_path)
    text = page.write_page(tmp_path).read_text()
    assert "| vae/particles; drawn particles | 0.5 [0.49, 0.51] |" in text
    assert "| 3 of 4 | 0.310 (0.00200) |" in text


def test_scores_of_pixels_and_objects_have_their_intervals(folder):
    text = page.write_page(folder).read_text()
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


def test_throughput_and_memory_have_tables(tmp_path):
    cell = {"engine": "tensorflow", "precision": "float32", "batch": 8, "side": 256}
    timed = {
        "latency_s": spread([0.1, 0.2]) | {"p95": 0.195},
        "images_per_s": spread([40.0, 80.0]),
        "peak_share": 0.81,
        "peak_bytes": 1.5e9,
        "difference_to_reference": 0.0,
        "ratio_to_reference": spread([1.0]),
    }
    absent = {**cell, "engine": "none", "left_out": "pip install none", "peak_bytes": None}
    told = timings("throughput", "unet", {"cells": [cell | timed, absent], "too_large": ["8 of 9"]})
    told |= {"parameters": 7_700_000, "gflop_per_256px": 23.3, "model": "unet"}
    keep(told, tmp_path)
    rows = [{"side": side, "used": 1e9} for side in (512, 1024)]
    keep(timings("memory", "unet", {"sides": rows}) | {"model": "unet"}, tmp_path)
    text = page.write_page(tmp_path).read_text()
    assert "7.70 M parameters, 23.3 GFLOP at 256 px" in text
    start = "| 256 | 8 | tensorflow, float32 | 60.0 [40.0, 80.0] | 1.00 |"
    assert f"{start} 150 | 195 | 81% | 1,500 | 0 |" in text
    assert "left out: pip install none" in text
    assert "Left out: batches of 8 of 9, more pixels than" in text
    assert "| unet | 1.00 | 1.00 |" in text
    assert "| unet, without the maps | 0.999 | 0.995 |" in text
    assert (tmp_path / "memory.png").is_file()


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
    assert page.number(value) == shown


def test_one_repetition_has_no_spread():
    assert page.timed(spread([2.0])) == "2.00"
    assert page.timed(spread([2.0, 1.0, 3.0]), 10) == "20.0 [10.0, 30.0]"


def test_a_record_replaces_the_one_of_its_name_alone(tmp_path):
    for quick, value in ((False, 1.0), (False, 2.0), (True, 3.0)):
        told = result("startup", "a b", about="", command="", figures={"v": value}, quick=quick)
        path = keep(told, tmp_path)
    assert path.name == "quick-startup-a-b.json"
    assert [r["figures"]["v"] for r in kept(tmp_path)] == [3.0, 2.0]
    assert [r["figures"]["v"] for r in kept(tmp_path, quick=True)] == [3.0]


def test_the_suite_runs_its_steps_and_goes_on_after_one_that_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.suite.startup.COMMANDS", {"bare Python": ["-c", "pass"]})
    steps = (("accuracy", "--weights", "no-such"), ("peers",), ("startup", "--repetitions", "1"))
    monkeypatch.setattr(suite, "QUICK", steps)
    monkeypatch.setattr(suite.importlib.util, "find_spec", lambda name: None)
    assert suite.main(["all", "--quick", "--out", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "accuracy failed: FileNotFoundError: Give a run folder" in told.err
    assert "needs benchmarks.peers, which this checkout does not have yet" in told.out
    page = (tmp_path / "README.md").read_text()
    assert "| bare Python |" in page
    assert "`python -m benchmarks startup --quick --repetitions 1`" in page


def test_a_record_s_command_names_what_finds_the_same_data_again():
    words = ["--with", "a b.py", "--data-folder", "/none", "--repetitions", "2"]
    assert suite._repeating(suite.parser().parse_args(["measure", *words])) == words
    assert suite._repeating(suite.parser().parse_args(["page"])) == []


def test_all_hands_on_files_of_one_s_own(tmp_path, monkeypatch):
    mine = tmp_path / "mine.py"
    mine.write_text("", encoding="utf-8")
    monkeypatch.setenv(own.VARIABLE, "")  # is set, and with it what later tests would start
    got = []
    monkeypatch.setattr(suite, "QUICK", (("startup",), ("peers",)))
    monkeypatch.setattr(suite, "_step", lambda words: got.append(list(words)) or 0)
    assert suite.main(["all", "--quick", "--with", str(mine), "--out", str(tmp_path)]) == 0
    assert got[0][-2:] == ["--with", str(mine)]
    assert "--with" not in got[1]  # parses its own words, and takes none of these


def test_a_part_that_parses_its_own_words_gets_them_and_all_ends_with_its_page(
    tmp_path, monkeypatch
):
    got = []
    module = type(sys)("benchmarks.peers")
    module.main = lambda words: got.append(words) or (3 if len(got) == 1 else 0)
    module.__spec__ = suite.importlib.machinery.ModuleSpec("benchmarks.peers", None)
    monkeypatch.setitem(sys.modules, "benchmarks.peers", module)
    assert suite.main(["peers", "--minutes", "5"]) == 3
    assert got == [["--minutes", "5"]]
    monkeypatch.setattr(suite, "QUICK", (("peers", "--names", "sklearn"),))
    assert suite.main(["all", "--quick", "--out", str(tmp_path), "--data-folder", "/none"]) == 0
    common = ["--out", str(tmp_path), "--data-folder", "/none"]
    assert got[1] == ["--names", "sklearn", "--quick", *common]
    assert (tmp_path / "README.md").is_file()


@pytest.fixture
def two_steps(monkeypatch):
    """Two steps, of which the second fails until the fixture's answer says otherwise."""
    ran, fails = [], {"measure"}
    monkeypatch.setattr(suite, "QUICK", (("startup",), ("measure", "--x")))
    monkeypatch.setattr(suite, "_step", lambda words: ran.append(words[0]) or words[0] in fails)
    return ran, fails


def test_all_resumes_with_what_was_not_done(tmp_path, two_steps, capsys):
    ran, fails = two_steps
    words = ["all", "--quick", "--out", str(tmp_path)]
    assert suite.main(words) == 1
    assert ran == ["startup", "measure"]
    fails.clear()
    assert suite.main([*words, "--resume"]) == 0
    assert ran == ["startup", "measure", "measure"]
    assert "== startup: done before" in capsys.readouterr().out
    # All is done, so that there is nothing to go on with.
    assert suite.main([*words, "--resume"]) == 0
    assert ran[3:] == ["startup", "measure"]


def test_all_without_resume_begins_anew(tmp_path, two_steps):
    ran, _ = two_steps
    words = ["all", "--quick", "--out", str(tmp_path)]
    assert [suite.main(words), suite.main(words)] == [1, 1]
    assert ran == 2 * ["startup", "measure"]


def test_what_was_run_alone_is_not_run_again_by_resume(tmp_path, two_steps):
    ran, fails = two_steps
    fails.clear()
    words = ["all", "--quick", "--out", str(tmp_path)]
    for more in (["--only", "measure"], ["--only", "measure"], ["--resume"]):
        assert suite.main([*words, *more]) == 0
    assert ran == ["measure", "measure", "startup"]


def test_a_run_is_not_resumed_on_another_machine(tmp_path, two_steps, capsys, monkeypatch):
    ran, _ = two_steps
    words = ["all", "--quick", "--out", str(tmp_path)]
    suite.main(words)
    told = {**run_folder.hardware(), "processor": "another"}
    monkeypatch.setattr("temzoo.training.run_folder.hardware", lambda: told)
    suite.main([*words, "--resume"])
    assert ran == 2 * ["startup", "measure"]
    assert "Begun anew: the run that was stopped is of other hardware" in capsys.readouterr().out


def test_all_judges_the_shipped_weights_on_their_own_data():
    steps = {step[2]: step for step in suite.shipped() if step[0] == "accuracy"}
    assert ("accuracy", "--weights", "vae/particles") in suite.shipped()
    measured = ("precision", "--data", "emps", "--weights", "unet_mobilenet/emps-frozen")
    assert measured in suite.shipped()
    assert {"unet_mobilenet/emps-frozen", "autoencoder/emps-denoise"} <= {*steps["emps"]}
    assert "autoencoder/emps-denoise" not in steps.get("super1", ())


def test_every_command_is_told_of(capsys):
    with pytest.raises(SystemExit):
        suite.main(["--help"])
    told = capsys.readouterr().out
    for name in (*suite.COMMANDS, *suite.WHOLE, "all", "page"):
        assert f"    {name} " in told or f"    {name}\n" in told


def test_temzoo_benchmark_is_the_suite(tmp_path):
    outcome = CliRunner().invoke(app, ["benchmark", "page", "--out", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    assert (tmp_path / "README.md").read_text().startswith("# Benchmarks")


def test_without_the_repository_it_says_where_the_suite_is(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"in a checkout of the repository: .* Clone the"):
        benchmarking.run_suite(tmp_path, ["page"])
