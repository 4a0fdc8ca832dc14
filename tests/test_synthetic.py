"""Synthetic micrographs: the physics by closed forms, the labels by what is in the pixels."""

import math
import time

import numpy as np
import pytest
import scipy.constants
import scipy.ndimage
import scipy.stats

from temzoo.core.types import Micrograph
from temzoo.data.synthetic.exposure import (
    defocus_wave,
    electron_wavelength_nm,
    film_texture,
    interaction_constant,
)
from temzoo.data.synthetic.particle_images import particle_images
from temzoo.data.synthetic.scene import Scene, project_ellipsoid
from temzoo.data.synthetic.synthesize import VOIDS, crowded, synthesize, write_dataset, write_tiff
from temzoo.labels.formats import cvat
from temzoo.labels.shapes import raster
from temzoo.micrographs import load_micrograph

FLAT = {
    "gradient": 0.0,
    "curvature": 0.0,
    "texture_rms": 0.0,
    "grain_nm": 0.0,
    "contrast_spread": 0.0,
}
# The expected image of an even film in focus: nothing but Beer-Lambert.
PLAIN = FLAT | {
    "defocus_nm": 0.0,
    "noise": False,
    "spread_px": 0.0,
    "dtype": "uint16",
    "dose_e_per_px": 1000.0,
    "gain": 60.0,
    "support_nm": 30.0,
    "free_path_nm": 120.0,
}


def _rotation(rng):
    return np.linalg.qr(rng.normal(size=(3, 3)))[0]


def test_synthesize_one_seed_gives_one_image_bit_for_bit():
    first, first_labels = synthesize(5, size=128, n_particles=6, scale_bar=True)
    second, second_labels = synthesize(5, size=128, n_particles=6, scale_bar=True)
    other, _ = synthesize(6, size=128, n_particles=6, scale_bar=True)
    assert np.array_equal(first.pixels, second.pixels)
    assert first_labels == second_labels
    assert not np.array_equal(first.pixels, other.pixels)


def test_synthesize_default_is_uint8_over_its_range_with_calibration():
    micrograph, labels = synthesize(1, size=(96, 160), n_particles=3, nm_per_pixel=0.8)
    assert micrograph.pixels.shape == (96, 160)
    assert (labels.height, labels.width) == (96, 160)
    assert micrograph.pixels.dtype == np.uint8
    assert micrograph.pixels.min() == 0
    assert micrograph.pixels.max() == 255
    assert micrograph.nm_per_pixel == (0.8, 0.8)
    assert labels.name == micrograph.name == "synthetic.tif"
    assert labels.classes == ("particle",)


@pytest.mark.parametrize(
    ("shares", "agreement"),
    # A rod's polygon has its vertices on the silhouette, its edges a little inside.
    [((1, 1, 0), 1.0), ((0, 0, 1), 0.998)],
    ids=["ellipses", "rods"],
)
@pytest.mark.parametrize("seed", range(3))
def test_synthesize_labels_cover_the_particles_of_the_image(seed, shares, agreement):
    micrograph, labels = synthesize(seed, size=(200, 280), n_particles=8, shares=shares, **PLAIN)
    background = round(60_000 * math.exp(-30 / 150))
    dark = micrograph.pixels.astype(int) < background - 30
    covered = raster.instance_masks(labels).any(axis=0)
    assert dark.any()
    assert (dark & covered).sum() / (dark | covered).sum() >= agreement


@pytest.mark.parametrize(
    "shares", [(1, 0, 0), (0, 1, 0), (0, 0, 1)], ids=["sphere", "ellipsoid", "rod"]
)
def test_synthesize_label_area_is_that_of_the_stated_diameter(shares):
    _, labels = synthesize(2, size=500, n_particles=6, shares=shares, diameter_nm=(15, 25))
    whole = 0
    for shape, mask in zip(labels.shapes, raster.instance_masks(labels), strict=True):
        if mask[[0, -1]].any() or mask[:, [0, -1]].any():
            continue
        whole += 1
        diameter_px = float(shape.attributes["diameter_nm"]) / 0.5
        assert mask.sum() == pytest.approx(math.pi * diameter_px**2 / 4, rel=0.01)
    assert whole >= 2


