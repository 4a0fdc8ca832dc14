"""Pairs: matched by name, cut and turned together, the same for one seed wherever they start."""

import pickle
from functools import partial

import cv2
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
import tifffile

from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data import pair_files, pairs
from temzoo.data.degrade import Degradation, degrade
from temzoo.data.pair_files import load_frames, load_images, load_pairs
from temzoo.data.pairs import (
    PairPlan,
    blind_spots,
    crops_per_epoch,
    default_source,
    degraded,
    pair_stream,
    pair_validation,
    turned,
)
from temzoo.micrographs import MicrographError, to_grey


def example(name, pixels, truth=None):
    height, width = pixels.shape[:2]
    load_truth = None if truth is None else partial(Micrograph, truth, None, name)
    labels = LabelledImage(name, width, height)
    return Example(labels, partial(Micrograph, pixels, None, name), load_truth=load_truth)


def picture(seed, height=80, width=100, channels=(), dtype="uint8"):
    """Smooth, so that its neighbours are alike; each pixel a value of its own place."""
    rng = np.random.default_rng(seed)
    blobs = scipy.ndimage.gaussian_filter(rng.random((height, width, *channels)), 4, axes=(0, 1))
    blobs = (blobs - blobs.min()) / np.ptp(blobs)
    return np.rint(blobs * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def examples():
    sizes = ((80, 100), (64, 64), (120, 90))
    return [example(f"{k}.png", picture(k, *size)) for k, size in enumerate(sizes)]


@pytest.fixture
def colours():
    return [example(f"{k}.png", picture(k, channels=(3,))) for k in range(2)]


def take(stream, count):
    return [tuple(part.numpy() for part in parts) for parts in stream.take(count)]


def write(folder, name, pixels):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def test_a_folder_becomes_unlabelled_examples(tmp_path):
    write(tmp_path, "b.png", picture(0, 20, 30))
    write(tmp_path, "day/a.tif", picture(1, 40, 50))
    (tmp_path / "notes.txt").write_text("none")
    found = load_images(tmp_path, groups={"b.png": "x", "day/a.tif": "y"})
    assert [(one.name, one.group) for one in found] == [("b.png", "x"), ("day/a.tif", "y")]
    assert [(one.labels.height, one.labels.width) for one in found] == [(20, 30), (40, 50)]
    assert found[0].labels.shapes == ()
    np.testing.assert_array_equal(found[1].micrograph.pixels, picture(1, 40, 50))
    with pytest.raises(ValueError, match=r"every image needs one group.*1 of 2"):
        load_images(tmp_path, groups={"b.png": "x"})


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must have one at least. Received: none"):
        load_images(tmp_path)


def test_two_folders_are_matched_by_name_whatever_the_suffix(tmp_path):
    for name, other in (("a.png", "a.tif"), ("lot/b.png", "lot/b.png"), ("frame.0012.png",) * 2):
        write(tmp_path / "poor", name, picture(len(name), 20, 30))
        write(tmp_path / "better", other, picture(len(name) + 1, 20, 30))
    found = load_pairs(tmp_path / "poor", tmp_path / "better")
    assert [one.name for one in found] == ["a.png", "frame.0012.png", "lot/b.png"]
    for one in found:
        seed = len(one.name)
        np.testing.assert_array_equal(one.micrograph.pixels, picture(seed, 20, 30))
        np.testing.assert_array_equal(one.load_truth().pixels, picture(seed + 1, 20, 30))
    assert pickle.loads(pickle.dumps(found[0])).load_truth().height == 20


def test_every_missing_partner_is_named(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        write(tmp_path / "poor", name, picture(0, 20, 20))
    for name in ("a.png", "c_clean.png", "d.png", "d.tif", "d.bmp", "e.tif"):
        write(tmp_path / "better", name, picture(0, 20, 20))
    (tmp_path / "better" / "d.png").unlink()
    with pytest.raises(ValueError, match="every truth one image") as refused:
        load_pairs(tmp_path / "poor", tmp_path / "better")
    for text in (
        "image 'b.png' without a truth",
        "image 'c.png' without a truth",
        "image 'd.png' which may be that of 'd.bmp' or 'd.tif'",
        "truth 'c_clean.png' without an image",
        "truth 'e.tif' without an image",
    ):
        assert text in str(refused.value)
    assert "'a.png'" not in str(refused.value)


def test_one_truth_for_two_images_is_refused(tmp_path):
    write(tmp_path / "poor", "a.png", picture(0, 20, 20))
    write(tmp_path / "poor", "a.tif", picture(0, 20, 20))
    write(tmp_path / "better", "a.png", picture(0, 20, 20))
    with pytest.raises(ValueError, match=r"truth 'a.png' which may be that of 'a.png' or 'a.tif'"):
        load_pairs(tmp_path / "poor", tmp_path / "better")


def test_every_pair_of_two_sizes_is_named(tmp_path):
    for name, size in (("a.png", (20, 20)), ("b.png", (30, 20)), ("c.png", (9, 8))):
        write(tmp_path / "poor", name, picture(0, 20, 20))
        write(tmp_path / "better", name, picture(0, *size))
    with pytest.raises(ValueError, match="must have one size") as refused:
        load_pairs(tmp_path / "poor", tmp_path / "better")
    assert "a.png" not in str(refused.value)
    assert f"{tmp_path / 'poor' / 'b.png'} of 20 x 20 px with" in str(refused.value)
    assert "c.png of 9 x 8 px" in str(refused.value)


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">f4"])
def test_frames_of_a_movie_are_each_others_truth(tmp_path, suffix, dtype):
    movie = np.random.default_rng(0).integers(200, size=(4, 20, 30)).astype(dtype)
    path = tmp_path / f"movie{suffix}"
    if suffix == ".npy":
        np.save(path, movie)
    else:
        tifffile.imwrite(path, movie, photometric="minisblack")
    found = load_frames(tmp_path)
    assert len(found) == 2 * 3
    assert {one.group for one in found} == {str(path)}
    assert len({one.name for one in found}) == 6
    shown = [(one.micrograph.pixels, one.load_truth().pixels) for one in found]
    for k in range(3):
        for (x, y), (i, j) in zip(shown[2 * k :], ((k, k + 1), (k + 1, k)), strict=False):
            np.testing.assert_array_equal(x, movie[i])
            np.testing.assert_array_equal(y, movie[j])
            assert x.dtype.isnative
    [(x, y)] = take(pair_stream(found, PairPlan(16), batch=2), 1)
    assert x.shape == y.shape == (2, 16, 16, 1)
    assert default_source(found, 1) == "given"


