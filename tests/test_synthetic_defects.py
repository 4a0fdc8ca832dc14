"""Drawn bubbles, loops and lines: what is in the pixels is what the labels say."""

import math

import numpy as np
import pytest

from temzoo.data.synthetic.dislocations import random_lines
from temzoo.data.synthetic.exposure import electron_wavelength_nm
from temzoo.data.synthetic.scene import Scene
from temzoo.data.synthetic.synthesize import SCENES, synthesize, write_dataset
from temzoo.labels.formats import cvat
from temzoo.labels.shapes import raster

SMOOTH = {
    **{"gradient": 0.0, "curvature": 0.0, "texture_rms": 0.0, "grain_nm": 0.0},
    **{"noise": False, "spread_px": 0.0, "dtype": "uint16", "dose_e_per_px": 1000.0, "gain": 60.0},
    "contrast_spread": 0.0,
}


def _profile(defocus_nm):
    """Grey values outwards from a bubble's edge, and within, by that far away; 0.1 nm a step."""
    micrograph, labels = synthesize(
        4, scene="bubbles", size=400, n_particles=1, diameter_nm=(20, 20.01), size_spread=0.0,
        nm_per_pixel=0.1, convergence_mrad=0.0, defocus_nm=defocus_nm, **SMOOTH,
    )  # fmt: skip
    (row, col), (radius, _) = labels.shapes[0].points
    rows, cols = np.mgrid[:400, :400] + 0.5
    distance = np.hypot(rows - row, cols - col) - radius
    grey = micrograph.pixels / micrograph.pixels[distance > 90].mean()
    outwards = [grey[(distance >= k) & (distance < k + 1)].mean() for k in range(90)]
    return np.array(outwards), grey[distance < -10].mean()


def test_bubbles_are_bright_in_a_dark_rim_under_focus_and_the_reverse_over_focus():
    for defocus_nm in (400, -400):
        outwards, within = _profile(defocus_nm)
        sign = math.copysign(1, defocus_nm)
        assert sign * (outwards[:3].mean() - 1) < -0.15
        assert sign * (within - outwards[:3].mean()) > 0.15


@pytest.mark.parametrize("defocus_nm", [200, 800, -200, -800])
def test_the_fringe_beyond_the_rim_lies_near_the_first_fresnel_zone(defocus_nm):
    outwards, _ = _profile(defocus_nm)
    zone_nm = math.sqrt(electron_wavelength_nm(200) * abs(defocus_nm))
    other_side = np.sign(outwards - 1) == np.sign(defocus_nm)
    begins = np.flatnonzero(other_side[2:])[0] + 2
    fringe = begins + np.argmax((outwards * np.sign(defocus_nm))[begins:])
    assert 0.8 <= (fringe + 0.5) * 0.1 / zone_nm <= 1.1


@pytest.mark.parametrize(
    ("scene", "classes", "kinds"),
    [
        ("precipitates", ("particle",), {"ellipse", "polygon"}),
        ("bubbles", ("cavity",), {"ellipse"}),
        ("loops", ("loop",), {"ellipse"}),
        ("lines", ("line",), {"polyline"}),
    ],
)
def test_scenes_have_classes_of_their_own_and_one_seed_gives_one_image(scene, classes, kinds):
    micrograph, labels = synthesize(3, scene=scene, size=360)
    again, _ = synthesize(3, scene=scene, size=360)
    assert labels.classes == classes
    assert {shape.label for shape in labels.shapes} == set(classes)
    assert {shape.kind for shape in labels.shapes} <= kinds
    assert np.array_equal(micrograph.pixels, again.pixels)


