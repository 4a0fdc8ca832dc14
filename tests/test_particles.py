"""Particles cut from micrographs: where they lie, what is measured, and what is written of them."""

import csv
import math
from functools import partial

import cv2
import numpy as np
import pytest
from skimage.measure import regionprops

from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.data.examples import load_dataset
from temzoo.data.images import image_array
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.labels.shapes.raster import instance_map
from temzoo.labels.shapes.windows import shape_mask
from temzoo.measurement import measure
from temzoo.micrographs import load_micrograph
from temzoo.particles import store
from temzoo.particles.cutting import cut, cut_dataset, cut_predictions
from temzoo.particles.plan import CutPlan
from temzoo.particles.store import load, load_classes, save
from temzoo.particles.window_pixels import resample

SIZE = 200


def ellipse(row, col, long, short, angle=0.0, label="particle"):
    """Its long axis lies ``angle`` degrees clockwise from the horizontal."""
    return Shape("ellipse", label, np.array([[row, col], [short, long]]), rotation=angle)


def example(shapes, *, name="a.tif", nm_per_pixel=None, dtype="uint8", size=SIZE):
    """A micrograph that is dark where its shapes lie, on a noisy background of about 150."""
    labels = LabelledImage(name, size, size, tuple(shapes))
    pixels = np.random.default_rng(0).normal(150, 5, (size, size))
    pixels[instance_map(labels) > 0] = 40
    micrograph = Micrograph(pixels.astype(dtype), nm_per_pixel, name)
    return Example(labels, lambda: micrograph)


def only(particles):
    assert len(particles) == 1
    return particles.particles[0]


def test_a_window_as_large_as_its_particle_takes_no_notice_of_its_size():
    large, small = ellipse(100.0, 70.0, 30, 15), ellipse(100.0, 165.0, 10, 5)
    source = example([large, small], nm_per_pixel=(0.5, 0.5))
    found = cut_dataset([source], window_feret=2, size=40)
    assert found.summary() == "2 particles in windows of 2 Feret diameters"
    first, second = (p.image for p in found)
    shares = [(one.pixels < 100).mean() for one in (first, second)]
    # An ellipse of half its Feret diameter, by 4 of its own windows: pi / 4 / 2 / 4.
    assert shares == pytest.approx([np.pi / 32] * 2, rel=0.1)
    assert first.nm_per_pixel[0] == pytest.approx(2 * 60 * 0.5 / 40, rel=0.03)
    assert second.nm_per_pixel[0] == pytest.approx(first.nm_per_pixel[0] / 3, rel=0.05)


@pytest.mark.parametrize("angle", [0, 30, 90, 135, 179])
def test_measurements_of_a_drawn_ellipse(angle):
    shape = ellipse(101.3, 97.8, 30, 15, angle)
    one = only(cut_dataset([example([shape], nm_per_pixel=(0.5, 0.5))]))
    area = math.pi * 30 * 15
    assert one.area_px == shape_mask(shape, SIZE, SIZE).sum() == pytest.approx(area, rel=0.01)
    assert (one.row, one.col) == (pytest.approx(101.3, abs=0.1), pytest.approx(97.8, abs=0.1))
    assert one.diameter_px == pytest.approx(2 * math.sqrt(450), rel=0.005)
    assert one.diameter_nm == pytest.approx(one.diameter_px / 2)
    assert one.aspect_ratio == pytest.approx(2, rel=0.01)
    assert (one.angle_deg - angle + 90) % 180 - 90 == pytest.approx(0, abs=0.5)
    assert 0 <= one.angle_deg < 180


def test_measurements_agree_with_scikit_image():
    rng = np.random.default_rng(1)
    shapes = [ellipse(r, c, 16, 9, rng.uniform(0, 180)) for r in (50, 100, 150) for c in (50, 140)]
    source = example(shapes)
    particles = cut_dataset([source], window_px=20)
    for one, region in zip(particles, regionprops(instance_map(source.labels)), strict=True):
        assert one.instance == region.label
        assert one.area_px == region.area
        np.testing.assert_allclose((one.row, one.col), np.add(region.centroid, 0.5), atol=1e-9)
        assert one.diameter_px == pytest.approx(region.equivalent_diameter_area)
        # It takes pixels for points, so its axes are a little shorter.
        ratio = region.axis_major_length / region.axis_minor_length
        assert one.aspect_ratio == pytest.approx(ratio, rel=0.005)
        assert one.angle_deg == pytest.approx(90 - math.degrees(region.orientation), abs=1e-6)