def test_movies_may_be_files(tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.zeros((2, 8, 8), np.uint8))
    assert len(load_frames(tmp_path / "a.npy")) == 2
    assert len(load_frames([tmp_path / "a.npy", str(tmp_path / "b.npy")])) == 4


def test_what_is_no_movie_is_refused(tmp_path):
    def refused(name, array, text):
        np.save(tmp_path / name, array)
        with pytest.raises(MicrographError, match=text):
            load_frames(tmp_path / name)

    for array in (np.zeros((1, 9, 9)), np.zeros((9, 9)), np.zeros((9, 9, 3))):
        refused("one.npy", array, r"one.npy: a movie must have two frames.*source=\"blind_spot\"")
    refused("complex.npy", np.zeros((3, 9, 9), complex), r"real numbers of shape \(frames, H, W\)")
    refused("deep.npy", np.zeros((3, 9, 9, 3)), r"Received: shape=\(3, 9, 9, 3\)")
    tifffile.imwrite(tmp_path / "one.tif", picture(0, 20, 20))
    with pytest.raises(MicrographError, match=r"two frames at least. Received: 1"):
        load_frames(tmp_path / "one.tif")
    with tifffile.TiffWriter(tmp_path / "preview.tif") as tiff:
        tiff.write(picture(0, 20, 20))
        tiff.write(picture(0, 5, 6))
    with pytest.raises(MicrographError, match="pages of 5 x 6 and 20 x 20 px"):
        load_frames(tmp_path / "preview.tif")
    with pytest.raises(MicrographError, match=r"name must end in one of .tif.*Received: '.avi'"):
        load_frames(tmp_path / "movie.avi")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_frames(tmp_path / "absent.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="movies must name at least one file"):
        load_frames(tmp_path / "empty")


def test_a_movie_that_is_something_else_than_its_name_says_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture(0, 20, 20))
    (tmp_path / "a.tif").rename(tmp_path / "a.npy")
    with pytest.raises(MicrographError, match=r"a.npy: cannot be read as a movie"):
        load_frames(tmp_path / "a.npy")


