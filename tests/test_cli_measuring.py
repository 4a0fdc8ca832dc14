"""``temzoo measure``: what it writes, prints and refuses."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.cli import measuring
from temzoo.core.types import Detection, Micrograph, Prediction
from temzoo.data.synthetic.synthesize import synthesize, write_tiff
from temzoo.labels.shapes.raster import instance_map
from temzoo.micrographs import drawn_text
from temzoo.store import predictions, sidecar
from temzoo.zoo import pretrained

RUNNER = CliRunner()
WRITTEN = [
    "kinds.csv",
    "kinds.png",
    "particles.csv",
    "particles.parquet",
    "sizes.png",
    "summary.csv",
]


def call(*arguments, status=0):
    result = RUNNER.invoke(cli.app, ["measure", *map(str, arguments)])
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.output


def refused(*arguments):
    result = RUNNER.invoke(cli.app, ["measure", *map(str, arguments)])
    assert result.exit_code == 1
    return str(result.exception)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three micrographs, the last empty, with predictions as `temzoo predict` leaves them."""
    folder = tmp_path_factory.mktemp("data")
    for seed, number in enumerate((20, 12, 0)):
        micrograph, labels = synthesize(seed, size=200, n_particles=number, name=f"m{seed}.tif")
        write_tiff(folder / "images" / micrograph.name, micrograph)
        instances = instance_map(labels)
        prediction = Prediction(
            (instances > 0).astype(np.uint8),
            instances,
            class_names=("particle",),
            nm_per_pixel=micrograph.nm_per_pixel,
            name=micrograph.name,
        )
        origin = sidecar.Origin(source=folder / "images" / micrograph.name)
        predictions.save(prediction, folder / "predictions", origin=origin)
    return folder


def test_a_folder_of_predictions_becomes_tables_and_a_plot(folder, tmp_path):
    said = call(folder / "predictions", "--out", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == WRITTEN
    table = pd.read_csv(tmp_path / "particles.csv")
    assert len(table) == 32
    assert table["nm_per_pixel_row"].eq(0.5).all()
    assert table["mean_intensity"].between(1, 254).all()  # of the micrograph where it lay
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "particles.parquet"), table, check_dtype=False, rtol=1e-8
    )
    assert cv2.imread(str(tmp_path / "sizes.png")) is not None
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["image"].tolist() == ["m0.tif", "m1.tif", "m2.tif", "all"]
    assert summary["particles"].tolist() == [20, 12, 0, 32]
    assert summary["images"].tolist() == [1, 1, 1, 3]
    lines = said.splitlines()
    assert lines[0].split()[:4] == ["image", "particles", "at", "border"]
    assert "D50 nm" in lines[0]
    assert f"{summary['diameter_d50_nm'].iloc[-1]:.4g}" in lines[4]
    assert "in pixels" not in said


def test_the_tables_are_those_of_the_library(folder, tmp_path):
    call(folder / "predictions" / "m0.prediction.json", "--out", tmp_path)
    prediction = predictions.load_prediction(folder / "predictions" / "m0.prediction.json")
    wanted = temzoo.measure(prediction, folder / "images" / "m0.tif")
    found = pd.read_parquet(tmp_path / "particles.parquet")
    pd.testing.assert_frame_equal(found, wanted)
    summary = pd.read_csv(tmp_path / "summary.csv").drop(columns="doubtful")
    assert summary.pop("calibration").notna().all()
    pd.testing.assert_frame_equal(summary, temzoo.summarize(wanted), check_dtype=False, rtol=1e-8)


def test_calibration_by_hand_and_by_a_scale_bar(folder, tmp_path):
    place = folder / "predictions" / "m0_instances.tif"
    for option, value, wanted in (
        ("--nm-per-pixel", "2", (2, 2)),
        ("--nm-per-pixel", "2,3.5", (2, 3.5)),
        ("--scale-bar", "180,20,180,120=50", (0.5, 0.5)),
        ("--scale-bar", "180,20,180,120=300nm", (3, 3)),
    ):
        call(place, option, value, "--override-calibration", "--out", tmp_path)
        table = pd.read_parquet(tmp_path / "particles.parquet")
        sizes = table[["nm_per_pixel_row", "nm_per_pixel_col"]].drop_duplicates().to_numpy()
        assert sizes.tolist() == [list(wanted)]