def test_a_disc_has_one_feret_diameter():
    """21 px for a radius of 10, in the table of ``measure`` and for the usual window."""
    rows, cols = np.indices((100, 100)) - 50
    disc = (rows**2 + cols**2 <= 10**2).astype(np.int32)
    prediction = Prediction(classes=disc.astype(np.uint8), instances=disc, name="a.tif")
    [longest] = measure(prediction)["feret_max_px"]
    assert longest == pytest.approx(21.0, abs=0.05)
    micrograph = Micrograph(np.ones((100, 100), np.uint8), (1.0, 1.0), "a.tif")
    particles = cut(micrograph, disc, size=64)  # with a size, the window is not rounded
    assert particles.window == pytest.approx(1.5 * longest, rel=1e-12)


def test_angles_and_sizes_are_those_that_the_generator_states():
    micrograph, labels = synthesize(3, size=512, n_particles=14, shares=(0, 1, 0))
    particles = cut_dataset([Example(labels, lambda: micrograph)], border="mirror")
    assert len(particles) >= 8
    for one in particles:
        stated = {
            k: float(v)
            for k, v in labels.shapes[one.instance - 1].attributes.items() - {("kind", "ellipsoid")}
        }
        assert one.diameter_nm == pytest.approx(stated["diameter_nm"], rel=0.02)
        assert one.aspect_ratio == pytest.approx(stated["aspect_ratio"], rel=0.05)
        if stated["aspect_ratio"] > 1.3:
            assert (one.angle_deg - stated["angle_deg"] + 90) % 180 - 90 == pytest.approx(0, abs=2)


def test_a_needle_of_one_pixel_and_a_dot_have_an_aspect_ratio():
    instances = np.zeros((40, 40), int)
    instances[20, 10:30] = 1
    instances[30, 30] = 2
    needle, dot = cut(Micrograph(np.ones((40, 40), np.uint8)), instances, window_px=8)
    assert (needle.aspect_ratio, needle.angle_deg) == (pytest.approx(20), 0)
    assert (dot.aspect_ratio, dot.area_px) == (pytest.approx(1), 1)


def test_pixels_that_are_not_square_are_measured_in_nanometres():
    """A circle of 40 nm where rows are twice as far apart as columns."""
    source = example([ellipse(100, 100, 40, 20)], nm_per_pixel=(1.0, 0.5))
    one = only(cut_dataset([source]))
    assert one.diameter_nm == pytest.approx(40, rel=0.01)
    assert one.aspect_ratio == pytest.approx(1, abs=0.01)
    assert one.image.nm_per_pixel == (1.0, 0.5)


def test_an_angle_is_the_one_in_nanometres():
    """At 45 degrees in pixels that are twice as high as wide, a needle is steeper than that."""
    source = example([ellipse(100, 100, 40, 1.5, 45)], nm_per_pixel=(2.0, 1.0))
    expected = math.degrees(math.atan2(2, 1))
    assert only(cut_dataset([source])).angle_deg == pytest.approx(expected, abs=0.5)


def test_resizing_makes_pixels_square():
    """The circle of 40 nm lies 40 nm high and wide in a window of 64 nm."""
    source = example([ellipse(100, 100, 40, 20)], nm_per_pixel=(1.0, 0.5))
    one = only(cut_dataset([source], window_nm=64, size=32))
    np.testing.assert_allclose(one.image.nm_per_pixel, (2.0, 2.0))
    dark = one.image.pixels < 95
    assert dark.any(axis=1).sum() == pytest.approx(20, abs=1)
    assert dark.any(axis=0).sum() == pytest.approx(20, abs=1)


def test_a_window_of_whole_pixels_holds_the_micrographs_own():
    source = example([ellipse(101.3, 97.8, 9, 9)], dtype="uint16", nm_per_pixel=(0.3, 0.3))
    one = only(cut_dataset([source], window_px=32))
    np.testing.assert_array_equal(one.image.pixels, source.micrograph.pixels[85:117, 82:114])
    assert one.image.pixels.dtype == np.uint16
    assert one.image.nm_per_pixel == (0.3, 0.3)