def test_frames_beyond_the_largest_image_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("temzoo.data.pair_files.MAX_PIXELS", 50)
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(MicrographError, match=r"at most 50 pixels. Received: shape=\(2, 8, 8\)"):
        load_frames(tmp_path / "a.npy")


def test_a_frame_with_nan_is_refused_when_it_is_read(tmp_path):
    movie = np.zeros((2, 8, 8), np.float32)
    movie[1, 2, 3] = np.nan
    np.save(tmp_path / "a.npy", movie)
    first, _ = load_frames(tmp_path / "a.npy")
    assert first.micrograph.pixels.max() == 0
    with pytest.raises(MicrographError, match=r"NaN or infinite values in frame 1"):
        first.load_truth()


def test_degraded_examples_have_one_noise_and_the_clean_truth(examples):
    noisy = degraded(examples, "low-dose", seed=3)
    for one, clean in zip(noisy, examples, strict=True):
        pixels = one.micrograph.pixels
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, one.micrograph.pixels)
        np.testing.assert_array_equal(one.load_truth().pixels, clean.micrograph.pixels)
        error = (pixels - clean.micrograph.pixels) / 255
        expected = clean.micrograph.pixels.mean() / 255 / 4
        assert error.var() == pytest.approx(expected, rel=0.15)
    other = degraded(examples, "low-dose", seed=4)[0].micrograph.pixels
    assert not np.array_equal(other, noisy[0].micrograph.pixels)
    with pytest.raises(ValueError, match="Did you mean low-dose"):
        degraded(examples, "lowdose")


def test_given_pairs_are_cut_and_turned_together():
    given = [example(f"{k}.png", picture(k), 255 - picture(k)) for k in range(3)]
    seen = take(pair_stream(given, PairPlan(32), batch=4), 8)
    for x, y in seen:
        assert x.shape == y.shape == (4, 32, 32, 1)
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_array_equal(x + y, 255)
    assert len({x.tobytes() for x, _ in seen}) == 8


def test_crops_are_parts_of_the_image_in_all_eight_positions():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8).repeat(4, 0).repeat(4, 1)
    whole = pixels[:, :, None]
    positions = {turned(whole, k).tobytes(): k for k in range(8)}
    assert len(positions) == 8
    one = [example("a.png", pixels)]
    seen = {
        positions[crop.astype(np.uint8).tobytes()]
        for x, _ in take(pair_stream(one, PairPlan(32, "same"), batch=8), 10)
        for crop in x
    }
    assert seen == set(range(8))
    still = take(pair_stream(one, PairPlan(32, "same", flips=False), batch=8), 2)
    assert all((crop == whole).all() for x, _ in still for crop in x)


def test_a_degradation_makes_noise_anew_for_each_crop(examples):
    plan = PairPlan(64, Degradation(dose_e_per_px=10.0))
    seen = take(pair_stream(examples[1:2], plan, batch=4), 8)
    x, y = (np.concatenate(parts) / 255 for parts in zip(*seen, strict=True))
    variance, signal = ((x - y) ** 2).mean(axis=0), y.mean(axis=0)
    assert variance.mean() == pytest.approx(signal.mean() / 10, rel=0.03)
    assert (x - y).mean() == pytest.approx(0, abs=0.002)
    noise = (x - y)[..., 0].reshape(len(x), -1)
    assert np.abs(np.corrcoef(noise) - np.eye(len(x))).max() < 0.1


def test_scan_lines_stay_rows_whatever_the_turn():
    plan = PairPlan(32, Degradation(streaks=0.1))
    seen = take(pair_stream([example("a.png", np.full((32, 32), 99, np.uint8))], plan, batch=8), 2)
    for x, _ in seen:
        assert np.ptp(x, axis=2).max() < 1e-3
        assert np.ptp(x, axis=1).min() > 1