def test_synthesize_ellipse_points_and_attributes_agree():
    _, labels = synthesize(4, size=300, n_particles=8, shares=(0, 1, 0))
    for shape in labels.shapes:
        short, long = shape.points[1]
        assert shape.kind == "ellipse"
        assert long >= short
        assert float(shape.attributes["aspect_ratio"]) == pytest.approx(long / short, abs=1e-3)
        assert float(shape.attributes["angle_deg"]) == pytest.approx(shape.rotation, abs=0.01)
        diameter_nm = 2 * math.sqrt(long * short) * 0.5
        assert float(shape.attributes["diameter_nm"]) == pytest.approx(diameter_nm, abs=1e-3)


def test_synthesize_rod_angle_turns_clockwise_on_screen_and_follows_the_pixels():
    micrograph, labels = synthesize(
        3, size=256, n_particles=1, shares=(0, 0, 1), rod_aspect_ratio=4.0, **PLAIN
    )
    dark = micrograph.pixels < micrograph.pixels.max() - 30
    rows, cols = np.nonzero(dark)
    values, vectors = np.linalg.eigh(np.cov(np.stack([rows, cols])))
    down, right = vectors[:, np.argmax(values)]
    measured = math.degrees(math.atan2(down, right)) % 180
    stated = float(labels.shapes[0].attributes["angle_deg"])
    assert abs((measured - stated + 90) % 180 - 90) < 1.0


def test_synthesize_sphere_centre_follows_beer_lambert():
    micrograph, labels = synthesize(
        8, size=200, n_particles=1, shares=(1, 0, 0), diameter_nm=(24, 30), **PLAIN
    )
    (row, col), (radius, _) = labels.shapes[0].points
    centre = micrograph.pixels[int(row), int(col)]
    offset = math.hypot(int(row) + 0.5 - row, int(col) + 0.5 - col)
    thickness_nm = 2 * 0.5 * math.sqrt(radius**2 - offset**2)
    expected = 60_000 * math.exp(-30 / 150 - thickness_nm / 120)
    assert centre == pytest.approx(expected, abs=1.5)


def test_synthesize_overlapping_particles_add_their_thickness():
    scene = PLAIN | {"n_particles": 12, "max_overlap": 0.5, "clustering": 1.0}
    micrograph, labels = synthesize(1, size=160, shares=(1, 0, 0), **scene)
    rows, cols = np.mgrid[:160, :160] + 0.5
    thickness_nm = np.zeros((160, 160))
    for shape in labels.shapes:
        (row, col), (radius, _) = shape.points
        squared = radius**2 - (rows - row) ** 2 - (cols - col) ** 2
        thickness_nm += 2 * 0.5 * np.sqrt(np.maximum(squared, 0))
    expected = 60_000 * np.exp(-30 / 150 - thickness_nm / 120)
    assert np.abs(micrograph.pixels - expected).max() < 2
    assert raster.instance_masks(labels).sum(axis=0).max() >= 2
    assert [shape.z_order for shape in labels.shapes] == list(range(12))


def test_synthesize_overlap_hides_no_more_of_a_particle_than_allowed():
    _, labels = synthesize(1, size=256, n_particles=30, max_overlap=0.3, clustering=1.0)
    masks, top = raster.instance_masks(labels), raster.instance_map(labels)
    hidden = 0
    for number, (shape, mask) in enumerate(zip(labels.shapes, masks, strict=True), start=1):
        area = math.pi * (float(shape.attributes["diameter_nm"]) / 2 / 0.5) ** 2
        lost = mask.sum() - (top == number).sum()
        hidden += lost
        assert lost <= 0.3 * area + 1
    assert hidden > 0


def test_synthesize_film_wedge_has_the_stated_gradient():
    scene = PLAIN | {"gradient": 0.8, "n_particles": 0, "support_nm": 60.0}
    micrograph, _ = synthesize(3, size=(120, 200), **scene)
    thickness_nm = -150 * np.log(micrograph.pixels / 60_000)
    per_row = (thickness_nm[-1] - thickness_nm[0]).mean() * 120 / 119
    per_col = (thickness_nm[:, -1] - thickness_nm[:, 0]).mean() * 200 / 199
    assert math.hypot(per_row, per_col) == pytest.approx(0.8 * 60, rel=1e-3)
    assert thickness_nm.mean() == pytest.approx(60, rel=1e-2)