def darkness_centre(pixels):
    """Centre of what is darker than the background, in continuous coordinates."""
    weight = np.clip(100.0 - pixels, 0, None)
    places = np.indices(pixels.shape) + 0.5
    return [(weight * axis).sum() / weight.sum() for axis in places]


@pytest.mark.parametrize("size", [20, 40, 80])
def test_a_resized_window_is_centred_within_a_fraction_of_a_pixel(size):
    shape = ellipse(100.37, 99.81, 9, 6, 20)
    pixels = np.where(shape_mask(shape, SIZE, SIZE), 0.0, 100.0)
    numbers = instance_map(LabelledImage("a", SIZE, SIZE, (shape,)))
    one = only(cut(Micrograph(pixels), numbers, window_px=40, size=size))
    np.testing.assert_allclose(darkness_centre(one.image.pixels), size / 2, atol=0.02)


@pytest.mark.parametrize(("size", "how"), [(16, cv2.INTER_AREA), (96, cv2.INTER_LINEAR)])
@pytest.mark.parametrize("shape", [(50, 50), (50, 50, 3)])
def test_resampling_whole_pixels_equals_opencv(size, how, shape):
    pixels = np.random.default_rng(2).random(shape)
    mine = resample(pixels, (1.0, 1.0), (48.0, 48.0), size)
    theirs = cv2.resize(pixels[1:-1, 1:-1], (size, size), interpolation=how)
    inner = slice(3, -3)  # beyond its image OpenCV repeats the edge
    np.testing.assert_allclose(mine[inner, inner], theirs[inner, inner], atol=1e-6)


def test_resampling_keeps_the_mean_of_a_window_that_cuts_pixels():
    """Against the integral of the piecewise constant image."""
    pixels = np.arange(10.0)[:, None] * np.ones((1, 10))
    mine = resample(pixels, (2.25, 1.5), (6.0, 6.0), 3)
    edges = np.array([2.25, 4.25, 6.25, 8.25])
    integral = np.interp(edges, np.arange(11), np.concatenate([[0], np.cumsum(np.arange(10))]))
    np.testing.assert_allclose(mine, np.repeat(np.diff(integral)[:, None] / 2, 3, axis=1))


def test_the_usual_window_holds_one_and_a_half_of_the_largest():
    shapes = [ellipse(50, 50, 10, 10), ellipse(100, 120, 20, 20)]
    particles = cut_dataset([example(shapes)], border="mirror")
    ferets = [20, 40]
    assert particles.window == pytest.approx(1.5 * np.percentile(ferets, 95), abs=4)
    assert (particles.unit, particles.window % 2) == ("px", 0)
    assert particles.images.shape == (2, particles.window, particles.window)
    assert particles.n_larger == 0


def test_the_usual_window_shows_the_same_nanometres_at_each_magnification():
    near = example([ellipse(100, 100, 40, 40)], name="near.tif", nm_per_pixel=(0.5, 0.5))
    far = example([ellipse(100, 100, 20, 20)], name="far.tif", nm_per_pixel=(1.0, 1.0))
    particles = cut_dataset([near, far], size=40)
    assert particles.unit == "nm"
    assert particles.window == pytest.approx(60, rel=0.05)
    sizes = [one.image.nm_per_pixel[0] for one in particles]
    np.testing.assert_allclose(sizes, particles.window / 40)
    dark = (particles.images < 95).sum(axis=(1, 2))
    assert dark[0] == pytest.approx(dark[1], rel=0.05)


def test_particles_larger_than_the_window_are_counted():
    particles = cut_dataset([example([ellipse(100, 100, 30, 8)])], window_px=40)
    assert particles.n_larger == 1
    assert "1 of them larger than that" in particles.summary()


BORDER = [
    ellipse(3, 100, 12, 12),  # cut
    ellipse(20, 30, 8, 8),  # whole, its window is not
    ellipse(100, 100, 8, 8),
]


