"""Objects seen by several tiles come out of temzoo.detection once and whole."""

import itertools
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from skimage.draw import disk, polygon
from skimage.measure import label, regionprops
from typer.testing import CliRunner

from temzoo import cli
from temzoo.cli import scoring
from temzoo.core.types import Detection, Micrograph
from temzoo.inference.detection import tile_windows
from temzoo.inference.objects import flattened, united
from temzoo.inference.predict import predict
from temzoo.inference.regions import Watershed
from temzoo.models.layers import Normalize
from temzoo.tasks.instance import predict_detections
from temzoo.zoo import pretrained

SIDE = 128  # of a tile, px
MASK = 28  # cells of a detector's mask


class Finder:
    """A detector that finds each region of one grey value, in every channel by itself.

    It sees only its tile, answers with boxes and 28 x 28 masks as a network does, and its boxes
    are off by up to ``error`` pixels. The hundreds of a value are the class.
    """

    def __init__(self, image_size=SIDE, channels=3, error=0.0, seed=0):
        self.image_size, self.input_shape = image_size, (None, image_size, image_size, channels)
        self.error, self.rng = error, np.random.default_rng(seed)
        self.tiles = 0

    def detect(self, pixels, *, statistics=None, min_score=0.05, max_detections=None):
        assert pixels.shape[1:] == self.input_shape[1:]
        assert pixels.dtype == np.float32
        self.tiles += len(pixels)
        found = [self._found(image, min_score)[:max_detections] for image in pixels]
        most = max(len(one) for one in found)
        answer = SimpleNamespace(
            boxes=np.zeros((len(pixels), most, 4), np.float32),
            classes=np.zeros((len(pixels), most), np.int32),
            scores=np.zeros((len(pixels), most), np.float32),
            masks=np.zeros((len(pixels), most, MASK, MASK), np.float32),
            counts=np.array([len(one) for one in found]),
        )
        for index, objects in enumerate(found):
            for row, (score, box, class_id, mask) in enumerate(objects):
                answer.boxes[index, row], answer.scores[index, row] = box, score
                answer.classes[index, row], answer.masks[index, row] = class_id, mask
        return answer

    def _found(self, image, min_score):
        objects = []
        for plane in np.moveaxis(image, -1, 0):
            for region in regionprops(label(plane.astype(int), background=0, connectivity=1)):
                value = int(plane[tuple(region.coords[0])])
                mask = cv2.resize(region.image.astype(np.float32), (MASK, MASK), 0, 0, 0, 3)
                box = np.array(region.bbox) + self.rng.uniform(-self.error, self.error, 4)
                objects.append((self.rng.uniform(0.6, 1), box, 1 + value // 100, mask))
        kept = [one for one in objects if one[0] >= min_score]
        return sorted(kept, key=lambda one: -one[0])


def drawn(masks, classes=None):
    """(H, W, 3) float32: objects that touch differ in value, and that overlap in channel."""
    image = np.zeros((*masks[0].shape, 3), np.float32)
    for number, mask in enumerate(masks):
        channel = free_channel(image, mask)
        image[mask, channel] = 1 + number % 97 + 100 * ((classes[number] if classes else 1) - 1)
    return image


def free_channel(image, mask):
    return next((c for c in range(3) if not image[mask, c].any()), None)


def discs(shape, circles):
    masks = []
    for row, col, radius in circles:
        masks.append(np.zeros(shape, bool))
        masks[-1][disk((row, col), radius, shape=shape)] = True
    return masks


def rod(shape, row, col, length, width, degrees):
    angle = np.deg2rad(degrees)
    along = np.array([np.sin(angle), np.cos(angle)]) * length / 2
    across = np.array([np.cos(angle), -np.sin(angle)]) * width / 2
    corners = np.array([along + across, along - across, -along - across, -along + across])
    mask = np.zeros(shape, bool)
    mask[polygon(*np.add(corners, (row, col)).T, shape=shape)] = True
    return mask


def iou(mask, found):
    """Of a mask of the whole image and a detection."""
    rows = slice(found.top, found.top + found.mask.shape[0])
    columns = slice(found.left, found.left + found.mask.shape[1])
    shared = np.sum(mask[rows, columns] & found.mask)
    return shared / (np.sum(mask) + np.sum(found.mask) - shared) if shared else 0.0


def assert_found(masks, prediction, least=0.9):
    """Each true mask has one detection of its own, IoU above ``least``, and there are no others."""
    assert len(prediction.detections) == len(masks)
    taken = set()
    for mask in masks:
        ious = [iou(mask, one) for one in prediction.detections]
        assert max(ious) > least, f"best IoU {max(ious):.3f} of an object of {mask.sum()} px"
        taken.add(int(np.argmax(ious)))
    assert len(taken) == len(masks)


@pytest.mark.parametrize("error", [0, 1.5])
@pytest.mark.parametrize("overlap", [None, 24, 60, 100])
def test_discs_across_seams_and_corners_come_out_once(overlap, error):
    shape = (300, 333)
    circles = [(r, c, 11) for r in range(13, 290, 25) for c in range(13, 325, 25)]
    masks = discs(shape, circles)
    found = predict_detections(Finder(error=error), drawn(masks), overlap=overlap)
    assert_found(masks, found, 0.9 if error == 0 else 0.7)


def test_an_object_on_the_corner_of_four_tiles_is_one():
    shape = (224, 224)  # tiles at 0 and 96
    masks = discs(shape, [(112, 112, radius) for radius in (14,)])
    assert len(tile_windows(*shape, SIDE, 32)) == 4
    assert_found(masks, predict_detections(Finder(), drawn(masks)))
    masks = discs(shape, [(112, 112, 60)])  # larger than the overlap both ways
    assert_found(masks, predict_detections(Finder(), drawn(masks)))


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("shift", range(-20, 21, 5))
def test_a_pair_that_touches_on_a_seam_stays_two(shift, vertical):
    shape = (224, 224)
    pair = [(100, 96 + shift - 10, 10), (100, 96 + shift + 10, 10)]
    circles = [(c, r, radius) for r, c, radius in pair] if vertical else pair
    masks = discs(shape, circles)
    assert_found(masks, predict_detections(Finder(), drawn(masks)))


@pytest.mark.parametrize("centre", [(60, 96), (60, 128), (112, 112), (96, 96)])
def test_overlapping_objects_stay_two(centre):
    shape, (row, col) = (224, 224), centre
    masks = discs(shape, [(row, col - 12, 16), (row, col + 12, 16)])
    assert np.sum(masks[0] & masks[1]) > 0.1 * masks[0].sum()
    assert_found(masks, predict_detections(Finder(), drawn(masks)))


@pytest.mark.parametrize("error", [0, 1.0])
@pytest.mark.parametrize(
    ("row", "col", "length", "width", "degrees"),
    [
        (150, 200, 380, 16, 0),
        (150, 200, 280, 20, 90),
        (110, 150, 250, 24, 35),
        (112, 200, 380, 200, 0),
        (17, 150, 200, 30, 0),
    ],
)
def test_an_object_that_no_tile_sees_whole_is_joined(row, col, length, width, degrees, error):
    masks = [rod((300, 400), row, col, length, width, degrees)]
    found = predict_detections(Finder(error=error), drawn(masks))
    assert_found(masks, found, 0.9 if error == 0 else 0.85)


def test_two_long_rods_side_by_side_are_not_joined():
    masks = [rod((224, 400), row, 200, 380, 16, 0) for row in (92, 108, 124)]
    assert_found(masks, predict_detections(Finder(), drawn(masks)))


def crowd(shape, tries, rng):
    """Discs and rods at random, which touch and overlap by up to 15 %, also at the border."""
    masks, image = [], np.zeros((*shape, 3), bool)
    for _ in range(tries):
        row, col = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        if rng.random() < 0.5:
            mask = discs(shape, [(row, col, rng.uniform(6, 30))])[0]
        else:
            length, width = rng.uniform(30, 200), rng.uniform(14, 26)
            mask = rod(shape, row, col, length, width, rng.choice([0, 90, 45, 20]))
        channel, hidden = free_channel(image, mask), np.sum(image.any(axis=2) & mask)
        if mask.sum() > 60 and hidden < 0.15 * mask.sum() and channel is not None:
            masks.append(mask)
            image[mask, channel] = True
    return masks


@pytest.mark.parametrize("error", [0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_crowded_images_of_any_size_are_counted_right(seed, error):
    rng = np.random.default_rng(seed)
    masks = crowd(tuple(rng.integers(40, 500, 2).tolist()), 150, rng)
    found = predict_detections(Finder(seed=seed, error=error), drawn(masks))
    assert_found(masks, found, 0.8 if error == 0 else 0.6)


class Doubting(Finder):
    """Sees each object with a score from 0.06 to 1, and weak false ones beside it."""

    def _found(self, image, min_score):
        objects = [
            (self.rng.uniform(0.06, 1), *rest) for _, *rest in super()._found(image, min_score)
        ]
        for _, box, class_id, mask in list(objects):
            moved = np.clip(box + self.rng.uniform(-14, 14, 4), 0, self.image_size)
            if (moved[2:] - moved[:2] > 4).all():
                objects.append((self.rng.uniform(0.06, 0.49), moved, class_id, mask))
        kept = [one for one in objects if one[0] >= min_score]
        return sorted(kept, key=lambda one: -one[0])


class Keeping(Doubting):
    """The same views whatever the least score: as a network, which draws nothing at random."""

    def _found(self, image, min_score):
        self.rng = np.random.default_rng(int(image.sum()) % 2**31)
        return [one for one in super()._found(image, 0.0) if one[0] >= min_score]


@pytest.mark.parametrize("seed", range(8))
def test_who_asks_for_weak_objects_too_gets_the_same_certain_ones(seed):
    """Average precision is measured with the weak ones, the count without."""
    rng = np.random.default_rng(seed)
    image = drawn(crowd((rng.integers(150, 400), rng.integers(150, 400)), 80, rng))
    certain, every = (predict_detections(Keeping(), image, min_score=m) for m in (0.5, 0.05))
    kept = [one for one in every.detections if one.score >= 0.5]
    assert len(every.detections) > len(kept) > 10
    assert len(kept) == len(certain.detections)
    for one, other in zip(kept, certain.detections, strict=True):
        assert (one.top, one.left, one.score) == (other.top, other.left, other.score)
        np.testing.assert_array_equal(one.mask, other.mask)


def test_a_limit_that_cuts_certain_objects_off_is_told():
    masks = discs((100, 100), [(20, 20, 6), (20, 60, 6), (60, 20, 6)])
    with pytest.warns(UserWarning, match=r"found in one: 2. Raise max_detections, and proposals"):
        found = predict_detections(Finder(), drawn(masks), max_detections=2)
    assert len(found.detections) == 2


def test_the_score_is_that_of_the_surest_view():
    model = Saying([(50, 98, 70, 118)], [(50, 2, 70, 22)], scores=(0.55, 0.95))
    found = predict_detections(model, np.zeros((128, 224, 3))).detections
    assert [one.score for one in found] == [pytest.approx(0.95)]


def test_a_weak_view_of_what_a_strong_one_shows_is_dropped():
    model = Saying([(50, 98, 70, 118)], [(50, 2, 70, 22)], scores=(0.95, 0.06))
    found = predict_detections(model, np.zeros((128, 224, 3)), min_score=0.05).detections
    assert [one.score for one in found] == [pytest.approx(0.95)]


def test_a_large_image_is_counted_right():
    masks = discs(
        (900, 1280), [(r, c, 20) for r in range(25, 900, 90) for c in range(25, 1280, 90)]
    )
    model = Finder(image_size=512)
    found = predict_detections(model, drawn(masks), batch_size=4)
    assert model.tiles == len(tile_windows(900, 1280, 512, 128)) == 9
    assert_found(masks, found)


@pytest.mark.parametrize("shape", [(40, 50), (40, 300), (127, 129), (128, 128)])
def test_images_smaller_than_a_tile_are_mirrored_and_the_mirror_images_dropped(shape):
    circles = [(shape[0] - 1, shape[1] / 2, 8), (shape[0] / 2, shape[1] - 3, 9), (10, 10, 9)]
    masks = discs(shape, circles)
    found = predict_detections(Finder(error=0.5, seed=4), drawn(masks))
    assert_found(masks, found, 0.75)


def test_an_object_beside_the_border_does_not_join_its_mirror_image():
    masks = discs((100, 100), [(91, 50, 8)])  # touches the last row, as its mirror image does
    model = Finder()
    model._found = lambda image, least: [
        (score, np.array(box, np.float32), 1, np.ones((MASK, MASK), np.float32))
        for score, box in ((0.9, (83, 42, 100, 59)), (0.8, (98, 42, 116, 59)))
    ]
    found = predict_detections(model, drawn(masks))
    assert [(one.top, one.left, one.mask.shape) for one in found.detections] == [(83, 42, (17, 17))]


class Saying(Finder):
    """Answers with given boxes, one list and one score per tile, whose masks are full."""

    def __init__(self, *boxes, scores=(0.9, 0.9)):
        super().__init__()
        self.answers = iter(zip(boxes, scores, strict=True))

    def _found(self, image, min_score):
        full = np.ones((MASK, MASK), np.float32)
        boxes, score = next(self.answers)
        return [(score, np.array(box, np.float32), 1, full) for box in boxes]


def found_boxes(model, shape):
    found = predict_detections(model, np.zeros((*shape, 3))).detections
    return [
        (one.top, one.left, one.top + one.mask.shape[0], one.left + one.mask.shape[1])
        for one in found
    ]


def test_a_poor_cut_view_of_an_object_that_another_tile_sees_whole_is_dropped():
    # The second tile starts at column 96; there it sees a third of the object's height.
    model = Saying([(50, 60, 70, 118)], [(50, 0, 56, 22)])
    assert found_boxes(model, (128, 224)) == [(50, 60, 70, 118)]


def test_a_view_that_stops_short_of_its_tiles_edge_does_not_hide_the_rest():
    model = Saying([(50, 20, 70, 128)], [(50, 6, 70, 114)])
    assert found_boxes(model, (128, 224)) == [(50, 20, 70, 210)]


def test_a_cut_view_that_no_other_tile_has_is_kept():
    model = Saying([(50, 60, 70, 128)], [])
    assert found_boxes(model, (128, 224)) == [(50, 60, 70, 128)]


def test_a_class_that_tiles_see_differently_is_the_larger_parts_class():
    long = Detection(5, 0, np.ones((10, 90), bool), 2, 0.8)
    short = Detection(5, 60, np.ones((10, 60), bool), 1, 0.9)
    whole = united([long, short])
    assert (whole.top, whole.left, whole.mask.shape, whole.class_id) == (5, 0, (10, 120), 2)
    assert whole.mask.all()
    assert whole.score == pytest.approx((900 * 0.8 + 600 * 0.9) / 1500)


def test_objects_of_two_classes_keep_theirs():
    masks = discs((224, 224), [(112, 90, 15), (112, 118, 15), (40, 112, 12)])
    found = predict_detections(Finder(), drawn(masks, classes=[1, 2, 2]), class_names=("a", "b"))
    assert_found(masks, found)
    for mask, class_id in zip(masks, (1, 2, 2), strict=True):
        best = max(found.detections, key=lambda one: iou(mask, one))
        assert best.class_id == class_id


def test_maps_show_the_higher_score_on_top_and_number_by_score():
    low = Detection(0, 0, np.ones((3, 3), bool), 1, 0.6)
    high = Detection(1, 1, np.ones((3, 3), bool), 2, 0.9)
    under = Detection(2, 2, np.ones((1, 1), bool), 1, 0.5)
    found = flattened([low, under, high], (5, 6))
    assert [one.score for one in found.detections] == [0.9, 0.6, 0.5]
    np.testing.assert_array_equal(found.scores, np.float32([0.9, 0.6, 0.5]))
    expected = np.zeros((5, 6), int)
    expected[:3, :3], expected[1:4, 1:4] = 2, 1
    np.testing.assert_array_equal(found.instances, expected)
    np.testing.assert_array_equal(found.classes, np.array([0, 2, 1])[expected])
    assert (found.instances.dtype, found.classes.dtype) == (np.int32, np.uint8)


@pytest.mark.parametrize("shape", [(150, 90), (1, 1)])
def test_an_empty_image_has_no_objects(shape):
    found = predict_detections(Finder(), np.zeros((*shape, 3)))
    assert found.detections == ()
    assert found.scores.shape == (0,)
    assert found.instances.shape == found.classes.shape == shape
    assert not found.instances.any()


def test_tiles_get_the_statistics_of_the_whole_micrograph():
    seen = []

    class Noting(Finder):
        normalize = Normalize(name="normalize")

        def detect(self, pixels, *, statistics=None, **options):
            seen.append(statistics)
            return super().detect(pixels, **options)

    image = np.tile(np.arange(300, dtype=np.uint16)[:, None, None], (1, 300, 3))
    predict_detections(Noting(), image * 0 + image // 100, batch_size=2)
    assert len(seen) == 5
    assert set(seen) == {Normalize().statistics(image // 100)}


def test_low_scores_and_small_objects_are_dropped_on_request():
    masks = discs((120, 120), [(30, 30, 5), (30, 80, 12), (80, 60, 20)])
    model, image = Finder(), drawn(masks)
    every = predict_detections(Finder(), image).scores
    assert len(predict_detections(Finder(), image, min_score=float(every[1]) - 1e-6).scores) == 2
    assert_found(masks[1:], predict_detections(model, image, min_area_px=200))


def test_predict_takes_a_detector(tmp_path):
    masks = discs((300, 200), [(60, 60, 14), (150, 100, 30), (250, 150, 20)])
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), drawn(masks).astype(np.uint8))
    found = predict(Finder(), path, overlap=40, class_names=["disc"])
    assert_found(masks, found)
    assert (found.name, found.class_names) == ("a.png", ("disc",))
    pixels = Micrograph(drawn(masks), nm_per_pixel=(0.5, 0.25))
    assert predict(Finder(), pixels).nm_per_pixel == (0.5, 0.25)
    assert predict(Finder(), pixels, min_score=0.99).detections == ()
    assert_found(masks[1:2], predict(Finder(), pixels, min_area_px=2000))
    without = predict(Finder(), pixels, instances=None)
    assert without.instances.strides == (0, 0)
    assert without.classes.any()


def test_progress_bar_reaches_all_tiles(capsys):
    predict_detections(Finder(), np.zeros((300, 300, 3)), progress=True)
    assert "100%" in capsys.readouterr().out


def test_tiles_cover_the_image_with_the_least_overlap():
    for length in (1, 127, 128, 129, 300, 1001):
        windows = tile_windows(length, 5, 128, 40)
        assert (windows[0][0], windows[-1][2]) == (0, length)
        pairs = list(itertools.pairwise(windows))
        assert all(first[2] - second[0] >= 40 for first, second in pairs)
        assert all(bottom - top == min(128, length) for top, _, bottom, _ in windows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 128}, r"less than the model's image size\. Received: overlap=128 with tiles"),
        ({"overlap": -1}, r"overlap must be at least 0.*Use 32"),
        ({"min_score": 1.5}, r"min_score must be from 0 to 1\. Received: min_score=1\.5"),
        ({"max_detections": 0}, r"max_detections must be at least 1\. Received: max_detections=0"),
        ({"batch_size": 0}, r"batch_size must be at least 1\. Received: batch_size=0"),
        ({"class_names": ["a"]}, r"class_names must name.*\('a',\) for a detection of class 2"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    image = drawn(discs((100, 100), [(50, 50, 20)]), classes=[2])
    with pytest.raises(ValueError, match=message):
        predict_detections(Finder(), image, **options)


def test_a_model_without_detect_is_refused():
    with pytest.raises(ValueError, match=r"needs a model that has detect\. Received: function"):
        predict_detections(lambda batch: batch, np.zeros((8, 8)))


def test_pixels_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"pixels must be finite"):
        predict_detections(Finder(), np.full((8, 8, 3), np.nan))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 256}, r"has tiles of its own size.*Received: tile=256"),
        ({"flips": True}, r"Received: flips=True"),
        ({"probabilities": True}, r"Received: probabilities=True"),
        ({"instances": "watershed"}, r"Received: instances='watershed'"),
        ({"tile": 64, "flips": True}, r"Received: tile=64, flips=True\. Leave them out"),
    ],
)
def test_options_of_segmentation_are_refused_for_a_detector(options, message):
    with pytest.raises(ValueError, match=message):
        predict(Finder(), np.zeros((8, 8, 3)), **options)