def test_synthesize_noise_without_blur_is_poisson():
    scene = PLAIN | {"noise": True, "n_particles": 0, "dose_e_per_px": 80.0, "gain": 10.0}
    micrograph, _ = synthesize(1, size=400, **scene)
    counts = micrograph.pixels.astype(float)
    mean = 80 * math.exp(-30 / 150)
    assert counts.mean() / 10 == pytest.approx(mean, rel=5e-3)
    assert (counts / 10).var() == pytest.approx(mean, rel=2e-2)


def test_synthesize_camera_spread_lowers_the_variance_as_a_gaussian_does():
    # Filtering white noise by a Gaussian of sigma s leaves 1 / (4 pi s^2) of its variance.
    scene = PLAIN | {"noise": True, "n_particles": 0, "dose_e_per_px": 100.0, "spread_px": 1.5}
    micrograph, _ = synthesize(2, size=400, **scene)
    electrons = micrograph.pixels / 60.0
    expected = electrons.mean() / (4 * math.pi * 1.5**2)
    assert electrons.var() == pytest.approx(expected, rel=5e-2)


def test_synthesize_cavities_are_bright_and_named():
    micrograph, labels = synthesize(1, size=256, scene=VOIDS, n_particles=10, **FLAT)
    assert labels.classes == ("cavity",)
    assert {shape.label for shape in labels.shapes} == {"cavity"}
    covered = raster.instance_masks(labels).any(axis=0)
    assert micrograph.pixels[covered].mean() > 1.1 * micrograph.pixels[~covered].mean()


def test_synthesize_kinds_name_the_classes():
    _, labels = synthesize(
        2, size=512, n_particles=30, labels="kind", cavity_share=0.3, diameter_nm=(8, 20)
    )
    assert labels.classes == ("sphere", "ellipsoid", "rod", "cavity")
    assert {shape.label for shape in labels.shapes} == set(labels.classes)
    for shape in labels.shapes:
        if shape.label != "cavity":
            assert shape.label == shape.attributes["kind"]
        assert shape.kind == ("polygon" if shape.attributes["kind"] == "rod" else "ellipse")


def test_synthesize_particles_keep_apart_when_overlap_is_not_allowed():
    _, labels = synthesize(9, size=384, n_particles=40, clustering=0.9, diameter_nm=(8, 16))
    masks = raster.instance_masks(labels)
    assert masks.sum(axis=0).max() == 1
    _, separate = scipy.ndimage.label(masks.any(axis=0), structure=np.ones((3, 3)))
    assert separate == len(masks) == 40
    assert {shape.z_order for shape in labels.shapes} == {0}


def test_synthesize_diameters_stay_in_the_range():
    _, labels = synthesize(3, n_particles=60, shares=(1, 0, 0), diameter_nm=(8, 14))
    diameters = [float(shape.attributes["diameter_nm"]) for shape in labels.shapes]
    assert min(diameters) >= 8
    assert max(diameters) <= 14
    assert np.std(diameters) > 0.5


@pytest.mark.parametrize(("defocus_nm", "bright"), [(800.0, True), (-800.0, False)])
def test_synthesize_underfocus_puts_a_bright_rim_around_particles(defocus_nm, bright):
    scene = PLAIN | {"defocus_nm": defocus_nm, "gain": 30.0}
    micrograph, labels = synthesize(
        8, size=200, n_particles=1, shares=(1, 0, 0), diameter_nm=(24, 30), **scene
    )
    covered = raster.instance_masks(labels)[0]
    distance = scipy.ndimage.distance_transform_edt(~covered)
    rim = micrograph.pixels[(distance > 0) & (distance <= 2)].mean()
    far = micrograph.pixels[distance > 25].mean()
    assert (rim > 1.02 * far) if bright else (rim < 0.98 * far)