def test_particles_at_the_border_are_left_out_and_counted():
    particles = cut_dataset([example(BORDER)], window_px=50)
    assert [one.instance for one in particles] == [3]
    assert particles.n_at_border == 2
    assert particles.summary() == "1 particles in windows of 50 px; 2 left out at the border"


@pytest.mark.parametrize("options", [{}, {"size": 25}, {"size": 100}])
def test_mirroring_keeps_the_particles_that_are_whole(options):
    particles = cut_dataset([example(BORDER)], window_px=50, border="mirror", **options)
    assert [one.instance for one in particles] == [2, 3]
    assert particles.n_at_border == 1
    assert particles.images.shape == (2, *[options.get("size", 50)] * 2)


def test_what_lies_beyond_the_border_is_the_mirror_image():
    source = example(BORDER)
    first = cut_dataset([source], window_px=50, border="mirror").particles[0].image.pixels
    mirrored = np.pad(source.micrograph.pixels, 50, mode="symmetric")
    np.testing.assert_array_equal(first, mirrored[45:95, 55:105])


NEIGHBOURS = [ellipse(100, 100, 10, 10), ellipse(100, 122, 10, 10), ellipse(78, 100, 9, 9)]


def test_neighbours_give_way_to_background():
    source = example(NEIGHBOURS)
    plain = cut_dataset([source], window_px=60).particles[0].image.pixels
    masked = cut_dataset([source], window_px=60, mask_out=True).particles[0].image.pixels
    own = shape_mask(NEIGHBOURS[0], SIZE, SIZE)[70:130, 70:130]
    assert (plain[~own] < 95).sum() > 500
    assert not (masked[~own] < 95).any()
    np.testing.assert_array_equal(masked[own], plain[own])
    changed = masked != plain
    assert masked[changed].mean() == pytest.approx(150, abs=2)
    assert masked[changed].std() == pytest.approx(5, abs=1)


def test_background_keeps_the_grain_of_its_noise():
    """Smooth noise stays smooth where a neighbour was: copies are moved as a whole."""
    labels = LabelledImage("a", SIZE, SIZE, tuple(NEIGHBOURS))
    rng = np.random.default_rng(3)
    pixels = 150 + 40 * cv2.GaussianBlur(rng.normal(0, 1, (SIZE, SIZE)), (0, 0), 2)
    source = Micrograph(pixels.astype(np.float32), None, "a")
    one = cut(source, instance_map(labels), window_px=60, mask_out=True).particles[0]
    place = shape_mask(NEIGHBOURS[1], SIZE, SIZE)[70:130, 70:130]
    inside = place[:, 1:] & place[:, :-1]
    steps = np.diff(one.image.pixels, axis=1)[inside].std()
    assert steps < 1.3 * np.diff(pixels, axis=1).std()


def test_the_micrograph_itself_stays_as_it_was():
    source = example(NEIGHBOURS)
    before = source.micrograph.pixels.copy()
    particles = cut_dataset([source], window_px=60, mask_out=True)
    particles.particles[0].image.pixels[...] = 0
    np.testing.assert_array_equal(source.micrograph.pixels, before)
    cut_dataset([source], window_px=60).particles[0].image.pixels[...] = 0
    np.testing.assert_array_equal(source.micrograph.pixels, before)


def test_a_mirrored_window_shows_no_twin_when_masked():
    source = example([ellipse(20, 100, 8, 8)])
    options = {"window_px": 90, "border": "mirror"}
    plain = only(cut_dataset([source], **options)).image.pixels
    masked = only(cut_dataset([source], mask_out=True, **options)).image.pixels
    area = (example([ellipse(20, 100, 8, 8)]).micrograph.pixels < 95).sum()
    assert (plain < 95).sum() > 1.3 * area
    assert (masked < 95).sum() == area


def test_masking_an_image_without_background_is_refused():
    instances = np.ones((60, 60), int)
    instances[5:-5, 5:30], instances[5:-5, 30:-5] = 2, 3
    with pytest.raises(ValueError, match=r"full.tif: mask_out needs background"):
        cut(
            Micrograph(np.ones((60, 60), np.uint8), None, "full.tif"),
            instances,
            window_px=40,
            mask_out=True,
            border="mirror",
        )


