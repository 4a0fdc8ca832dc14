"""Kinds of particles: their summary, plot and overlays, and classifiers in ``temzoo measure``."""

import math
import re

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from skimage.draw import disk
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.core.types import Example, LabelledImage, Micrograph, Prediction
from temzoo.core.writers import write_png
from temzoo.data.classes import tagged
from temzoo.measurement.kinds import ordered_kinds, summarize_kinds
from temzoo.measurement.morphology import KINDS
from temzoo.pictures.colours import KIND_COLOURS
from temzoo.pictures.kinds import kind_marks, kind_overlay, plot_kinds
from temzoo.store import predictions, sidecar
from temzoo.training import train as training
from temzoo.workflows.measure_folder import measure_folder
from temzoo.workflows.particle_kinds import classified, write_overlays

PLACES = {"disc": [(30, 30), (90, 30), (60, 150)], "bar": [(30, 90), (90, 90), (118, 160)]}


def field(name="a.tif", shift=0):
    """A micrograph of dark discs and bars, the last bar cut by the border, and its prediction."""
    instances = np.zeros((120, 200), np.int32)
    number = 0
    for kind, places in PLACES.items():
        for row, col in places:
            number += 1
            if kind == "disc":
                instances[disk((row, col + shift), 13)] = number
            else:
                instances[row - 6 : row + 6, col - 22 : col + 22] = number
    rng = np.random.default_rng(shift)
    pixels = (170 - 90 * (instances > 0) + rng.normal(0, 8, instances.shape)).astype(np.uint8)
    classes = (instances > 0).astype(np.uint8)
    prediction = Prediction(classes, instances, class_names=("particle",), name=name)
    return Micrograph(pixels, name=name), prediction


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two micrographs with their predictions."""
    folder = tmp_path_factory.mktemp("kinds")
    for name, shift in (("a.png", 0), ("b.png", 2)):
        micrograph, prediction = field(name, shift)
        write_png(folder / "images" / name, micrograph.pixels)
        origin = sidecar.Origin(source=folder / "images" / name)
        predictions.save(prediction, folder / "predictions", origin=origin)
    return folder


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    """A classifier that learnt discs and bars from particles that `temzoo particles` cut."""
    out = tmp_path_factory.mktemp("run")
    cut = temzoo.particles.cut_predictions(
        [field(f"{k}.tif", k) for k in range(4)], size=32, border="mirror"
    )
    examples = [tagged(as_example(p.image), "disc" if p.instance <= 3 else "bar") for p in cut]
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("dcnn", classes=2, image_size=32)
    settings = {"batch": 8, "epochs": 1, "steps_per_epoch": 25, "learning_rate": 0.01, "seed": 0}
    training.train(model, examples[:15], examples[15:], out=out / "run", progress=False, **settings)
    return out / "run"


def as_example(image):
    return Example(LabelledImage(image.name, image.width, image.height), lambda: image)


def call(*words, status=0):
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.output + str(result.exception or "")


@pytest.fixture(scope="module")
def table():
    return pd.concat([temzoo.measure(field(n, k)[1]) for k, n in enumerate("ab")])


def test_kinds_are_counted_and_sized_by_image_and_together(table):
    found = summarize_kinds(table.reset_index(drop=True), frames={"a": (120, 200), "b": (120, 200)})
    assert found.columns[:4].tolist() == ["image", "morphology", "particles", "share"]
    rows = found.set_index(["image", "morphology"])
    assert rows["particles"].unstack().loc["all"].to_dict() == {"rod": 4, "sphere": 6, "unsure": 2}
    assert rows.loc[("a", "sphere"), "share"] == pytest.approx(0.5)
    assert rows.loc[("all", "rod"), "aspect_ratio_d50"] == pytest.approx(44 / 12, rel=1e-6)
    assert rows.loc[("all", "sphere"), "diameter_d50_px"] == pytest.approx(26, rel=0.03)
    # Six spheres have an interval; each image's have none.
    assert math.isfinite(rows.loc[("all", "sphere"), "diameter_d50_low_px"])
    assert math.isnan(rows.loc[("a", "sphere"), "aspect_ratio_d50_low"])
    assert math.isnan(rows.loc[("all", "unsure"), "diameter_d50_px"])  # they touch the border


def test_the_d50_of_a_kind_is_that_of_a_summary_by_class(table):
    one = table[table["image"] == "a"].assign(**{"class": lambda t: t["morphology"]})
    kinds = summarize_kinds(one, of="class").set_index("class")
    known = temzoo.summarize(one, by="class").set_index("class")
    for name in ("particles", "diameter_d50_px", "diameter_d50_low_px"):
        pd.testing.assert_series_equal(kinds[name], known[name], check_dtype=False)


def test_intervals_are_over_images_where_they_are_asked_for(table):
    images = [table[table["image"] == "a"].assign(image=f"{k}") for k in range(6)]
    widened = [each.assign(aspect_ratio=each["aspect_ratio"] + k) for k, each in enumerate(images)]
    how = {"frames": {f"{k}": (120, 200) for k in range(6)}}
    over = {
        one: summarize_kinds(pd.concat(widened), over=one, **how) for one in ("particles", "images")
    }
    rows = {one: each.set_index(["image", "morphology"]) for one, each in over.items()}
    alone, images = (rows[one].loc[("all", "sphere")] for one in ("particles", "images"))
    assert images["aspect_ratio_d50"] == alone["aspect_ratio_d50"]
    assert images["aspect_ratio_d50_high"] > alone["aspect_ratio_d50_high"]


def test_no_particle_gives_no_rows_and_the_same_columns(table):
    found = summarize_kinds(table.iloc[:0], frames={"a": (9, 9), "b": (9, 9)})
    assert len(found) == 0
    assert found.columns.tolist() == summarize_kinds(table).columns.tolist()


def test_a_column_that_is_not_there_is_refused(table):
    with pytest.raises(ValueError, match=r"Received: of='kind'\. Use 'morphology' or 'class'"):
        summarize_kinds(table, of="kind")


def test_kinds_of_the_rules_come_first_and_unsure_last():
    assert ordered_kinds(np.array(["b", "unsure", "rod", "a", "sphere"])) == [
        *("sphere", "rod", "a", "b", "unsure")
    ]


def test_colours_of_kinds_stay_and_colour_blind_readers_tell_them_apart():
    from test_report import seen

    assert kind_marks(["rod"]) == {"rod": kind_marks(["sphere", "rod"])["rod"]}
    assert kind_marks(["unsure", "x"])["unsure"].dashed
    colours = np.array(KIND_COLOURS[:5]) / 255
    for eye in ("normal", "deutan", "protan", "tritan"):
        lab = seen(colours, eye)
        apart = np.linalg.norm(lab[:, None] - lab, axis=-1)[np.triu_indices(5, 1)]
        assert apart.min() > 15, eye


def test_an_overlay_has_each_particle_in_the_colour_of_its_kind():
    from temzoo.pages.plates import objects_of

    micrograph, prediction = field()
    grey = np.full_like(micrograph.pixels, 128)
    objects = [one for _, one in objects_of(prediction)]
    kinds = ["sphere"] * 3 + ["rod"] * 2 + ["unsure"]
    picture = kind_overlay(grey, objects, kinds).astype(int)
    blue = picture[..., 2] - picture[..., 0]
    assert blue[30, 30] > 30  # sky blue
    assert blue[30, 90] < -30  # yellow
    assert abs(blue[118, 160]) <= 2


def test_the_plot_needs_particles_with_a_size(table, tmp_path):
    assert plot_kinds(table, tmp_path / "kinds.png").stat().st_size > 5000
    with pytest.raises(ValueError, match=r"Received: 2 particles, none of them free of the border"):
        plot_kinds(table[table["touches_border"]], tmp_path / "none.png")


def test_the_command_writes_the_kinds_and_draws_them(folder, tmp_path):
    said = call("measure", folder / "predictions", "--out", tmp_path, "--overlays")
    assert "Morphology: 6 sphere (D50" in said
    kinds = pd.read_csv(tmp_path / "kinds.csv")
    assert kinds["particles"].sum() == 24
    assert cv2.imread(str(tmp_path / "kinds.png")) is not None
    shown = [cv2.imread(str(tmp_path / "overlays" / f"{stem}_kinds.png")) for stem in "ab"]
    assert {picture.shape for picture in shown} == {(154, 640, 3)}


def test_images_whose_micrograph_is_gone_have_no_overlay_and_it_is_said(folder, tmp_path):
    alone = folder / "predictions" / "a_instances.tif"
    said = call("measure", alone, "--out", tmp_path, "--overlays")
    assert "no overlay of a_instances.tif, whose micrograph is not at hand. Give --images" in said


def test_a_classifier_tells_the_classes_of_measured_particles(folder, run, tmp_path):
    said = call("measure", folder / "predictions", "--out", tmp_path, "--classifier", run)
    assert "Classifier: 10 particles in windows of" in said
    assert "2 left out at the border" in said
    table = pd.read_csv(tmp_path / "particles.csv")
    expected = ["disc"] * 3 + ["bar"] * 2 + ["unsure"]
    assert table["class"].tolist() == expected * 2
    assert table["probability"].isna().tolist() == [kind == "unsure" for kind in expected] * 2
    assert table["probability"].dropna().between(0.5, 1).all()
    kinds = pd.read_csv(tmp_path / "kinds.csv").set_index(["image", "class"])["particles"]
    assert kinds["all"].to_dict() == {"bar": 4, "disc": 6, "unsure": 2}
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert set(summary["class"]) == {"bar", "disc", "unsure"}


def test_windows_in_nm_are_of_the_calibration_that_sizes_are(folder, run):
    from temzoo.measurement.by_hand import ByHand

    model = temzoo.get_model("dcnn", weights=run)
    paths = [folder / "predictions"]
    measured = measure_folder(paths, by_hand=ByHand((0.5, 0.5)))
    found, line = classified(measured, paths, model, window_nm=40.0)
    assert "windows of 40 nm" in line
    assert found.kinds == "class"
    _, line = classified(measured, paths, model, window_feret=1.5, mask_out=True)
    assert "Classifier: 10 particles in windows of" in line
    assert found.by_unit["nm"].table["class"].tolist()[:5] == ["disc"] * 3 + ["bar"] * 2


def test_a_classifier_without_micrographs_or_that_is_none_is_refused(folder, run, tmp_path):
    alone = folder / "predictions" / "a_instances.tif"
    said = call("measure", alone, "--out", tmp_path, "--classifier", run, status=1)
    assert "a classifier looks at the micrograph. Received: a prediction alone" in said
    measured = measure_folder([alone])
    with pytest.raises(ValueError, match=r"measure needs a classifier, such as dcnn"):
        classified(measured, [alone], temzoo.get_model("unet", filters=4))
    said = call("measure", alone, "--out", tmp_path, "--window-px", 30, status=1)
    assert "A window is a classifier's. Received: no --classifier." in said


def test_overlays_follow_a_classifier(folder, run, tmp_path):
    paths = [folder / "predictions"]
    model = temzoo.get_model("dcnn", weights=run)
    measured, _ = classified(measure_folder(paths), paths, model)
    files, without = write_overlays(measured, paths, tmp_path)
    assert [path.name for path in files] == ["a_kinds.png", "b_kinds.png"]
    assert without == []


def test_the_page_counts_kinds_and_colours_by_them(folder, tmp_path):
    text = temzoo.write_report(folder / "predictions", out=tmp_path / "r.html").read_text("utf-8")
    assert "Kinds of outlines" in text
    for kind in ("sphere", "rod", "unsure"):
        assert f'<g class="k-{kind}">' in text
        assert f"var(--kind-{kind})" in text
    css = dict(re.findall(r"--kind-(\w+): #(\w{6})", text))
    drawn = {
        kind: f"{r:02x}{g:02x}{b:02x}" for kind, (r, g, b) in zip(KINDS, KIND_COLOURS, strict=False)
    }
    assert {kind: css[kind] for kind in KINDS} == drawn


def test_classes_keep_the_colours_of_the_page_where_there_are_several(folder, tmp_path):
    _, prediction = field()
    several = Prediction(
        prediction.classes, prediction.instances, class_names=("x", "y"), name="a.png"
    )
    predictions.save(several, tmp_path)
    text = temzoo.write_report(tmp_path, out=tmp_path / "r.html").read_text("utf-8")
    assert '<g class="c1">' in text
    assert '<g class="k-' not in text