def test_synthesize_scale_bar_has_the_length_that_it_states():
    for seed, nm_per_pixel in ((1, 0.5), (2, 0.31), (3, 4.0)):
        micrograph, labels = synthesize(
            seed, size=512, nm_per_pixel=nm_per_pixel, scale_bar=True, n_particles=8,
            diameter_nm=(16 * nm_per_pixel, 80 * nm_per_pixel),
        )  # fmt: skip
        row = micrograph.pixels[512 - 512 // 40 - 2]
        length_nm = (row == 255).sum() * nm_per_pixel
        nice = (10, 20, 50, 100, 200, 500)
        assert min(abs(length_nm - stated) for stated in nice) <= 3 * nm_per_pixel
        corner = raster.instance_masks(labels)[:, 490:, 400:]
        assert not corner.any()


def test_project_ellipsoid_shadow_contains_every_surface_point_and_touches_them():
    rng = np.random.default_rng(0)
    for _ in range(5):
        semi_axes, rotation = rng.uniform(1, 4, 3), _rotation(rng)
        long, short, angle, _ = project_ellipsoid(semi_axes, rotation)
        unit = rng.normal(size=(3, 200_000))
        points = rotation @ (semi_axes[:, None] * unit / np.linalg.norm(unit, axis=0))
        down, right = points[:2]
        along = right * math.cos(angle) + down * math.sin(angle)
        across = down * math.cos(angle) - right * math.sin(angle)
        q = (along / long) ** 2 + (across / short) ** 2
        assert q.max() <= 1 + 1e-9
        assert q.max() > 0.9999
        assert np.abs(along).max() == pytest.approx(long, rel=1e-3)
        assert np.abs(across).max() == pytest.approx(short, rel=1e-3)


def test_project_ellipsoid_keeps_the_volume():
    # The chord's integral over the shadow is 4/3 pi long short height = 4/3 pi a b c.
    rng = np.random.default_rng(1)
    semi_axes = np.array([1.0, 2.0, 3.5])
    long, short, _, height = project_ellipsoid(semi_axes, _rotation(rng))
    assert long * short * height == pytest.approx(semi_axes.prod(), rel=1e-12)


def test_project_ellipsoid_along_its_axes_is_plain():
    long, short, angle, height = project_ellipsoid(np.array([2.0, 3.0, 5.0]), np.eye(3))
    assert (long, short, height) == pytest.approx((3.0, 2.0, 5.0))
    assert angle % math.pi == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.8, 2.6])
def test_film_texture_spectrum_falls_with_the_stated_power(beta):
    texture = film_texture(np.random.default_rng(3), (256, 256), beta)
    assert texture.mean() == pytest.approx(0, abs=1e-2)
    assert texture.std() == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.fft2(texture)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    edges = np.geomspace(4 / 256, 0.45, 12)
    ring = np.digitize(frequency, edges)
    mean = [power[ring == k].mean() for k in range(1, len(edges))]
    radius = [frequency[ring == k].mean() for k in range(1, len(edges))]
    slope = np.polyfit(np.log(radius), np.log(mean), 1)[0]
    assert slope == pytest.approx(-beta, abs=0.1)


@pytest.mark.parametrize("kv", [80, 200, 300])
def test_electron_wavelength_and_interaction_constant_agree_with_si_units(kv):
    # lambda = h / p and sigma = 2 pi m e lambda / h^2, with the relativistic momentum and mass.
    si = scipy.constants
    rest, kinetic = si.m_e * si.c**2, si.e * kv * 1e3
    momentum = math.sqrt((rest + kinetic) ** 2 - rest**2) / si.c
    mass = (rest + kinetic) / si.c**2
    wavelength = si.h / momentum
    sigma = 2 * math.pi * mass * si.e * wavelength / si.h**2
    assert electron_wavelength_nm(kv) == pytest.approx(wavelength * 1e9, rel=1e-6)
    assert interaction_constant(kv) == pytest.approx(sigma * 1e-9, rel=1e-6)


def test_electron_wavelength_at_200_kv_is_the_textbooks():
    assert electron_wavelength_nm(200) * 1e3 == pytest.approx(2.508, abs=5e-4)


def test_defocus_wave_follows_the_transport_of_intensity_to_first_order():
    rows, cols = np.mgrid[:128, :128] - 64.0
    phase = 0.5 * np.exp(-(rows**2 + 2 * cols**2) / (2 * 12.0**2))
    options = {"wavelength_nm": 0.0025, "nm_per_pixel": 0.5}
    intensity = defocus_wave(np.exp(1j * phase), defocus_nm=100.0, **options)
    k = 2 * np.pi * np.fft.fftfreq(128, 0.5)
    squared = k[:, None] ** 2 + k[None, :] ** 2
    laplacian = np.fft.ifft2(-squared * np.fft.fft2(phase)).real
    expected = 0.0025 * 100 / (2 * np.pi) * laplacian
    assert np.abs(intensity - 1 - expected).max() < 0.02 * np.abs(expected).max()