def test_overlapped_particles_are_what_is_visible_of_them():
    shapes = [ellipse(100, 100, 20, 20), ellipse(100, 125, 20, 20)]
    below, above = cut_dataset([example(shapes)])
    assert above.area_px == shape_mask(shapes[1], SIZE, SIZE).sum()
    assert below.area_px < shape_mask(shapes[0], SIZE, SIZE).sum()


def test_classes_choose_and_background_is_no_particle():
    shapes = [
        ellipse(60, 60, 8, 8, label="rod"),
        ellipse(60, 140, 8, 8, label="void"),
        ellipse(140, 60, 8, 8, label="background"),
    ]
    source = example(shapes)
    assert cut_dataset([source]).table["class"].tolist() == ["rod", "void"]
    chosen = only(cut_dataset([source], classes=["void"]))
    assert (chosen.label, chosen.instance, chosen.image.name) == ("void", 2, "a_2.tif")
    with pytest.raises(ValueError, match=r"Received: 'viod'. Use 'void'"):
        cut_dataset([source], classes=["viod"])


def prediction(source, **fields):
    numbers = instance_map(source.labels)
    classes = np.where(numbers == 2, 2, numbers > 0).astype(np.uint8)
    fields = {"classes": classes, "instances": numbers, "class_names": ("rod", "void")} | fields
    return Prediction(name=source.name, **fields)


TWO = [ellipse(60, 60, 12, 8), ellipse(120, 120, 12, 8, 90)]


def test_predicted_instances_are_cut_like_labelled_ones():
    source = example(TWO, nm_per_pixel=(0.5, 0.5))
    said = prediction(source, scores=np.array([0.75, 0.5], np.float32))
    predicted = cut_predictions([(source, said)])
    np.testing.assert_array_equal(predicted.images, cut_dataset([source]).images)
    table = predicted.table
    assert table["class"].tolist() == ["rod", "void"]
    assert table["score"].tolist() == [0.75, 0.5]
    bare = cut_predictions([(source.micrograph, prediction(source, class_names=()))])
    assert bare.table["class"].tolist() == ["class 1", "class 2"]
    assert "score" not in bare.table


def test_detections_are_cut_with_their_whole_masks():
    shapes = [ellipse(100, 100, 20, 20), ellipse(100, 125, 20, 20)]
    source = example(shapes)
    found = tuple(
        Detection(0, 0, shape_mask(shape, SIZE, SIZE), 1, score)
        for shape, score in zip(shapes, (0.9, 0.6), strict=True)
    )
    tight = [
        Detection(d.top + r, d.left + c, d.mask[r : r + 40, c : c + 40], 1, d.score)
        for d, (r, c) in zip(found, [(80, 80), (80, 105)], strict=True)
    ]
    said = prediction(source, detections=tuple(tight))
    particles = cut_predictions(iter([(source, said)]), window_px=50, mask_out=True)
    assert [one.area_px for one in particles] == [found[0].mask.sum(), found[1].mask.sum()]
    assert particles.table["score"].tolist() == pytest.approx([0.9, 0.6])


def test_cutting_one_map_takes_labels_and_scores_by_number():
    instances = instance_map(example(TWO).labels)
    instances[instances == 2] = 5
    particles = cut(
        example(TWO).micrograph, instances, labels="abcde", scores=[0.1, 0.2, 0.3, 0.4, 0.5]
    )
    assert particles.table["class"].tolist() == ["a", "e"]
    assert particles.table["instance"].tolist() == [1, 5]
    assert particles.table["score"].tolist() == [0.1, 0.5]


def test_no_particles_make_an_empty_set():
    particles = cut_dataset([example([])])
    assert len(particles) == 0
    assert all(len(column) == 0 for column in particles.table.values())
    with pytest.raises(ValueError, match=r"one dtype and shape. Received: no particles"):
        _ = particles.images