def test_loops_are_dark_along_their_ellipse_in_two_lobes():
    micrograph, labels = synthesize(
        1, scene="loops", size=300, n_particles=6, diameter_nm=(30, 50), line_darkness=0.8,
        line_width_nm=3.0, loop_aspect_ratio=1.0, defocus_nm=0.0, **SMOOTH,
    )  # fmt: skip
    grey = micrograph.pixels / np.median(micrograph.pixels)
    for shape in labels.shapes:
        (row, col), (radius, _) = shape.points
        if not all(radius + 5 < place < 295 - radius for place in (row, col)):
            continue
        turn = np.linspace(0, 2 * math.pi, 72, endpoint=False)
        ring = np.stack([row + radius * np.sin(turn), col + radius * np.cos(turn)])
        around = grey[tuple(np.floor(ring).astype(int))]
        assert around.min() == pytest.approx(math.exp(-0.8), abs=0.08)
        assert around.max() > 0.75  # across g, where there is next to no contrast
        assert np.corrcoef(around, np.roll(around, 36))[0, 1] > 0.8  # two lobes face each other
        assert grey[int(row), int(col)] > 0.95
        diameter_nm = float(shape.attributes["diameter_nm"])
        assert 2 * radius * 0.5 == pytest.approx(diameter_nm, abs=1e-3)


def test_lines_are_dark_along_their_polyline_and_nowhere_else():
    micrograph, labels = synthesize(
        2, scene="lines", size=(300, 240), n_lines=7, line_darkness=0.8, line_width_nm=3.0,
        defocus_nm=0.0, **SMOOTH,
    )  # fmt: skip
    grey = micrograph.pixels / np.median(micrograph.pixels)
    near = raster.class_map(labels, ["line"], line_width=2.0) > 0
    far = raster.class_map(labels, ["line"], line_width=14.0) == 0
    assert grey[near].max() < 0.8
    assert grey[far].min() > 0.97
    assert len(labels.shapes) == 7
    for shape in labels.shapes:
        length_px = np.hypot(*np.diff(shape.points, axis=0).T).sum()
        assert float(shape.attributes["length_nm"]) == pytest.approx(0.5 * length_px, abs=1e-3)
        assert (shape.points >= 0).all()
        assert (shape.points <= (300, 240)).all()


def test_a_line_that_leaves_the_image_ends_on_its_border_and_does_not_come_back():
    scene = Scene(n_lines=40, line_length_nm=400.0)
    shape = (120, 160)
    left = 0
    for line in random_lines(np.random.default_rng(0), scene, shape):
        inside = ((line.drawn > 0) & (line.drawn < shape)).all(axis=1)
        assert np.count_nonzero(np.diff(inside.astype(int))) <= 2  # one piece of it is inside
        ends = line.points[[0, -1]]
        on_border = ((np.abs(ends) < 1e-9) | (np.abs(ends - shape) < 1e-9)).any(axis=1)
        left += on_border.sum()
        assert (on_border == ~(line.drawn[[0, -1]] == ends).all(axis=1)).all()
    assert left > 40


def test_a_scene_without_dislocations_draws_what_it_did_before():
    assert Scene().loop_share == Scene().n_lines == 0  # so that no number is drawn for them
    assert SCENES["lines"].classes == ("line",)
    assert Scene(n_lines=3).classes == ("particle", "line")
    assert Scene(loop_share=0.5).classes == ("particle", "loop")


def test_lines_are_written_and_read_as_polylines(tmp_path):
    _, annotations = write_dataset(tmp_path, n=1, size=128, scene="lines")
    (read,) = cvat.read(annotations)
    _, made = synthesize((0, 0), size=128, scene="lines")
    for ours, theirs in zip(made.shapes, read.shapes, strict=True):
        assert theirs.kind == "polyline"
        assert np.abs(ours.points - theirs.points).max() < 0.01


def test_an_unknown_scene_names_those_that_there_are():
    with pytest.raises(ValueError, match=r"scene must be one of \['precipitates', 'bubbles', 'loo"):
        synthesize(1, scene="voids")


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("loop_share", 1.5, "between 0 and 1"),
        ("loop_aspect_ratio", 0.9, "at least 1"),
        ("n_lines", -1, "0 or more"),
        ("line_darkness", (-0.1, 0.5), "0 or more"),
        ("line_length_nm", 0.0, "greater than 0"),
        ("line_width_nm", 0.0, "greater than 0"),
    ],
)
def test_a_scene_refuses_dislocations_that_make_no_sense(name, value, rule):
    with pytest.raises(ValueError, match=f"{name} must be {rule}. Received: {name}="):
        Scene(**{name: value})
