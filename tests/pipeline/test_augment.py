"""Image and map change together, alike for one seed, and each operation does what it says."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from temzoo.data.augment import _OWN, LIBRARIES, apply_one, augmenter, sheet
from temzoo.data.augment_operations import EM, EM_INVERT, GEOMETRY, PRESETS, Op

NAMES = [op.name for op in EM_INVERT]
IMAGE_ONLY = [name for name in NAMES if name not in GEOMETRY]


@pytest.fixture(params=sorted(LIBRARIES), autouse=True)
def library(request, monkeypatch):
    """Every test is run with each library in the place of the usual one."""
    monkeypatch.setitem(LIBRARIES, "imgaug", LIBRARIES[request.param])


def discs(size: int = 128, *, seed: int = 0) -> np.ndarray:
    """A map of classes 0, 1, 2: discs of known place."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:size, :size]
    drawn = np.zeros((size, size), np.int32)
    for number in range(14):
        row, col = rng.uniform(0, size, 2)
        drawn[np.hypot(rows - row, cols - col) < rng.uniform(5, 14)] = 1 + number % 2
    return drawn


def textured(size: int = 96, dtype=np.uint8, *, channels: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(20, 220, (size, size, channels)).astype(dtype)


def fixed(name: str, value: float) -> Op:
    """The operation at one certain strength."""
    op = next(op for op in EM_INVERT if op.name == name)
    return replace(op, low=value, high=value, probability=1.0)


def away_from_edges(class_map: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours have the same class: interpolation leaves them alone."""
    inside = np.ones(class_map.shape, bool)
    for axis in (0, 1):
        for step in (-1, 1):
            inside &= np.roll(class_map, step, axis) == class_map
    return inside


@pytest.mark.parametrize("name", sorted(GEOMETRY))
@pytest.mark.parametrize("seed", range(4))
def test_geometry_image_equal_to_its_map_stays_equal(name, seed):
    labels = discs()
    image, moved = apply_one(name, (labels * 100).astype(np.uint8), labels, seed)
    inside = away_from_edges(moved)
    assert np.mean(np.rint(image[inside] / 100) == moved[inside]) > 0.99
    assert name == "flip" or inside.mean() > 0.5


def test_composed_geometry_keeps_image_and_map_aligned():
    labels = discs()
    change = augmenter([op for op in EM if op.name in GEOMETRY])
    for seed in range(12):
        image, moved = change((labels * 100).astype(np.float32), labels, seed)
        inside = away_from_edges(moved)
        assert np.mean(np.rint(image[inside] / 100) == moved[inside]) > 0.99


def test_rotate_and_zoom_move_a_disc_to_where_the_closed_form_says():
    rows, cols = np.mgrid[:129, :129]
    labels = (np.hypot(rows - 64, cols - 94) < 6).astype(np.int32)  # 30 px right of the centre
    ops = [fixed("rotate", 90.0), fixed("zoom", 1.2)]
    _, moved = augmenter(ops)(labels.astype(np.uint8), labels, 0)
    row, col = np.argwhere(moved).mean(axis=0)
    assert (row, col) == pytest.approx((64 + 36, 64), abs=0.6)  # clockwise: right goes down
    assert moved.sum() == pytest.approx(1.44 * labels.sum(), rel=0.05)


def test_elastic_moves_are_bounded_and_do_not_fold():
    rows = np.tile(np.arange(128, dtype=np.float32)[:, None], (1, 128))
    moved, _ = augmenter([fixed("elastic", 5.0)])(rows, rows.astype(np.int32), 5)
    interior = slice(16, -16)
    shift = (moved - rows)[interior, interior]
    assert 1.0 < np.abs(shift).max() < 7.0
    assert np.diff(moved, axis=0)[interior, interior].min() > 0


def test_quarter_turns_and_flips_only_permute_the_pixels():
    image, labels = textured(dtype=np.uint16), discs(96)
    for seed in range(6):
        changed, moved = augmenter([fixed("flip", 1), fixed("quarter_turn", 1)])(
            image, labels, seed
        )
        assert np.array_equal(np.sort(changed, axis=None), np.sort(image, axis=None))
        assert np.array_equal(moved, np.rot90(labels, -1)[:, ::-1])


@pytest.mark.parametrize("shape", [(40, 70), (71, 33, 3), (1, 1), (16, 50, 1), (20, 20, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_shape_and_dtype_are_kept(shape, dtype):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 200, shape).astype(dtype)
    labels = rng.integers(0, 3, shape[:2]).astype(np.int64)
    for seed in range(5):
        changed, moved = augmenter("em")(image, labels, seed)
        assert (changed.shape, changed.dtype) == (image.shape, image.dtype)
        assert (moved.shape, moved.dtype) == (labels.shape, labels.dtype)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_never_invented_and_no_corner_is_black(name):
    instances = discs(seed=4) * 70_000  # beyond 16 bit
    instances[instances == 0] = 500_000
    for seed in range(3):
        _, moved = apply_one(name, textured(128), instances, seed)
        assert set(np.unique(moved)) <= set(np.unique(instances))


def test_several_maps_move_together():
    labels = discs()
    both = np.stack([labels, labels + 40], axis=-1)
    _, moved = apply_one("rotate", textured(128), both, 2)
    assert np.array_equal(moved[..., 0] + 40, moved[..., 1])


@pytest.mark.parametrize("name", IMAGE_ONLY)
def test_image_operations_leave_the_map_alone(name):
    image, labels = textured(), discs(96)
    changed, same = apply_one(name, image, labels, 1)
    assert np.array_equal(same, labels)
    assert not np.array_equal(changed, image)


def test_preset_none_returns_the_input_exactly():
    image, labels = textured(dtype=np.uint16), discs(96)
    changed, same = augmenter("none")(image, labels, 5)
    assert np.array_equal(changed, image)
    assert np.array_equal(same, labels)


def test_inputs_are_not_written_to():
    image, labels = textured(), discs(96)
    before = image.copy(), labels.copy()
    for seed in range(8):
        augmenter("em")(image, labels, seed)
    assert np.array_equal(image, before[0])
    assert np.array_equal(labels, before[1])


@pytest.mark.parametrize("preset", ["light", "em", "em_invert"])
def test_one_seed_gives_the_same_bits_also_from_four_threads(preset):
    image, labels, change = textured(), discs(96), augmenter(preset)
    alone = [change(image, labels, seed) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda seed: change(image, labels, seed), range(24)))
    for (image_a, map_a), (image_b, map_b) in zip(alone, threaded, strict=True):
        assert np.array_equal(image_a, image_b)
        assert np.array_equal(map_a, map_b)
    assert not np.array_equal(alone[0][0], alone[1][0])


def test_global_random_state_has_no_say():
    image, labels = textured(), discs(96)
    np.random.seed(1)
    first = augmenter("em")(image, labels, 11)[0]
    np.random.seed(2)
    assert np.array_equal(first, augmenter("em")(image, labels, 11)[0])


def test_negative_and_large_seeds_are_accepted():
    image, labels = textured(), discs(96)
    results = [augmenter("em")(image, labels, seed)[0] for seed in (-1, 2**63, np.int64(-5))]
    assert not np.array_equal(results[0], results[1])


def test_uint16_range_is_kept_not_squeezed_to_eight_bits():
    rng = np.random.default_rng(0)
    image = rng.normal(30_000, 6_000, (96, 96, 1)).clip(0, 65_535).astype(np.uint16)
    change = augmenter([op for op in EM if op.name != "poisson"])  # whose counts are few by nature
    for seed in range(10):
        changed, _ = change(image, discs(96), seed)
        assert 20_000 < changed.mean() < 40_000
        assert len(np.unique(changed)) > 1_000


def test_image_operations_mean_the_same_for_every_stored_range():
    small = textured(dtype=np.float32)
    for name in IMAGE_ONLY:
        low, _ = apply_one(name, small, discs(96), 6)
        high, _ = apply_one(name, small * 250 + 1000, discs(96), 6)
        np.testing.assert_allclose((high - 1000) / 250, low, atol=0.2)


def unit_ramp() -> np.ndarray:
    """Float pixels whose 1st and 99th percentiles are 0 and 1, so that units are plain."""
    pixels = np.full((400, 400, 1), 0.5, np.float32)
    pixels[:, ::8], pixels[:, 4::8] = 0.0, 1.0
    return pixels


@pytest.mark.parametrize("dose", [25.0, 100.0, 400.0])
def test_poisson_variance_is_signal_over_dose(dose):
    image = unit_ramp()
    noisy, _ = augmenter([fixed("poisson", dose)])(image, np.zeros((400, 400), int), 0)
    for signal in (0.5, 1.0):
        values = noisy[image == signal]
        assert values.mean() == pytest.approx(signal, abs=0.005)
        assert values.var() == pytest.approx(signal / dose, rel=0.06)
    assert np.all(noisy[image == 0.0] == 0.0)


def test_gaussian_noise_has_the_sigma_it_says():
    image = unit_ramp()
    noisy, _ = augmenter([fixed("gaussian", 0.05)])(image, np.zeros((400, 400), int), 0)
    difference = noisy - image
    assert difference.std() == pytest.approx(0.05, rel=0.02)
    assert abs(difference.mean()) < 0.001


def test_salt_and_pepper_hits_the_fraction_it_says_with_black_or_white():
    image = unit_ramp() * 0.98 + 0.01
    noisy, _ = augmenter([fixed("salt_pepper", 0.01)])(image, np.zeros((400, 400), int), 0)
    hit = ~np.isclose(noisy, image)
    grey = np.isclose(image, 0.5)
    assert hit[grey].mean() == pytest.approx(0.01, rel=0.2)
    assert np.allclose(np.unique(noisy[hit & grey].round(3)), [0.01, 0.99])


def test_display_operations_follow_their_formulas():
    image, empty = unit_ramp(), np.zeros((400, 400), int)
    for name, value, formula in [
        ("contrast", 0.7, lambda p: 0.5 + 0.7 * (p - 0.5)),
        ("brightness", -0.1, lambda p: p - 0.1),
        ("gamma", 1.3, lambda p: p**1.3),
    ]:
        changed, _ = augmenter([fixed(name, value)])(image, empty, 0)
        np.testing.assert_allclose(changed, formula(image), atol=1e-5)


def test_background_is_smooth_of_zero_mean_and_of_its_amplitude():
    flat = unit_ramp()
    field = augmenter([fixed("background", 0.2)])(flat, np.zeros((400, 400), int), 1)[0] - flat
    assert np.abs(field).max() == pytest.approx(0.2, abs=1e-4)
    assert abs(field.mean()) < 1e-4
    assert np.abs(np.diff(field, axis=0)).max() < 0.01


def test_blur_keeps_the_sum_and_spreads_a_point_by_sigma():
    image = np.zeros((65, 65, 1), np.float32)
    image[32, 32] = 1.0
    blurred, _ = augmenter([fixed("blur", 1.5)])(image, np.zeros((65, 65), int), 0)
    rows = np.arange(65) - 32
    assert blurred.sum() == pytest.approx(1.0, abs=1e-4)
    variance = (blurred[..., 0].sum(axis=1) * rows**2).sum()
    assert np.sqrt(variance) == pytest.approx(1.5, rel=0.03)


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_constant_and_nan_images_pass_through_every_operation(value):
    image = np.full((32, 32, 1), value, np.float32)
    for name in NAMES:
        changed, _ = apply_one(name, image, np.zeros((32, 32), int), 0)
        assert changed.shape == image.shape
        assert np.isnan(value) or np.isfinite(changed).all()


def test_sheet_shows_the_original_and_every_operation():
    image = textured(64)
    rows = sheet(image, seed=2)
    assert [title.replace(" ", "_") for title, _, _ in rows] == ["original", *NAMES]
    assert np.array_equal(rows[0][1], image)
    for _, changed, parameters in rows[1:]:
        assert not np.array_equal(changed, image)
        assert set(parameters) == {"range", "probability", "why"}


def test_light_is_a_milder_part_of_em():
    ranges = {op.name: op for op in EM}
    for op in PRESETS["light"]:
        full = ranges[op.name]
        assert full.low <= op.low <= op.high <= full.high
        assert op.probability <= full.probability


def test_unknown_names_list_the_close_ones():
    image, labels = textured(32), np.zeros((32, 32), int)
    with pytest.raises(ValueError, match=r"no augmentation preset .*Received: 'lite'.*light"):
        augmenter("lite")
    with pytest.raises(ValueError, match=r"no augmentation operation .*'poison'.*poisson"):
        apply_one("poison", image, labels)
    with pytest.raises(ValueError, match=r"Received: 'xyzzy'. Known: quarter_turn"):
        augmenter([replace(EM[0], name="xyzzy")])


def test_libraries_move_and_change_an_example_alike():
    both = [import_module(f"temzoo.data.augment_{name}") for name in ("imgaug", "opencv")]
    image, labels = textured(90).astype(np.float32)[:71], discs(90)[:71]
    for name in sorted(set(NAMES) - set(_OWN) - {"elastic", "salt_pepper"}):  # they draw more
        op = next(op for op in EM_INVERT if op.name == name)
        drawn = {name: np.array([op.low, op.high])}
        rng = np.random.default_rng(0)
        if name in GEOMETRY:
            (first, its_map), (second, map_) = (of.move(drawn, image, labels, rng) for of in both)
            assert np.mean(its_map != map_) < 1e-3
        else:
            first, second = (of.change(name, 0.8, image.shape, rng)(image.copy()) for of in both)
        np.testing.assert_allclose(first, second, atol=1e-3)


def test_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"one height and width.*\(32, 32, 1\).*\(32, 31\)"):
        augmenter("em")(textured(32), np.zeros((32, 31), int), 0)


def test_import_and_use_raise_no_warning_even_when_sources_are_compiled_afresh(tmp_path):
    code = (
        "import numpy as np; from temzoo.data.augment import apply_one;"
        "from temzoo.data.augment_operations import EM;"
        "[apply_one(op, np.ones((32, 32), np.uint8), np.zeros((32, 32), int)) for op in EM]"
    )
    command = [sys.executable, "-W", "error", "-X", f"pycache_prefix={tmp_path}", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_inverting_keeps_the_limits_and_turns_the_order(dtype):
    image = np.zeros((32, 32), dtype)
    image[3, 4], image[20:, :] = 200, 30  # a sparse bright particle, far outside the percentiles
    inverted, _ = apply_one("invert", image, np.zeros((32, 32), np.int32))
    np.testing.assert_allclose(inverted, 200 - image.astype(float), atol=1e-3)