def test_a_crop_is_degraded_by_the_levels_of_the_whole():
    pixels = np.full((64, 256), 1000, np.uint16)
    pixels[:, 128:] = 41000
    seen = take(pair_stream([example("a.tif", pixels)], PairPlan(64, "high-dose"), batch=1), 30)
    dark = [x for x, y in seen if (y == 1000).all()]
    bright = [x for x, y in seen if (y == 41000).all()]
    assert min(len(dark), len(bright)) > 2
    assert (np.stack(dark) == 1000).all()  # black: no electrons, no noise
    assert np.std(bright) == pytest.approx(40000 / 8, rel=0.03)


def test_grey_pairs_have_the_standard_luma(colours):
    plan = PairPlan(32, "grey")
    for x, y in take(pair_stream(colours, plan, out_channels=3, batch=2), 4):
        assert (x.shape, y.shape) == ((2, 32, 32, 1), (2, 32, 32, 3))
        for grey, colour in zip(x, y, strict=True):
            np.testing.assert_array_equal(grey[..., 0], to_grey(colour.astype(np.uint8)))
            assert np.ptp(colour, axis=2).max() > 20


def test_blind_spots_are_one_of_64_with_a_neighbours_value():
    pixels = np.arange(64 * 72, dtype=np.float32).reshape(64, 72, 1)
    counts = np.zeros((64, 72))
    for seed in range(40):
        hidden, weight = blind_spots(pixels, seed)
        assert set(np.unique(weight)) == {0.0, 1.0}
        cells = weight.reshape(8, 8, 9, 8).sum(axis=(1, 3))
        assert (cells == 1).all()  # stratified
        np.testing.assert_array_equal(hidden[weight == 0], pixels[weight == 0])
        rows, cols = np.nonzero(weight)
        from_row, from_col = np.divmod(hidden[rows, cols, 0].astype(int), 72)
        moves = np.abs([from_row - rows, from_col - cols])
        assert moves.max() == 2
        assert (moves.sum(axis=0) > 0).all()  # never itself, at the border neither
        counts += weight
    assert counts[0].sum() > 0
    assert counts[:, -1].sum() > 0
    assert (counts > 0).mean() == pytest.approx(1 - (63 / 64) ** 40, abs=0.03)


def test_neighbours_are_drawn_evenly():
    pixels = np.arange(24 * 24, dtype=np.float32).reshape(24, 24, 1)
    moves = np.zeros((5, 5))
    for seed in range(2000):
        hidden, weight = blind_spots(pixels, seed)
        rows, cols = np.argwhere(weight[8:16, 8:16])[0] + 8
        row, col = divmod(int(hidden[rows, cols, 0]), 24)
        moves[row - rows + 2, col - cols + 2] += 1
    assert moves[2, 2] == 0
    others = np.delete(moves.ravel(), 12)
    assert (np.abs(others - 2000 / 24) < 5 * np.sqrt(2000 / 24)).all()


def test_sizes_that_no_cell_divides_have_no_more_blind_spots_at_their_ends():
    share = [blind_spots(np.zeros((20, 13, 1)), seed)[1] for seed in range(1500)]
    assert np.mean(share) == pytest.approx(1 / 64, rel=0.05)
    assert np.mean(share, axis=0)[-4:].mean() == pytest.approx(1 / 64, rel=0.1)
    assert blind_spots(np.zeros((1, 4, 1)), 0)[0].shape == (1, 4, 1)


def test_a_blind_spot_stream_weighs_only_what_was_hidden(examples):
    for x, y, weight in take(pair_stream(examples, PairPlan(32, "blind_spot"), batch=4), 4):
        assert (x.shape, y.shape, weight.shape) == ((4, 32, 32, 1), (4, 32, 32, 1), (4, 32, 32))
        assert weight.dtype == np.float32
        assert weight.sum() == 4 * 16
        np.testing.assert_array_equal(x[weight == 0], y[weight == 0])
        assert (x[weight == 1] != y[weight == 1]).any()


SOURCES = ("same", "any-dose", "stem", "blind_spot")


@pytest.mark.parametrize("source", SOURCES)
def test_a_stream_goes_on_where_another_stopped(examples, source):
    def stream(seed=0, **options):
        return pair_stream(examples, PairPlan(32, source, seed), batch=2, **options)

    whole, again, rest = take(stream(), 5), take(stream(), 5), take(stream(start=6), 2)
    for ours, theirs in [*zip(whole, again, strict=True), *zip(whole[3:], rest, strict=True)]:
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
    other = take(stream(seed=1), 5)
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(whole, other, strict=True))