def test_pixels_alone_come_with_the_way_to_calibrate_them(folder, tmp_path):
    instances = predictions.load_prediction(folder / "predictions" / "m0.prediction.json").instances
    write_tiff(tmp_path / "labels.tif", Micrograph(instances.astype(np.uint16)))
    said = call(tmp_path / "labels.tif", "--out", tmp_path / "out")
    assert "sizes are in pixels" in said
    assert "--nm-per-pixel 0.5, or --scale-bar" in said
    assert "area_px2" in pd.read_csv(tmp_path / "out" / "particles.csv")


def test_a_folder_of_label_images_and_moved_micrographs(folder, tmp_path):
    for name in ("m0_instances.tif", "m1_instances.tif"):
        (tmp_path / name).write_bytes((folder / "predictions" / name).read_bytes())
    call(tmp_path, "--out", tmp_path / "out", "--images", folder / "images")
    found = pd.read_parquet(tmp_path / "out" / "particles.parquet")
    call(folder / "predictions", "--out", tmp_path / "other")
    wanted = pd.read_parquet(tmp_path / "other" / "particles.parquet")
    assert found["mean_intensity"].tolist() == wanted["mean_intensity"].tolist()


def test_a_changed_micrograph_gives_no_intensities(folder, tmp_path):
    source = tmp_path / "a.tif"
    prediction = predictions.load_prediction(folder / "predictions" / "m0.prediction.json")
    source.write_bytes((folder / "images" / "m0.tif").read_bytes())
    predictions.save(prediction, tmp_path, origin=sidecar.Origin(source=source))
    source.write_bytes(b"another")
    call(tmp_path, "--out", tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out" / "particles.parquet")["mean_intensity"].isna().all()


def test_border_classes_and_small_particles_are_options(folder, tmp_path):
    options = ("--border", "correct", "--min-area-px", 300, "--class", "particle")
    call(folder / "predictions", "--out", tmp_path, *options, "--over", "images")
    table = pd.read_parquet(tmp_path / "particles.parquet")
    assert table["area_nm2"].min() >= 75
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert set(summary["border"]) == {"correct"}
    assert "among those of the prediction" in refused(
        folder / "predictions", "--out", tmp_path, "--class", "rod"
    )


def test_several_classes_are_summarised_apart(folder, tmp_path):
    prediction = predictions.load_prediction(folder / "predictions" / "m0.prediction.json")
    classes = np.where(prediction.instances > 10, 2, prediction.classes).astype(np.uint8)
    both = Prediction(classes, prediction.instances, class_names=("a", "b"), name="two.tif")
    predictions.save(both, tmp_path)
    said = call(tmp_path, "--out", tmp_path / "out")
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert summary["class"].tolist() == ["a", "b"]
    assert summary["image"].tolist() == ["two.tif", "two.tif"]
    assert summary["particles"].tolist() == [10, 10]
    assert "two.tif, b" in said, said


def test_nothing_to_plot_leaves_no_plot_of_another_time(folder, tmp_path):
    call(folder / "predictions", "--out", tmp_path)
    call(folder / "predictions" / "m2.prediction.json", "--out", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        n for n in WRITTEN if "png" not in n
    ]
    assert len(pd.read_csv(tmp_path / "particles.csv")) == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--nm-per-pixel", "wide"), "--nm-per-pixel must be 0.5, or ROW,COL"),
        (("--nm-per-pixel", "1,2,3"), "--nm-per-pixel must be 0.5, or ROW,COL"),
        (("--nm-per-pixel", "0"), "finite and greater than 0"),
        (("--scale-bar", "1,2,3=50"), "--scale-bar must be ROW,COL,ROW,COL=LENGTH_NM"),
        (("--scale-bar", "1,2,3,4"), "--scale-bar must be ROW,COL,ROW,COL=LENGTH_NM"),
        (("--scale-bar", "1,2,1,2=50"), "two ends"),
        (("--scale-bar", "1,2,1,9=50", "--nm-per-pixel", "1"), "a calibration is given once"),
        (("--override-calibration",), "Received: none. Give --nm-per-pixel or --scale-bar"),
        (("--border", "skip"), "border must be"),
    ],
)
def test_wrong_options_are_refused(folder, tmp_path, arguments, text):
    assert text in refused(folder / "predictions", "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_places_without_predictions_are_refused(tmp_path):
    assert "There are no predictions in" in refused(tmp_path)
    assert "no such file" in refused(tmp_path / "absent.tif")


def test_two_images_of_one_name_are_refused(folder, tmp_path):
    copy = tmp_path / "m0.prediction.json"
    copy.write_bytes((folder / "predictions" / "m0.prediction.json").read_bytes())
    assert "the names must differ" in refused(folder / "predictions", tmp_path)


def test_pixels_are_told_of_and_the_extra_where_it_is_missing(monkeypatch):
    how = r"for the images state no calibration. Give --nm-per-pixel 0.5, or --scale-bar \S+\.$"
    by_unit = {"px": SimpleNamespace(frames=["z.tif"])}
    monkeypatch.setattr(drawn_text, "can_read_text", lambda: True)
    assert re.search(how, measuring.pixel_notice(by_unit))
    monkeypatch.setattr(drawn_text, "can_read_text", lambda: False)
    assert "pip install 'temzoo[scalebar]' reads bars" in measuring.pixel_notice(by_unit)


def test_uncalibrated_images_have_a_summary_of_their_own(folder, tmp_path):
    instances = np.zeros((50, 50), np.uint16)
    instances[5:9, 5:9] = 1
    write_tiff(tmp_path / "z.tif", Micrograph(instances))
    out = tmp_path / "out"
    said = call(folder / "predictions", tmp_path / "z.tif", "--out", out)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        WRITTEN + [name.replace(".", "_px.") for name in WRITTEN]
    )
    nm, px = (pd.read_csv(out / name) for name in ("summary.csv", "summary_px.csv"))
    assert nm["image"].tolist() == ["m0.tif", "m1.tif", "m2.tif", "all"]
    assert px["image"].tolist() == ["z.tif"]
    assert px["diameter_mean_px"].tolist() == pytest.approx([2 * np.sqrt(16 / np.pi)])
    assert pd.read_parquet(out / "particles_px.parquet")["area_px2"].tolist() == [16]
    assert len(pd.read_parquet(out / "particles.parquet")) == 32
    assert "D50 nm" in said
    assert "D50 px" in said
    assert "sizes are in pixels, for z.tif states no calibration" in said
    # With a calibration of all there is one summary again, and nothing is left of the other.
    call(folder / "predictions", tmp_path / "z.tif", "--nm-per-pixel", 2, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == WRITTEN
    assert len(pd.read_parquet(out / "particles.parquet")) == 33


def test_small_particles_are_left_out_of_the_summary_and_said(folder, tmp_path):
    call(folder / "predictions", "--out", tmp_path)
    table = pd.read_parquet(tmp_path / "particles.parquet")
    least = round(table["diameter_nm"].median(), 2)
    small = int((table["diameter_nm"] < least).sum())
    assert 0 < small < len(table)
    for option, value in (("--min-diameter-nm", least), ("--min-diameter-px", 2 * least)):
        said = call(folder / "predictions", "--out", tmp_path, option, value)
        summary = pd.read_csv(tmp_path / "summary.csv")
        assert len(pd.read_parquet(tmp_path / "particles.parquet")) == len(table)
        assert summary["too_small"].iloc[-1] == summary["too_small"].iloc[:-1].sum() == small
        assert summary["particles"].iloc[-1] == len(table) - small
        assert f"Too small to count, below {least:.4g} nm: {small}; they stay in the table." in said


def test_doubtful_objects_are_said_and_count_in_nothing(folder, tmp_path):
    before = call(folder / "predictions", "--out", tmp_path / "none")
    assert "doubtful: " not in before
    assert pd.read_csv(tmp_path / "none" / "summary.csv")["doubtful"].isna().all()
    for path in predictions.list_predictions(folder / "predictions"):
        found = predictions.load_prediction(path)
        one = Detection(0, 0, np.ones((3, 3), bool), 1, 0.3)
        sure = np.full(int(found.instances.max()), 0.9, np.float32)
        doubtful = () if path.name.startswith("m2") else (one,)
        predictions.save(replace(found, scores=sure, doubtful=doubtful), tmp_path / "told")
    said = call(tmp_path / "told", "--out", tmp_path)
    assert "doubtful: 2, dashed in the overlays; they are in no count and no size" in said
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["doubtful"].tolist() == [1, 1, 0, 2]
    assert summary["particles"].tolist() == [20, 12, 0, 32]
    sure = pd.read_csv(tmp_path / "particles.csv")["confidence"].tolist()
    assert sure == pytest.approx([0.9] * 32)


def test_a_smallest_diameter_in_nm_needs_calibrated_images(folder, tmp_path):
    instances = np.zeros((50, 50), np.uint16)
    instances[5:9, 5:9] = 1
    write_tiff(tmp_path / "z.tif", Micrograph(instances))
    said = refused(tmp_path / "z.tif", "--min-diameter-nm", 5, "--out", tmp_path / "out")
    assert "for 'z.tif', which has no calibration" in said


def test_the_error_of_the_model_widens_the_intervals_where_its_card_tells(
    folder, tmp_path, monkeypatch
):
    errors = {"d50": {"mean": 0.0, "sd": 0.2}, "count": {"mean": 0.0, "sd": 0.3}, "images": 30}
    card = pretrained.WeightsCard("unet", sha256="abc", errors=errors)
    monkeypatch.setattr(pretrained, "available", lambda model: {"emps": card})
    prediction = predictions.load_prediction(folder / "predictions" / "m0.prediction.json")

    def summary(place, **origin):
        predictions.save(prediction, tmp_path / place, origin=sidecar.Origin(**origin))
        said = call(tmp_path / place, "--out", tmp_path / f"{place}-out")
        return pd.read_csv(tmp_path / f"{place}-out" / "summary.csv").iloc[-1], said

    made = {"model": "unet", "weights": "unet/emps", "weights_sha256": "abc"}
    wide, said = summary("known", **made)
    assert "sampling and model; by itself the model is off by a factor of 1.22 in D50 and" in said
    assert wide["diameter_d50_low_nm"] < wide["diameter_d50_sampling_low_nm"]
    assert wide["density_per_um2_high"] > wide["density_per_um2_sampling_high"]
    for place, origin in (
        ("other", {**made, "weights_sha256": "def"}),
        ("cut", {**made, "options": {"instances": "components"}}),
        ("none", {}),
    ):
        plain, said = summary(place, **origin)
        assert "sampling alone; the error of what found the particles is not known" in said
        assert plain["diameter_d50_low_nm"] == plain["diameter_d50_sampling_low_nm"]
        assert plain["diameter_d50_nm"] == wide["diameter_d50_nm"]
    usual = {"instances": "auto", "min_area_px": 10, "min_score": None, "flips": True}
    assert summary("usual", **made, options=usual)[0]["model_d50_error"] == 0.2


def test_measuring_needs_no_tensorflow(folder, tmp_path):
    code = (
        "import sys; sys.argv = ['temzoo', 'measure', *sys.argv[1:]]\n"
        "from temzoo.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'tensorflow', 'keras', 'imgaug'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, folder / "predictions", "--out", tmp_path / "out"]
    done = subprocess.run(
        list(map(str, arguments)),
        capture_output=True,
        text=True,
        check=False,
        cwd=temzoo.__path__[0] + "/..",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")


def saved_with_source(folder, place, *, name="m0.tif", nm_per_pixel=None):
    """A prediction of a copy of m0.tif that lies in ``place``, and the copy."""
    prediction = predictions.load_prediction(folder / "predictions" / "m0.prediction.json")
    source = place / "images" / name
    source.parent.mkdir(exist_ok=True)
    source.write_bytes((folder / "images" / "m0.tif").read_bytes())
    prediction = replace(prediction, name=name, nm_per_pixel=nm_per_pixel)
    predictions.save(prediction, place / "predictions", origin=sidecar.Origin(source=source))
    return source


def intensities(place, *options):
    said = call(place / "predictions", "--out", place / "out", *options)
    return pd.read_parquet(place / "out" / "particles.parquet")["mean_intensity"], said


def test_another_image_of_the_same_size_gives_neither_intensities_nor_calibration(folder, tmp_path):
    source = saved_with_source(folder, tmp_path)
    pixels = temzoo.load_micrograph(source).pixels
    size = source.stat().st_size
    write_tiff(source, Micrograph(255 - pixels, (0.9, 0.9)))
    os.utime(source, (5, 5))
    assert source.stat().st_size == size
    found, said = intensities(tmp_path)
    assert found.isna().all()
    assert "m0.tif: The micrograph is not where it was" in said
    assert "mean_intensity is empty for 1 image. Give --images" in said
    assert "sizes are in pixels" in said


def test_of_images_with_one_name_the_predicted_one_is_measured(folder, tmp_path):
    source = saved_with_source(folder, tmp_path)
    wanted, _ = intensities(tmp_path)
    for place in ("a", "b", "c"):
        (tmp_path / "moved" / place).mkdir(parents=True)
        other = folder / "images" / "m1.tif"
        (tmp_path / "moved" / place / "m0.tif").write_bytes(other.read_bytes())
    source.rename(tmp_path / "moved" / "b" / "m0.tif")
    found, said = intensities(tmp_path, "--images", tmp_path / "moved")
    assert found.tolist() == wanted.tolist()
    assert "mean_intensity" not in said


def test_label_images_do_not_choose_between_micrographs_of_one_name(folder, tmp_path):
    place = tmp_path / "m0_instances.tif"
    place.write_bytes((folder / "predictions" / place.name).read_bytes())
    for name in ("1/m0.tif", "2/m0.tif"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        (tmp_path / "images" / name).write_bytes((folder / "images" / "m0.tif").read_bytes())
    said = refused(place, "--images", tmp_path / "images", "--out", tmp_path / "out")
    assert "the names of images must differ" in said


def test_a_damaged_micrograph_does_not_end_the_measuring(folder, tmp_path):
    saved_with_source(folder, tmp_path, name="fine.tif", nm_per_pixel=(0.5, 0.5))
    source = tmp_path / "images" / "bad.tif"
    source.write_bytes(b"II*\0damaged")
    prediction = predictions.load_prediction(folder / "predictions" / "m1.prediction.json")
    origin = sidecar.Origin(source=source)
    predictions.save(replace(prediction, name="bad.tif"), tmp_path / "predictions", origin=origin)
    found, said = intensities(tmp_path)
    assert found.isna().sum() == 12
    assert found.notna().sum() == 20
    assert said.count("bad.tif: The micrograph could not be read: ") == 1


def scales(place):
    table = pd.read_parquet(place / "particles.parquet")
    return table.groupby("image")["nm_per_pixel_row"].unique().map(list).to_dict()


def test_a_calibration_by_hand_is_for_images_without_one(folder, tmp_path):
    instances = predictions.load_prediction(folder / "predictions" / "m0.prediction.json").instances
    write_tiff(tmp_path / "z.tif", Micrograph(instances.astype(np.uint16)))
    options = (folder / "predictions", tmp_path / "z.tif", "--nm-per-pixel", 2)
    said = call(*options, "--out", tmp_path / "out")
    assert scales(tmp_path / "out") == {"m0.tif": [0.5], "m1.tif": [0.5], "z.tif": [2]}
    assert "given by hand for 1 of 4 images: 2 nm. Another is stated by m0.tif 0.5 nm, m1" in said
    assert "which was kept; --override-calibration takes the given one for all." in said
    said = call(*options, "--override-calibration", "--out", tmp_path / "out")
    assert scales(tmp_path / "out") == {"m0.tif": [2], "m1.tif": [2], "z.tif": [2]}
    assert "given by hand for 4 of 4 images: 2 nm. Another is stated by m0.tif 0.5 nm, m1" in said
    assert "which was not used." in said


def test_names_that_begin_like_formulas_are_text_in_the_csv(folder, tmp_path):
    prediction = predictions.load_prediction(folder / "predictions" / "m0.prediction.json")
    hostile = replace(prediction, name="=1+1.tif", class_names=("@SUM(A1)",))
    predictions.save(hostile, tmp_path)
    call(tmp_path, "--out", tmp_path / "out")
    for name in ("particles.csv", "summary.csv"):
        assert set(pd.read_csv(tmp_path / "out" / name)["image"]) == {"'=1+1.tif"}
    assert set(pd.read_csv(tmp_path / "out" / "particles.csv")["class"]) == {"'@SUM(A1)"}
    assert set(pd.read_parquet(tmp_path / "out" / "particles.parquet")["image"]) == {"=1+1.tif"}


def test_a_map_of_classes_is_not_measured(folder, tmp_path):
    said = refused(folder / "predictions" / "m0_classes.png", "--out", tmp_path / "out")
    assert "Measure m0.prediction.json or m0_instances.tif" in said


def test_the_line_of_all_says_where_its_pixels_may_be_of_several_magnifications():
    """Of calibrated images, of nm, there is nothing to be said."""
    from temzoo.cli.size_lines import shown

    for scale, says in ((None, "all, as if of one magnification"), ((0.5, 0.5), "all")):
        instances = np.zeros((40, 40), np.int32)
        instances[5:15, 5:15] = 1
        found = [
            Prediction((instances > 0).astype(np.uint8), instances, name=name, nm_per_pixel=scale)
            for name in ("a.png", "b.png")
        ]
        summary = temzoo.summarize(pd.concat(map(temzoo.measure, found)), by=None).assign(
            doubtful=0
        )
        line = next(line for line in shown(summary).splitlines() if line.startswith("all"))
        assert re.split("  +", line)[:2] == [says, "2"]