def test_defocus_wave_keeps_the_electrons():
    rng = np.random.default_rng(0)
    wave = rng.normal(size=(64, 80)) * np.exp(1j * rng.normal(size=(64, 80)))
    options = {"wavelength_nm": 0.0025, "nm_per_pixel": 0.5}
    focused = defocus_wave(wave, defocus_nm=0.0, **options)
    assert np.allclose(focused, np.abs(wave) ** 2)
    blurred = defocus_wave(wave, defocus_nm=2000.0, **options)
    assert blurred.mean() == pytest.approx(focused.mean(), rel=1e-6)
    assert not np.allclose(blurred, focused, atol=0.1)


def test_crowded_1500_particles_on_2048_take_seconds():
    start = time.process_time()
    micrograph, labels = crowded(1)
    assert time.process_time() - start < 10
    assert micrograph.pixels.shape == (2048, 2048)
    assert len(labels.shapes) == 1500


def test_write_dataset_reads_back_as_a_users_export(tmp_path):
    images, annotations = write_dataset(tmp_path, n=3, seed=4, size=(128, 160), n_particles=5)
    labels = cvat.read(annotations)
    paths = sorted(images.iterdir())
    assert [path.name for path in paths] == [image.name for image in labels]
    for index, (path, read) in enumerate(zip(paths, labels, strict=True)):
        micrograph, made = synthesize((4, index), size=(128, 160), n_particles=5, name=path.name)
        loaded = load_micrograph(path)
        assert np.array_equal(loaded.pixels, micrograph.pixels)
        assert loaded.nm_per_pixel == pytest.approx((0.5, 0.5), rel=1e-6)
        assert (read.width, read.height) == (160, 128)
        assert np.mean(raster.instance_map(read) != raster.instance_map(made)) < 1e-3
        for left, right in zip(read.shapes, made.shapes, strict=True):
            assert dict(left.attributes) == dict(right.attributes)


def test_write_dataset_one_seed_gives_the_same_files(tmp_path):
    first, _ = write_dataset(tmp_path / "a", n=2, size=64, n_particles=1)
    second, _ = write_dataset(tmp_path / "b", n=2, size=64, n_particles=1)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_write_dataset_needs_an_image(tmp_path):
    with pytest.raises(ValueError, match=r"n must be at least 1 image\. Received: n=0"):
        write_dataset(tmp_path, n=0)


def test_write_tiff_keeps_rows_and_columns_of_the_calibration_apart(tmp_path):
    pixels = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)
    write_tiff(tmp_path / "a.tif", Micrograph(pixels, (0.25, 2.0)))
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel == pytest.approx((0.25, 2.0))
    write_tiff(tmp_path / "b.tif", Micrograph(pixels))
    loaded = load_micrograph(tmp_path / "b.tif")
    assert loaded.nm_per_pixel is None
    assert np.array_equal(loaded.pixels, pixels)


def test_synthesize_refuses_more_particles_than_fit():
    with pytest.raises(ValueError, match=r"n_particles must fit .*n_particles=500, of which only"):
        synthesize(1, size=64, n_particles=500)


def test_synthesize_unknown_attribute_names_the_close_ones():
    with pytest.raises(TypeError, match=r"no attribute 'defocus'. Use one of: defocus_nm"):
        synthesize(1, defocus=300)


def test_synthesize_refuses_a_size_that_is_too_small():
    with pytest.raises(ValueError, match=r"size must be one number .*Received: size=8"):
        synthesize(1, size=8)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("dtype", "float32", '"uint8" or "uint16"'),
        ("labels", "class", '"particle" or "kind"'),
        ("cavity_share", 1.5, "between 0 and 1"),
        ("max_overlap", -0.1, "between 0 and 1"),
        ("nm_per_pixel", 0.0, "greater than 0"),
        ("dose_e_per_px", (0.0, 10.0), "greater than 0"),
        ("diameter_nm", (9.0, 8.0), r"\(smallest, largest\)"),
        ("aspect_ratio", 0.5, "at least 1"),
        ("shares", (0, 0, 0), "three numbers from 0 on, not all 0"),
    ],
)
def test_scene_refuses_what_makes_no_sense(name, value, rule):
    with pytest.raises(ValueError, match=f"{name} must be {rule}. Received: {name}="):
        Scene(**{name: value})