def test_small_images_are_mirrored():
    small = example("small.png", picture(0, 20, 30))
    [(x, y)] = take(pair_stream([small], PairPlan(48, "same", flips=False), batch=1), 1)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(x[0, :20, :30, 0], small.micrograph.pixels)
    np.testing.assert_array_equal(x[0, 20:40, :30], x[0, :20, :30][::-1])


def test_an_epoch_covers_every_image(examples):
    assert crops_per_epoch(examples, PairPlan(32)) == 12 + 4 + 12


def test_colour_models_take_replicated_grey(examples):
    stream = pair_stream(examples, PairPlan(32, "low-dose"), channels=3, out_channels=3, batch=1)
    [(x, y)] = take(stream, 1)
    assert x.shape == y.shape == (1, 32, 32, 3)


@pytest.mark.parametrize("source", SOURCES)
def test_validation_is_whole_images_with_the_same_noise_for_every_model(examples, source):
    once = list(pair_validation(examples, PairPlan(32, source, seed=0)))
    again = list(pair_validation(examples[::-1], PairPlan(64, source, seed=9)))[::-1]
    assert [tuple(x.shape) for x, *_ in once] == [(1, 80, 100, 1), (1, 64, 64, 1), (1, 120, 90, 1)]
    for one, ours, theirs in zip(examples, once, again, strict=True):
        np.testing.assert_array_equal(ours[1][0, ..., 0], one.micrograph.pixels)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
        assert (source == "same") == np.array_equal(ours[0], ours[1])
        assert source != "blind_spot" or ours[2].shape == ours[0].shape[:3]


def test_validation_noise_differs_between_images():
    same = [example(name, np.full((32, 32), 100, np.uint8)) for name in "ab"]
    first, second = (x for x, _ in pair_validation(same, PairPlan(source="low-dose")))
    assert not np.array_equal(first, second)


def test_large_images_are_validated_in_windows_that_cover_them():
    large = example("large.png", picture(0, 40, 1100))
    found = list(pair_validation([large], PairPlan(source="low-dose")))
    assert [tuple(x.shape) for x, _ in found] == [(1, 40, 1024, 1)] * 2
    np.testing.assert_array_equal(found[1][1][0, ..., 0], large.micrograph.pixels[:, -1024:])
    assert not np.array_equal(found[0][0], found[1][0])


def test_validation_for_one_size_comes_in_windows_of_it(examples):
    small = example("small.png", picture(5, 20, 70))
    plan = PairPlan(source="same")
    found = list(pair_validation([examples[0], small], plan, side=64))
    assert [tuple(x.shape) for x, _ in found] == [(1, 64, 64, 1)] * 6
    np.testing.assert_array_equal(found[4][0][0, :20, :, 0], small.micrograph.pixels[:, :64])


def test_the_source_follows_from_what_is_there(examples):
    with_truth = [example("t.png", picture(0), picture(1))]
    assert default_source(examples, 1) == "blind_spot"
    assert default_source(examples, 3) == "grey"
    assert default_source([*examples, *with_truth], 1) == "given"


def test_impossible_plans_are_refused():
    with pytest.raises(ValueError, match=r"16 px and more a side. Received: size=8"):
        PairPlan(8)
    with pytest.raises(ValueError, match=r"source='blindspot'. Did you mean blind_spot.*any-dose"):
        PairPlan(source="blindspot")


def test_examples_that_do_not_suit_the_source_are_refused(examples):
    some = [*examples, example("t.png", picture(0), picture(1))]
    with pytest.raises(ValueError, match=r"3 of 4 without, 0.png, 1.png, 2.png.*blind_spot"):
        pair_stream(some, PairPlan())
    with pytest.raises(ValueError, match=r"needs out_channels=3. Received: out_channels=1"):
        pair_validation(examples, PairPlan(source="grey"))
    with pytest.raises(ValueError, match=r"channels must be out_channels. Received: channels=1"):
        pair_stream(examples, PairPlan(source="blind_spot"), out_channels=3)
    with pytest.raises(ValueError, match="nothing to learn from: 0 examples"):
        pair_stream([], PairPlan(source="same"))