def test_an_array_of_images_has_one_dtype():
    shape = ellipse(100, 100, 9, 9)
    mixed = [example([shape]), example([shape], name="b.tif", dtype="uint16")]
    with pytest.raises(ValueError, match=r"Received: uint16 \(32, 32\), uint8 \(32, 32\)"):
        _ = cut_dataset(mixed, window_px=32).images


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"window_px": 9, "window_nm": 9}, "a window has one side. Received: window_px=9 and"),
        ({"window_px": 1}, "window_px must be at least 2. Received: window_px=1"),
        ({"window_nm": 0}, "window_nm must be above 0. Received: window_nm=0"),
        ({"window_feret": 1.6}, "give size too. Received: window_feret=1.6, size=None"),
        ({"window_feret": 0.5, "size": 32}, "window_feret must be at least 1"),
        ({"size": 0}, "size must be at least 2 px. Received: size=0"),
        ({"border": "keep"}, "border must be .* Received: border='keep'"),
        ({"classes": "rod"}, r"classes must be a sequence of names.*Use \['rod'\]"),
    ],
)
def test_plans_that_make_no_sense_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        CutPlan(**options)


def test_nanometres_need_calibration():
    with pytest.raises(ValueError, match=r"a.tif: window_nm needs a calibrated micrograph"):
        cut_dataset([example(TWO)], window_nm=20)


@pytest.mark.parametrize(
    "scales", [[(1.0, 0.5)], [(0.5, 0.5), (1.0, 1.0)]], ids=["oblong", "different"]
)
def test_windows_of_different_pixels_need_a_size(scales):
    examples = [example(TWO, name=f"{k}.tif", nm_per_pixel=scale) for k, scale in enumerate(scales)]
    with pytest.raises(ValueError, match=r"tif: a window of 20 nm .*20 and 40 px. Give size=40"):
        cut_dataset(examples, window_nm=20)
    assert cut_dataset(examples, window_nm=20, size=40).images.shape[1:] == (40, 40)


def test_maps_that_do_not_fit_are_refused():
    micrograph = example(TWO).micrograph
    instances = instance_map(example(TWO).labels)
    with pytest.raises(ValueError, match=r"a.tif: image and instances must have one size"):
        cut(micrograph, instances[:-1])
    with pytest.raises(ValueError, match=r"\(H, W\) map of whole numbers. Received.*float64"):
        cut(micrograph, instances.astype(float))
    with pytest.raises(
        ValueError, match=r"labels must hold one for each.* 1 labels for 2.* leave labels out"
    ):
        cut(micrograph, instances, labels=["a"])
    with pytest.raises(ValueError, match=r"scores must hold one for each.* 0 scores for 2"):
        cut(micrograph, instances, scores=[])


@pytest.fixture
def folder(tmp_path):
    """Particles of two micrographs that share a stem, one uncalibrated."""
    examples = [
        example(TWO, name="day1/a.tif", nm_per_pixel=(0.25, 0.25), dtype="uint16"),
        example(TWO, name="day2/A.png", dtype="uint16"),
    ]
    save(cut_dataset(examples, window_px=40), tmp_path / "particles")
    return tmp_path / "particles"


def test_what_is_saved_is_what_was_cut(folder):
    names = ["a_1.tif", "a_2.tif", "A-2_1.tif", "A-2_2.tif"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*names, "particles.csv", "particles.png"]
    )
    examples, table = load(folder)
    assert [one.name for one in examples] == table["name"].tolist() == names
    source = example(TWO, dtype="uint16").micrograph.pixels
    np.testing.assert_array_equal(examples[0].micrograph.pixels, source[40:80, 40:80])
    assert examples[0].micrograph.nm_per_pixel == pytest.approx((0.25, 0.25))
    assert examples[2].micrograph.nm_per_pixel is None
    assert (examples[0].labels.height, examples[0].labels.shapes) == (40, ())
    assert [one.group for one in examples] == ["day1/a.tif"] * 2 + ["day2/A.png"] * 2


def test_the_table_comes_back_as_numbers_and_texts(folder):
    _, table = load(folder)
    assert table["class"].tolist() == ["particle"] * 4
    assert {table[name].dtype.kind for name in ("instance", "row", "area_px", "angle_deg")} == {"f"}
    assert table["angle_deg"][:2] == pytest.approx([0, 90], abs=0.5)
    assert table["diameter_nm"][:2] == pytest.approx(table["diameter_px"][:2] / 4)
    assert np.isnan(table["diameter_nm"][2:]).all()
    assert "score" not in table