def _long_axis_deg(darkness):
    """Angle of the long axis of a distribution, clockwise from the horizontal, and its centre."""
    rows, cols = np.mgrid[: darkness.shape[0], : darkness.shape[1]]
    points = np.stack([rows.ravel(), cols.ravel()])
    centre = np.average(points, axis=1, weights=darkness.ravel())
    values, vectors = np.linalg.eigh(np.cov(points, aweights=darkness.ravel()))
    down, right = vectors[:, np.argmax(values)]
    return math.degrees(math.atan2(down, right)), centre


def test_particle_images_one_seed_gives_the_same_and_more_keep_the_first():
    images, factors = particle_images(6, size=32, seed=3)
    more, more_factors = particle_images(9, size=32, seed=3)
    other, _ = particle_images(6, size=32, seed=4)
    assert images.shape == (6, 32, 32)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert np.array_equal(images, more[:6])
    assert not np.array_equal(images, other)
    for name, values in factors.items():
        assert np.array_equal(values, more_factors[name][:6])


def test_particle_images_factors_are_even_and_independent():
    _, factors = particle_images(4000, size=16, seed=0)
    assert set(factors) == {"diameter_px", "aspect_ratio", "angle_deg"}
    ends = {"diameter_px": (0.25 * 16, 0.45 * 16), "aspect_ratio": (1.2, 2.2)}
    for name, (low, high) in {**ends, "angle_deg": (0, 180)}.items():
        even = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(factors[name], even.cdf).pvalue > 0.01
    r = np.corrcoef(np.stack(list(factors.values())))
    assert np.abs(r - np.eye(3)).max() < 0.05


def test_particle_images_show_what_the_factors_say():
    images, factors = particle_images(20, size=64, seed=5, dose_e_per_px=1e6, shift_px=3.0)
    for index, image in enumerate(images):
        darkness = np.maximum(0.78 - image, 0)
        # The rim rises as a root, so that what is visible is the silhouette, widened by the camera.
        area = (image < 0.77).sum()
        diameter = 2 * math.sqrt(area / math.pi)
        assert diameter == pytest.approx(factors["diameter_px"][index], abs=1.0)
        angle, centre = _long_axis_deg(darkness)
        assert abs((angle - factors["angle_deg"][index] + 90) % 180 - 90) < 2
        assert (np.abs(centre + 0.5 - 32) <= 3.2).all()


def test_particle_images_thickness_follows_beer_lambert():
    images, factors = particle_images(
        3, size=64, seed=1, shift_px=0.0, dose_e_per_px=1e7, aspect_ratio=(1.2, 1.4)
    )
    for index, image in enumerate(images):
        thickness = factors["diameter_px"][index] / math.sqrt(factors["aspect_ratio"][index])
        centre = image[31:33, 31:33].mean()
        assert centre == pytest.approx(0.8 * math.exp(-thickness / 32), rel=0.01)


def test_particle_images_lopsided_tell_both_ends_apart():
    images, factors = particle_images(30, size=48, seed=2, lopsided=True, shift_px=0.0)
    assert factors["angle_deg"].max() > 180
    for image, angle in zip(images, np.deg2rad(factors["angle_deg"]), strict=True):
        darkness = np.maximum(0.75 - image, 0)
        rows, cols = np.mgrid[:48, :48] - 23.5
        along = cols * math.cos(angle) + rows * math.sin(angle)
        assert np.average(along, weights=darkness) > 0.2  # the sphere draws the centre to its end


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be at least 1 picture. Received: n=0"),
        ({"n": 1, "size": 8}, "size must be one number or .* Received: size=8"),
        ({"n": 1, "aspect_ratio": (0.5, 2)}, r"from 1 on. Received: aspect_ratio=\(0.5, 2\)"),
        ({"n": 1, "diameter_px": (10, 30)}, r"must fit. Received: diameter_px=\(10, 30\) in size"),
        ({"n": 1, "diameter_px": (10, 9)}, r"\(smallest, largest\), and the largest must fit"),
    ],
)
def test_particle_images_impossible_options_are_refused(options, message):
    n = options.pop("n")
    with pytest.raises(ValueError, match=message):
        particle_images(n, **options)