@pytest.mark.parametrize("make", [pair_stream, pair_validation])
def test_failures_of_a_thread_are_kept(examples, make):
    def failure(example, plan, **options):
        failures = []
        with pytest.raises(tf.errors.OpError):
            take(make([example], plan, failures=failures, **options), 1)
        return str(failures[0])

    text = failure(example("t.png", picture(0), picture(1, 40, 50)), PairPlan(32))
    assert "t.png: image and truth must have one size. Received: image of (80, 100), truth" in text
    text = failure(examples[0], PairPlan(32, "grey"), out_channels=3)
    assert '0.png: an image must have colours to learn them by source="grey"' in text


def test_an_image_that_is_its_own_truth_is_kept_once(examples):
    decoded = pairs._Decoded(examples, PairPlan(source="low-dose"), 1, 1)
    assert decoded[0].nbytes == 80 * 100
    given = [example("t.png", picture(0), picture(1))]
    assert pairs._Decoded(given, PairPlan(), 1, 1)[0].nbytes == 2 * 80 * 100


def test_degrading_a_whole_image_and_validation_agree_on_statistics(examples):
    [(x, y)] = list(pair_validation(examples[:1], PairPlan(source="low-dose")))
    ours = (x - y).numpy().std()
    pixels = examples[0].micrograph.pixels
    assert ours == pytest.approx((degrade(pixels, "low-dose", 0) - pixels).std(), rel=0.05)


def movie(path, frames=8):
    np.save(path, np.stack([picture(k) for k in range(frames)]))
    return load_frames(path)


def test_a_movie_is_parted_in_time_without_a_common_frame(tmp_path):
    learn, judge = pair_files.split_in_time(movie(tmp_path / "a.npy"), 0.25)
    of = [{e.labels.frame for e in part} for part in (learn, judge)]
    assert of == [{0, 1, 2, 3, 4, 5}, {6, 7}]
    assert not {e.name for e in learn} & {e.name for e in judge}
    assert {e.group for e in learn + judge} == {""}


def test_a_movie_too_short_to_be_parted_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"four frames at least.*Received: 3 frames"):
        pair_files.split_in_time(movie(tmp_path / "a.npy", frames=3), 0.5)


def test_frames_are_counted(tmp_path):
    movie(tmp_path / "a.npy", frames=3)
    cv2.imwrite(str(tmp_path / "b.png"), picture(0))
    tifffile.imwrite(tmp_path / "c.tif", picture(0))
    counts = [pair_files.frames_in(tmp_path / name) for name in ("a.npy", "b.png", "c.tif")]
    assert counts == [3, 1, 1]


def test_a_truth_in_colour_is_learnt_from_the_grey_image_that_is_given():
    given = example("a.png", picture(0), picture(1, channels=(3,)))
    assert default_source([given], 3) == "given"
    poor, better = pairs.pair_of(given, PairPlan(), out_channels=3)
    np.testing.assert_array_equal(poor[..., 0], picture(0))
    np.testing.assert_array_equal(better, picture(1, channels=(3,)))


def test_pairs_of_folders_keep_their_specimens(tmp_path):
    for folder in ("poor", "better"):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            cv2.imwrite(str(tmp_path / folder / name), picture(0))
    groups = {"a.png": "one", "b.png": "two"}
    found = load_pairs(tmp_path / "poor", tmp_path / "better", groups)
    assert [e.group for e in found] == ["one", "two"]


def test_grey_stored_as_colour_gets_one_count_of_electrons():
    flat = np.full((200, 200), 128, np.uint8)
    noises = [
        degraded([example("a.png", pixels)], "low-dose")[0].micrograph.pixels
        for pixels in (flat, np.stack([flat] * 3, axis=-1))
    ]
    np.testing.assert_array_equal(*noises)


def test_a_degradation_comes_back_from_a_file_as_a_mapping():
    how = Degradation(dose_e_per_px=(4.0, 8.0))
    stored = {"dose_e_per_px": [4.0, 8.0], "readout_e": 0.0}
    assert PairPlan(source=stored).source == how


def test_a_blind_spot_knows_no_better_image():
    poor, better = pairs.pair_of(example("a.png", picture(0)), PairPlan(source="blind_spot"))
    assert better is None
    np.testing.assert_array_equal(poor[..., 0], picture(0))