def test_uncalibrated_particles_have_no_nanometres(tmp_path):
    save(cut_dataset([example(TWO)]), tmp_path)
    header = (tmp_path / "particles.csv").read_text().splitlines()[0]
    assert header == (
        "name,micrograph,class,instance,row,col,area_px,diameter_px,aspect_ratio,angle_deg"
    )


def test_saved_particles_become_an_array(folder):
    examples, _ = load(folder)
    assert image_array(examples, 20).shape == (4, 20, 20, 1)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_stored_dtype_and_oblong_pixels_survive(tmp_path, dtype):
    source = example(TWO, nm_per_pixel=(0.4, 0.3), dtype=dtype)
    particles = cut_dataset([source], window_px=30)
    save(particles, tmp_path)
    read = load_micrograph(tmp_path / "a_1.tif")
    assert read.pixels.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read.pixels, particles.images[0])
    assert read.nm_per_pixel == pytest.approx((0.4, 0.3))


def test_dtypes_that_imagej_lacks_are_stored_as_float_and_deep_colour_as_grey(tmp_path):
    source = example(TWO, dtype="float64")
    save(cut_dataset([source]), tmp_path / "float")
    assert load_micrograph(tmp_path / "float/a_1.tif").pixels.dtype == np.float32
    for dtype, channels in (("uint8", (3,)), ("uint16", ())):
        colour = source.micrograph.pixels[..., None] * [1, 0.5, 1]
        colour = colour.astype(dtype)
        labelled = Example(source.labels, partial(Micrograph, colour, None, "a.tif"))
        particles = cut_dataset([labelled], window_px=30, size=20)
        assert particles.images.shape == (2, 20, 20, 3)
        save(particles, tmp_path / dtype)
        assert load_micrograph(tmp_path / dtype / "a_1.tif").pixels.shape == (20, 20, *channels)


def test_grey_that_was_stored_as_colour_is_grey():
    source = example(TWO)
    colour = np.repeat(source.micrograph.pixels[..., None], 3, axis=-1)
    stored = Example(source.labels, partial(Micrograph, colour, None, "a.tif"))
    np.testing.assert_array_equal(cut_dataset([stored]).images, cut_dataset([source]).images)


def test_the_sheet_shows_each_particle_in_its_place(folder):
    picture = cv2.imread(str(folder / "particles.png"))
    assert picture.shape == (104, 404, 3)
    for place in range(4):
        tile = picture[4:100, 100 * place + 4 : 100 * place + 100]
        assert tile[48, 48].max() < 60
        assert tile[4, 4].min() > 60


def test_the_sheet_is_of_at_most_a_hundred(tmp_path):
    store._write_sheet(tmp_path / "s.png", [np.eye(8, dtype=np.uint8)] * 250)
    assert cv2.imread(str(tmp_path / "s.png")).shape == (1004, 1004, 3)


def test_saving_nothing_is_refused(tmp_path):
    nothing = cut_dataset([example(BORDER[:1])])
    with pytest.raises(ValueError, match=r"must be particles.* none, 1 left out at the border"):
        save(nothing, tmp_path)


def test_an_interrupted_save_leaves_no_table(folder, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(store, "write_tiff", full)
    with pytest.raises(OSError, match="no space left"):
        save(cut_dataset([example(TWO)]), folder)
    with pytest.raises(FileNotFoundError, match=r"a folder of particles has a table"):
        load(folder)


def rewrite(folder, change):
    path = folder / "particles.csv"
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    change(rows)
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)


def test_a_column_of_ones_own_is_read_as_what_it_is(folder):
    def add(rows):
        for row, cells in zip(
            rows, [("dose", "note"), ("1.5", "x"), ("", "7"), ("2", ""), ("3", "y")], strict=True
        ):
            row.extend(cells)

    rewrite(folder, add)
    _, table = load(folder)
    np.testing.assert_array_equal(table["dose"], [1.5, np.nan, 2, 3])
    assert table["note"].tolist() == ["x", "7", "", "y"]