def test_the_command_line_counts_a_detectors_objects(tmp_path, monkeypatch):
    masks = discs((150, 200), [(60, 60, 14), (90, 130, 30)])
    cv2.imwrite(str(tmp_path / "a.png"), drawn(masks).astype(np.uint8))
    monkeypatch.setattr("temzoo.cli.predicting.trained", lambda weights, pairs: Finder())
    run = tmp_path / "run"
    run.mkdir()
    (run / pretrained.BEST).touch()
    pretrained.write_card(run / pretrained.BEST, pretrained.WeightsCard(model="finder", config={}))
    arguments = ["predict", str(run), str(tmp_path / "a.png"), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(cli.app, arguments)
    assert said.exit_code == 0, said.output
    assert "a.png: 2 instances, " in said.output
    refused = CliRunner().invoke(cli.app, [*arguments, "--flips"])
    assert "Received: flips=True" in str(refused.exception)
    few = CliRunner().invoke(cli.app, [*arguments, "--min-score", "1"])
    assert "a.png: 0 instances, 0.0% of the area" in few.output


def test_the_command_lines_watershed_settings():
    assert scoring.separation_of("components", None, None) == "components"
    assert scoring.separation_of("watershed", None, 0.7) == Watershed(threshold=0.7)
    assert scoring.separation_of("watershed", 0.9, None) == Watershed(neck=0.9)
    with pytest.raises(ValueError, match=r"Received: --instances components\. Add --instances wat"):
        scoring.separation_of("components", 0.9, None)
