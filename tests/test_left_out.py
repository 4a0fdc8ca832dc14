"""What was drawn into a picture is no particle and no area; its scale bar calibrates it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from test_drawn_annotations import with_info_bar
from test_scale_bars import field, needs_reader, with_bar
from typer.testing import CliRunner

import temzoo
from temzoo.core.types import Detection, LabelledImage, Micrograph, Prediction, Shape
from temzoo.data.examples import class_names
from temzoo.inference.left_out import leave_out
from temzoo.labels.shapes.raster import ignored_pixels
from temzoo.micrographs import drawn
from temzoo.micrographs.annotations import Annotations, annotations_drawn_in
from temzoo.micrographs.drawn import Drawn, boxes_of, calibrated
from temzoo.pages.gallery import Gallery
from temzoo.workflows.measure_folder import measure_folder


def three_squares(**fields):
    """10 px squares at rows 10, 40 and 75 of 100 x 80 px."""
    instances = np.zeros((100, 80), np.int32)
    for number, row in enumerate((10, 40, 75), 1):
        instances[row : row + 10, 30:40] = number
    classes = (instances > 0).astype(np.uint8)
    return Prediction(classes, instances, name="a.png", **fields)


def test_objects_under_a_box_are_gone_and_others_are_numbered_anew():
    found = leave_out(three_squares(scores=np.array([0.5, 0.6, 0.7])), [(0, 0, 18, 80)])
    assert found.instances[45, 35] == 1
    assert found.instances[80, 35] == 2
    assert found.scores.tolist() == [0.6, 0.7]
    assert not found.classes[:18].any()
    assert found.left_out == ((0, 0, 18, 80),)
    assert found.field_share == pytest.approx(0.82)


def test_an_object_that_a_letter_hides_a_part_of_stays_whole():
    found = leave_out(three_squares(), [(8, 28, 15, 44), (42, 30, 60, 40)])
    assert (found.instances == 1).sum() == 100  # half of it is hidden; of the second 80 %
    assert found.instances.max() == 2
    assert (found.classes > 0).sum() == 220  # what shows of the second is no background


def test_an_object_that_an_info_bar_cuts_stays_without_those_pixels():
    found = leave_out(three_squares(), [(80, 0, 200, 80), (5, 5, 5, 9)])
    assert (found.instances == 3).sum() == 50
    assert found.left_out == ((80, 0, 100, 80),)
    table = temzoo.measure(found)
    assert table["touches_border"].tolist() == [False, False, True]
    assert table["frame_height_px"].tolist() == [80, 80, 80]


def test_detections_are_cut_too():
    squares = three_squares()
    detections = tuple(Detection(row, 30, np.ones((10, 10), bool), 1, 0.9) for row in (10, 40, 75))
    whole = replace(squares, detections=detections, doubtful=detections[:1])
    found = leave_out(whole, [(0, 0, 14, 80), (40, 0, 48, 80)])
    assert [(one.top, one.mask.shape) for one in found.detections] == [
        (14, (6, 10)),
        (75, (10, 10)),
    ]
    assert [one.top for one in found.doubtful] == [14]
    assert found.instances.max() == 2


def test_density_and_coverage_are_of_the_field():
    plain, part = (temzoo.summarize(temzoo.measure(each)) for each in (
        three_squares(), leave_out(three_squares(), [(0, 0, 50, 20), (88, 0, 100, 80)])
    ))  # fmt: skip
    field_px = 100 * 80 - 50 * 20 - 12 * 80
    assert part["coverage"][0] == pytest.approx(300 / field_px)
    assert plain["coverage"][0] == pytest.approx(300 / 8000)
    assert part["density_per_px2"][0] > plain["density_per_px2"][0]


def test_a_report_has_the_density_of_the_field():
    gallery = Gallery(0)
    instances = np.zeros((60, 40), np.int32)
    instances[5:9, 5:9] = 1
    found = Prediction((instances > 0).astype(np.uint8), instances, name="a")
    gallery.add(replace(found, left_out=((40, 0, 60, 40),)), None)
    ((found, frames),) = gallery.by_unit().values()
    assert frames == found.fields == {"a": (pytest.approx(40), 40)}


def test_left_out_survives_saving(tmp_path):
    found = leave_out(three_squares(), [(0, 0, 18, 80)])
    temzoo.saved.save(found, tmp_path)
    assert temzoo.load_prediction(tmp_path / "a.prediction.json").left_out == found.left_out


BAR = temzoo.ScaleBar(2.0, 50.0, "100 nm", 0.9, (0, 0, 1, 1))


def test_the_bar_calibrates_what_states_nothing():
    told = calibrated(Micrograph(field(), name="a.png"), BAR)
    assert told.nm_per_pixel == (2, 2)
    assert told.calibration == "read from the picture: 100 nm = 50 px"


@pytest.mark.parametrize(("own", "says"), [(1.95, False), (2.2, True), (0.5, True)])
def test_the_files_calibration_wins_and_a_disagreement_is_said(own, says):
    told = calibrated(Micrograph(field(), (own, own), "a.tif", "TIFF header"), BAR)
    assert told.nm_per_pixel == (own, own)
    assert ("the picture's scale bar says 2 nm: 100 nm = 50 px" in told.calibration) is says


def test_auto_reads_no_text_without_the_extra(monkeypatch):
    monkeypatch.setattr(drawn, "can_read_text", lambda: False)
    micrograph = Micrograph(with_bar(), name="a.png")
    assert Drawn().of(micrograph) == (micrograph, ())


@needs_reader
def test_a_required_bar_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match=r"a\.png: needs a scale bar.*--nm-per-pixel 0\.5"):
        Drawn("require").of(Micrograph(field(), name="a.png"))
    calibrated = Micrograph(field(), (1.0, 1.0), "a.tif")
    assert Drawn("require").of(calibrated)[0] is calibrated


@needs_reader
def test_what_was_drawn_weighs_nothing_in_training(tmp_path):
    """A particle that is labelled below the bar is not learnt there; without the option it is."""
    Image.fromarray(with_bar()).save(tmp_path / "a.png")
    boxes = annotations_drawn_in(with_bar()).boxes
    height, width = with_bar().shape[:2]
    labels = LabelledImage("a.png", width, height, (
        Shape("box", "particle", np.array([[0.0, 0.0], [height, width]]), z_order=3),
    ))  # fmt: skip
    temzoo.labels.write(tmp_path / "labels.xml", [labels], to="cvat")
    how = {"images": tmp_path, "labels": tmp_path / "labels.xml"}
    (plain,), (cropped,) = (temzoo.load_dataset(**how, crop_bar=each) for each in (False, True))
    assert ignored_pixels(plain.labels) is None
    expected = Annotations(boxes=boxes).mask((height, width))
    np.testing.assert_array_equal(ignored_pixels(cropped.labels), expected)
    assert 0 < expected.sum() < expected.size
    assert class_names([cropped]) == ("particle",)


def test_only_labels_have_regions_that_weigh_nothing(tmp_path):
    from temzoo.cli import app

    words = f"train autoencoder --images {tmp_path} --out {tmp_path / 'run'} --crop-bar".split()
    error = CliRunner().invoke(app, words).exception
    assert "--crop-bar is for models that learn from labels. Received: autoencoder" in str(error)


def test_options_that_are_none_are_refused():
    with pytest.raises(ValueError, match="scale_bar must be one of"):
        Drawn("yes")
    with pytest.raises(ValueError, match=r"half-open.*Received: \(5, 0, 5, 9\)"):
        Drawn(boxes=((5, 0, 5, 9),))
    with pytest.raises(ValueError, match=r"--ignore-box must be ROW,COL,ROW,COL.*'1,2,3'"):
        boxes_of(["1,2,3"])
    assert boxes_of(["1,2,3,4", "5,6,7,8"]) == ((1, 2, 3, 4), (5, 6, 7, 8))


@pytest.fixture
def picture(tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(with_bar()).save(tmp_path / "in" / "a.png")
    return tmp_path


@needs_reader
def test_predict_calibrates_by_the_bar_and_says_so(picture, capsys):
    model = temzoo.get_model("unet", filters=4)
    done = temzoo.predict_folder(model, picture / "in", picture / "out")
    [row] = done.rows
    assert row.nm_per_pixel_row == pytest.approx(200 / 140, rel=0.01)
    assert row.calibration == "read from the picture: 200 nm = 140 px"
    assert f"({row.calibration})" in capsys.readouterr().out
    saved = temzoo.load_prediction(picture / "out" / "a.prediction.json")
    assert saved.field_share < 1
    assert not saved.classes[~saved.field & (saved.instances == 0)].any()
    plain = temzoo.predict_folder(
        model, picture / "in", picture / "plain", drawn=Drawn("off", crop_bar=False)
    )
    assert plain.rows[0].nm_per_pixel_row is None


@needs_reader
def test_python_answers_for_a_path_as_the_command_does(picture):
    """Calibrated by the bar, which is no particle; an array or a micrograph is taken as it is."""
    model, path = temzoo.get_model("unet", filters=4), picture / "in" / "a.png"
    temzoo.predict_folder(model, path, picture / "out", progress=False)
    by_command = temzoo.load_prediction(picture / "out" / "a.prediction.json")
    found = temzoo.predict(model, path)
    np.testing.assert_array_equal(found.instances, by_command.instances)
    np.testing.assert_array_equal(found.classes, by_command.classes)
    assert found.left_out == by_command.left_out != ()
    assert found.nm_per_pixel == by_command.nm_per_pixel
    assert found.calibration == by_command.calibration == "read from the picture: 200 nm = 140 px"
    assert f"nm ({found.calibration})" in repr(found)
    for as_it_is in (temzoo.load_micrograph(path), with_bar()):
        found = temzoo.predict(model, as_it_is)
        assert (found.left_out, found.nm_per_pixel, found.calibration) == ((), None, "")


@needs_reader
def test_measure_reads_the_bar_of_a_prediction_without_a_calibration(picture):
    pixels = with_bar()
    instances = np.zeros(pixels.shape, np.int32)
    instances[100:120, 100:120] = 1
    instances[358:368, 300:440] = 2  # the bar, taken for a particle
    Image.fromarray(instances.astype(np.uint16)).save(picture / "a_instances.tif")
    measured = measure_folder(
        [picture / "a_instances.tif"], images=picture / "in", drawn=Drawn("require")
    )
    [particle] = measured.by_unit["nm"].table.itertuples()
    assert particle.area_nm2 == pytest.approx(400 * (200 / 140) ** 2, rel=0.02)
    assert [*measured.calibrations.values()] == ["read from the picture: 200 nm = 140 px"]
    off = measure_folder([picture / "a_instances.tif"], images=picture / "in")
    assert len(off.by_unit["px"].table) == 2


@needs_reader
def test_measure_on_the_command_line_says_where_the_calibration_is_from(picture):
    from temzoo.cli import app

    instances = np.zeros(with_bar().shape, np.uint16)
    instances[100:120, 100:120] = 1
    Image.fromarray(instances).save(picture / "a_instances.tif")
    words = ["measure", str(picture / "a_instances.tif"), "--images", str(picture / "in")]
    words += ["--out", str(picture / "measured"), "--ignore-box", "0,0,20,20"]
    told = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "read from the picture: 200 nm = 140 px" in told.stdout
    summary = (picture / "measured" / "summary.csv").read_text("utf-8")
    assert "read from the picture: 200 nm = 140 px" in summary


def test_particles_are_not_cut_from_an_info_bar(tmp_path, monkeypatch):
    from temzoo.cli import app

    pixels = with_info_bar()
    pixels[100:130, 200:230] = 0
    Image.fromarray(pixels).save(tmp_path / "a.png")
    dark = SimpleNamespace(predict_probabilities=lambda image: np.eye(2)[1 * (image < 10)])
    monkeypatch.setattr("temzoo.cli.particles.trained", lambda weights: dark)
    words = ["particles", "--images", tmp_path, "--weights", "dark", "--out", tmp_path / "cut"]
    said = CliRunner().invoke(app, [*map(str, words), "--window-px", "40"], catch_exceptions=False)
    assert "1 particles in windows of 40 px" in said.output