@pytest.mark.parametrize(
    ("place", "cell", "error", "text"),
    [
        ((2, 4), "1,5", ValueError, r"csv, row 3, column 'row': must be a number. Received: '1,5'"),
        ((4, 0), "../x.tif", ValueError, r"csv, row 5, column 'name': must be a file beside"),
        ((3, 0), "..", ValueError, r"row 4, column 'name': must be a file beside"),
        ((1, 0), "b.tif", FileNotFoundError, r"row 2, column 'name': there is no such file"),
        ((0, 0), "file", ValueError, r"has the columns name and micrograph"),
    ],
)
def test_a_wrong_cell_is_named(folder, place, cell, error, text):
    def change(rows):
        rows[place[0]][place[1]] = cell

    rewrite(folder, change)
    with pytest.raises(error, match=text):
        load(folder)


def test_a_row_that_is_too_short_and_an_empty_table_are_named(folder):
    rewrite(folder, lambda rows: rows[3].pop())
    with pytest.raises(ValueError, match="row 4: each row has a cell for each column"):
        load(folder)
    rewrite(folder, lambda rows: rows.__delitem__(slice(1, None)))
    with pytest.raises(ValueError, match=r"a row for each particle. Received.*0 row\(s\)"):
        load(folder)


def test_the_sheet_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, None))
    with pytest.raises(OSError, match=r"could not make a PNG. Received: path='.*s.png'"):
        store._write_sheet(tmp_path / "s.png", [np.eye(8, dtype=np.uint8)])


@pytest.mark.shared
def test_particles_of_labelled_micrographs(shared):
    folder = shared / "data" / "emps"
    examples = load_dataset(folder / "images", folder / "annotations.xml")[:20]
    particles = cut_dataset(examples, window_px=96, size=32)
    assert particles.images.shape == (len(particles), 32, 32)
    assert len(particles) > 50


def class_table(folder, *rows):
    """Four images and a table that says what they are."""
    for name in "abcd":
        cv2.imwrite(str(folder / f"{name}.png"), np.full((8, 8), ord(name), np.uint8))
    (folder / "particles.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def facts(examples):
    return [(e.name, e.labels.shapes[0].label, e.group) for e in examples]


def test_cut_particles_have_the_class_of_their_label_and_the_group_of_their_micrograph(tmp_path):
    shapes = [ellipse(100, 60, 20, 10, label="rod"), ellipse(60, 130, 15, 15, label="disc")]
    save(cut_dataset([example(shapes, name="m1.tif")], size=16), tmp_path)
    found = load_classes(tmp_path)
    assert sorted(facts(found)) == [("m1_1.tif", "rod", "m1.tif"), ("m1_2.tif", "disc", "m1.tif")]
    assert {e.group for e in load_classes(tmp_path, {"m1": "paper 7"})} == {"paper 7"}
    with pytest.raises(ValueError, match=r"every image needs one group. Received: 2 of 2"):
        load_classes(tmp_path, {"m2": "paper 7"})


def test_a_table_of_ones_own_may_say_image_and_group_and_leave_classes_open(tmp_path):
    rows = ("image,class,group", "a.png,disc,g1", "b.png,,g1", "c.png, rod ,g2", "d.png,disc,")
    found = load_classes(class_table(tmp_path, *rows))
    assert facts(found) == [("a.png", "disc", "g1"), ("c.png", "rod", "g2"), ("d.png", "disc", "")]
    assert found[1].micrograph.pixels[0, 0] == ord("c")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("file,label", "a.png,disc"), r"has the columns name and class.*\['name', 'label'\]"),
        (("file,class", "a.png,"), r"needs images with a class. Received: none in 1 row"),
        (("file,class", "a.png,", "../x.png,b"), r"row 3, column 'name': must be a file beside"),
    ],
)
def test_a_table_without_classes_is_refused(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        load_classes(class_table(tmp_path, *rows))


def test_a_folder_of_each_class_needs_no_table(tmp_path):
    for name in ("disc/a.png", "rod/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((8, 8), np.uint8))
    groups = {"a": "m1", "b": "m2"}
    expected = [("disc/a.png", "disc", "m1"), ("rod/deep/b.png", "rod", "m2")]
    assert facts(load_classes(tmp_path, groups)) == expected
    cv2.imwrite(str(tmp_path / "loose.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"a folder for each class.* 1 images outside .*loose.png"):
        load_classes(tmp_path)
