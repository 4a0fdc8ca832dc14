"""Restoring: tiles agree, scales and calibration survive, scores and files are right."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from test_hdf5_files import write_nexus

import temzoo
from temzoo.core.types import Example, LabelledImage, Micrograph
from temzoo.data.degrade import Degradation
from temzoo.data.pair_files import load_pairs
from temzoo.data.pairs import PairPlan, degraded, pair_of
from temzoo.evaluation.restoration import compared, data_range, evaluate_restoration
from temzoo.inference.restore import as_stored, restore
from temzoo.pictures.restoration import restoration_sheet
from temzoo.store.restored import save_restored
from temzoo.training import loop
from temzoo.workflows.restore_folder import restore_folder
from temzoo.zoo import cards


def scene(seed=0, height=90, width=110):
    """Dark discs on a bright ground, uint8."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:height, :width]
    pixels = np.full((height, width), 190.0) + 20 * cols / width
    for _ in range(8):
        row, col, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(5, 14)
        pixels[(rows - row) ** 2 + (cols - col) ** 2 < radius**2] = rng.uniform(40, 120)
    return pixels.astype(np.uint8)


def examples(count, start=0, **size):
    return [
        Example(
            LabelledImage(f"{n}.png", *reversed(scene(n, **size).shape)),
            partial(Micrograph, scene(n, **size), (0.5, 0.5), f"{n}.png"),
        )
        for n in range(start, start + count)
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small denoiser that had time to learn, its model, and the noisy examples it knows not."""
    keras.utils.set_random_seed(1)
    model = temzoo.get_model("autoencoder", filters=8, depth=2)
    folder = tmp_path_factory.mktemp("denoiser")
    run = temzoo.train(
        model,
        examples(8),
        examples(2, start=50),
        out=folder,
        pairs="medium-dose",
        epochs=2,
        steps_per_epoch=60,
        crop=32,
        learning_rate=3e-3,
        progress=False,
    )
    return run, model


def test_a_denoiser_learns_and_its_run_is_whole(finished):
    run, _ = finished
    assert run.score_name == "PSNR"
    assert run.score == max(row["val_psnr"] for row in run.history)
    for name in ("best.weights.h5", "validation.png", "history.png", "likeness.npz", "run.json"):
        assert (run.folder / name).is_file()
    loaded = temzoo.get_model("autoencoder", weights=run.folder)
    noisy = pair_of(examples(1, start=90)[0], PairPlan(source="medium-dose"))[0][..., 0]
    again = restore(loaded, noisy).pixels
    np.testing.assert_allclose(again, restore(finished[1], noisy).pixels, atol=1e-3)


def test_it_denoises_images_that_it_does_not_know(finished):
    found = evaluate_restoration(finished[1], examples(3, start=90), pairs="medium-dose")
    gain = found.figures["psnr_db"].value - found.figures["psnr_before_db"].value
    assert gain > 5
    assert found.figures["ssim"].value > found.figures["ssim_before"].value
    assert [row["name"] for row in found.table] == ["90.png", "91.png", "92.png"]
    assert "psnr_db" in found.summary()


def test_scores_are_those_of_scikit_image(finished):
    (example,) = degraded(examples(1, start=90), "medium-dose")
    (row,) = evaluate_restoration(finished[1], [example]).table
    truth = example.load_truth().pixels
    restored = restore(finished[1], example.micrograph).pixels
    restored = np.clip(restored, 0, 255)
    psnr = peak_signal_noise_ratio(truth.astype(float), restored, data_range=255)
    ssim = structural_similarity(truth.astype(float), restored.astype(float), data_range=255)
    assert row["psnr_db"] == pytest.approx(psnr, abs=1e-4)
    assert row["ssim"] == pytest.approx(ssim, abs=1e-5)


@pytest.mark.parametrize("outputs", ["denoise", "colorize"])
def test_tiles_agree_with_the_whole_image(outputs):
    keras.utils.set_random_seed(2)
    model = temzoo.get_model("autoencoder", outputs=outputs, filters=4, depth=2)
    last = model.get_layer("output")
    last.set_weights([np.random.default_rng(0).normal(0, 0.1, w.shape) for w in last.get_weights()])
    ramp = np.linspace(0, 90, 190)[None, :]  # tiles of their own would be normalised apart
    pixels = (scene(3, 170, 190) / 2 + ramp).astype(np.uint8)
    whole = restore(model, pixels).pixels
    tiled = restore(model, pixels, tile=96, overlap=80).pixels
    assert whole.shape == (170, 190) + ((3,) if outputs == "colorize" else ())
    assert np.abs(whole - pixels.reshape(*pixels.shape, *[1] * (whole.ndim - 2))).max() > 1
    np.testing.assert_allclose(tiled, whole, atol=0.05)


def test_before_training_a_restorer_returns_its_input():
    model = temzoo.get_model("autoencoder", filters=4, depth=2)
    pixels = scene(4)
    np.testing.assert_allclose(restore(model, pixels).pixels, pixels, atol=0.01)


@pytest.mark.parametrize("tile", [None, 64])
def test_sparse_bright_features_keep_their_height(tile):
    pixels = np.random.default_rng(0).normal(100, 10, (150, 150)).astype(np.float32)
    pixels[40:50, 60:70] = 5000  # fewer than one pixel in a hundred
    restored = restore(temzoo.get_model("autoencoder", filters=4, depth=2), pixels, tile=tile)
    np.testing.assert_allclose(restored.pixels, pixels, rtol=1e-3)


@pytest.mark.parametrize(
    ("scale", "offset", "dtype"), [(200, 500, "uint16"), (1e-3, -4, "float32")]
)
def test_the_stored_range_and_the_calibration_survive(finished, scale, offset, dtype):
    pixels = (scene(5).astype(float) * scale + offset).astype(dtype)
    restored = restore(finished[1], Micrograph(pixels, (0.3, 0.4), "a.tif"))
    reference = restore(finished[1], scene(5)).pixels
    assert (restored.nm_per_pixel, restored.name) == ((0.3, 0.4), "a.tif")
    np.testing.assert_allclose((restored.pixels - offset) / scale, reference, atol=0.1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
@pytest.mark.parametrize("tile", [None, 64])
def test_pixels_far_from_zero_keep_their_contrast(tmp_path, dtype, tile):
    pixels = (scene(4).astype(np.float64) * (100 if dtype == "float32" else 1) + 1e9).astype(dtype)
    before = Micrograph(pixels, (0.5, 0.25), "a.tif")
    model = temzoo.get_model("autoencoder", filters=4, depth=2)  # returns its input
    restored = restore(model, before, tile=tile)
    assert restored.pixels.dtype == np.float64
    np.testing.assert_allclose(restored.pixels - 1e9, pixels - 1e9, atol=1)
    paths = save_restored(restored, tmp_path, before=before)
    again = temzoo.load_micrograph(paths["restored"])
    assert np.array_equal(again.pixels, restored.pixels)
    assert again.nm_per_pixel == pytest.approx((0.5, 0.25), rel=1e-6)
    both = cv2.imread(str(paths["comparison"]))
    assert len(np.unique(both)) > 50


def test_of_any_stack_it_is_known_that_the_first_image_alone_was_restored(tmp_path):
    path = Path(write_nexus(tmp_path / "a.h5", np.stack([scene(4), scene(5)])))
    model = temzoo.get_model("autoencoder", filters=4, depth=2)
    (found,) = restore_folder(model, [path], tmp_path / "out")
    assert (found.name, found.frames) == ("a_entry_data_data.h5", 2)
    assert (tmp_path / "out" / "a_entry_data_data_restored.tif").is_file()


def test_flips_are_the_mean_of_mirror_images(finished):
    pixels = scene(6, 64, 72)
    mirrored = [(), (0,), (1,), (0, 1)]
    each = [np.flip(restore(finished[1], np.flip(pixels, m)).pixels, m) for m in mirrored]
    flipped = restore(finished[1], pixels, flips=True).pixels
    np.testing.assert_allclose(flipped, np.mean(each, axis=0), atol=1e-2)


def test_whole_numbers_are_rounded_and_clipped():
    pixels = np.array([[-3.0, 0.6, 254.7, 300.0]], np.float32)
    np.testing.assert_array_equal(as_stored(pixels, np.uint8), [[0, 1, 255, 255]])
    assert as_stored(pixels, np.float64).dtype == np.float32


def test_files_hold_the_stored_dtype_and_the_calibration(finished, tmp_path):
    before = Micrograph((scene(7).astype(np.uint16) * 100), (0.5, 0.5), "day/7.png")
    restored = restore(finished[1], before)
    paths = save_restored(restored, tmp_path, before=before)
    read = temzoo.load_micrograph(paths["restored"])
    assert paths["restored"].name == "7_restored.tif"
    assert read.pixels.dtype == np.uint16
    assert read.nm_per_pixel == pytest.approx((0.5, 0.5))
    np.testing.assert_array_equal(read.pixels, as_stored(restored.pixels, np.uint16))
    assert cv2.imread(str(paths["comparison"])) is not None
    exact = save_restored(restored, tmp_path, before=before, keep_float=True)["restored"]
    np.testing.assert_array_equal(temzoo.load_micrograph(exact).pixels, restored.pixels)


def test_signed_numbers_stay_signed(tmp_path):
    before = Micrograph(scene(7).astype(np.int16) - 100, (0.5, 0.5), "7.mrc")
    restored = replace(before, pixels=before.pixels.astype(np.float32) - 0.4)
    paths = save_restored(restored, tmp_path, before=before)
    read = temzoo.load_micrograph(paths["restored"])
    assert read.pixels.dtype == np.int16
    np.testing.assert_array_equal(read.pixels, before.pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_are_written_as_eight_bits(tmp_path, dtype):
    model = temzoo.get_model("autoencoder", outputs="colorize", filters=4, depth=2)
    before = Micrograph(scene(8).astype(dtype), None, "8.png")
    restored = restore(model, before)
    read = temzoo.load_micrograph(save_restored(restored, tmp_path, before=before)["restored"])
    assert (read.pixels.dtype, read.pixels.shape) == (np.uint8, (90, 110, 3))


@pytest.mark.parametrize("source", ["medium-dose", "same", "blind_spot"])
def test_a_sheet_shows_before_and_after(finished, tmp_path, source):
    path = restoration_sheet(tmp_path / "sheet.png", finished[1], examples(2), source=source)
    assert cv2.imread(str(path)).std() > 10


def test_range_and_equal_images():
    assert data_range(np.zeros((2, 2), np.uint8)) == 255
    counts = np.linspace(100, 4100, 10_000).astype(np.uint16).reshape(100, 100)
    counts[0, 0] = 65535  # a hot pixel raises no score
    assert data_range(counts) == pytest.approx(4000, rel=0.01)
    assert data_range(np.ones((2, 2), np.float32)) == 1
    same = scene(1)[..., None]
    assert compared(same, same, 255.0) == (np.inf, pytest.approx(1))
    assert np.isnan(compared(same[:5], same[:5] + 1, 255.0)[1])


def test_what_cannot_be_restored_is_refused(finished):
    with pytest.raises(ValueError, match=r"restore needs a model of the restoration task"):
        restore(temzoo.get_model("unet", filters=2, depth=1), scene())
    vector = temzoo.get_model("autoencoder", skips=False, image_size=32, filters=4, depth=2)
    with pytest.raises(ValueError, match=r"takes images of 32 x 32 px only. Received: 90 x 110"):
        restore(vector, scene())
    assert restore(vector, scene()[:32, :32]).pixels.shape == (32, 32)
    with pytest.raises(ValueError, match=r"at least one example. Received: none"):
        evaluate_restoration(finished[1], [])
    with pytest.raises(ValueError, match=r"a blind spot has no truth to compare with"):
        evaluate_restoration(finished[1], examples(1), pairs="blind_spot")
    with pytest.raises(ValueError, match=r'source="given" needs the truth of every example'):
        evaluate_restoration(finished[1], examples(1))


def test_noisy_images_alone_teach_a_blind_spot(tmp_path):
    """Without a clean image, nearer to the clean one than the noisy image is."""
    keras.utils.set_random_seed(3)
    model = temzoo.get_model("autoencoder", filters=8, depth=2)
    noisy = [replace(e, load_truth=None) for e in degraded(examples(8), "medium-dose")]
    settings = {"epochs": 1, "steps_per_epoch": 120, "crop": 32, "learning_rate": 3e-3}
    run = temzoo.train(model, noisy[:6], noisy[6:], out=tmp_path, progress=False, **settings)
    assert temzoo.get_model("autoencoder", weights=run.folder) is not None
    found = evaluate_restoration(model, degraded(examples(2, start=90), "medium-dose"))
    assert found.figures["psnr_db"].value > found.figures["psnr_before_db"].value + 4


@pytest.mark.usefixtures("eager_steps")
def test_two_folders_teach_their_pairs(tmp_path):
    for folder in ("noisy", "clean"):
        (tmp_path / folder).mkdir()
    for n in range(4):
        cv2.imwrite(str(tmp_path / "clean" / f"{n}.png"), scene(n))
        dim = Degradation(dose_e_per_px=200.0)
        noisy = pair_of(examples(1, start=n)[0], PairPlan(source=dim))[0]
        cv2.imwrite(str(tmp_path / "noisy" / f"{n}.png"), as_stored(noisy, np.uint8))
    pairs = load_pairs(tmp_path / "noisy", tmp_path / "clean")
    model = temzoo.get_model("autoencoder", filters=4, depth=1)
    run = temzoo.train(
        model, pairs[:3], pairs[3:], out=tmp_path / "run", epochs=1, steps_per_epoch=3, crop=32,
        progress=False,
    )  # fmt: skip
    assert run.epoch == 1
    told = (run.folder / "run.json").read_text()
    assert '"pairs": "given"' in told


@pytest.mark.usefixtures("eager_steps")
@pytest.mark.parametrize("source", ["any-dose", "blind_spot", Degradation(dose_e_per_px=(4, 8))])
def test_a_restorer_resumed_is_the_run_that_was_never_stopped(tmp_path, monkeypatch, source):
    """Also where its settings come back from a file as a mapping."""
    monkeypatch.setattr("temzoo.workflows.training.finish", lambda *args: None)

    def fit(folder, **more):
        keras.utils.set_random_seed(4)
        model = temzoo.get_model("autoencoder", filters=4, depth=1)
        settings = {} if more else {"pairs": source, "epochs": 2, "steps_per_epoch": 2, "crop": 32}
        parts = examples(2), examples(1, start=50)
        return temzoo.train(model, *parts, out=folder, progress=False, **settings, **more), model

    whole, model = fit(tmp_path / "whole")
    original = loop._EndOfEpoch.on_epoch_begin

    def begin(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("killed")
        original(self, epoch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(loop._EndOfEpoch, "on_epoch_begin", begin)
        with pytest.raises(RuntimeError, match="killed"):
            fit(tmp_path / "stopped")
    resumed, again = fit(tmp_path / "stopped", resume=True)
    drop = {"minutes"}
    histories = [[{k: r[k] for k in {*r} - drop} for r in run.history] for run in (whole, resumed)]
    assert histories[0] == histories[1]
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.usefixtures("eager_steps")
def test_a_model_of_one_size_is_drawn_on_micrographs(tmp_path):
    model = temzoo.get_model("autoencoder", skips=False, image_size=32, filters=4, depth=1)
    settings = {"pairs": "same", "epochs": 1, "steps_per_epoch": 1, "batch": 2}
    run = temzoo.train(
        model, examples(3), examples(1, start=50), out=tmp_path, progress=False, **settings
    )
    assert (run.folder / "validation.png").is_file()


def test_restorers_do_not_segment(finished):
    with pytest.raises(ValueError, match=r"name=autoencoder.* Use temzoo.restore"):
        temzoo.predict(finished[1], scene())


def test_a_vae_does_not_segment():
    with pytest.raises(ValueError, match=r"name=vae.*which makes pictures"):
        temzoo.predict(temzoo.get_model("vae", image_size=16, latent_dim=2), scene())


def test_a_restorer_without_the_named_layers_is_refused(tmp_path):
    def unnamed():
        pixels = keras.Input((None, None, 1))
        return keras.Model(pixels, keras.layers.Conv2D(1, 3, padding="same")(pixels))

    temzoo.register("unnamed", task="restoration")(unnamed)
    try:
        model = temzoo.get_model("unnamed")
        with pytest.raises(ValueError, match=r"unnamed without normalize and restored"):
            temzoo.train(model, examples(1), examples(1, start=5), out=tmp_path)
    finally:
        cards.BUILDERS.pop("unnamed")
        cards._CARDS.pop("unnamed")


def test_settings_of_other_data_are_refused(tmp_path):
    model = temzoo.get_model("autoencoder", filters=4, depth=1)
    with pytest.raises(
        ValueError, match=r"augment is not for a model of this task. .* crop, pairs"
    ):
        temzoo.train(model, examples(1), examples(1, start=5), out=tmp_path, augment="em")
    with pytest.raises(ValueError, match=r"Received: source='low-dse'. Did you mean low-dose"):
        temzoo.train(model, examples(1), examples(1, start=5), out=tmp_path, pairs="low-dse")


def test_the_shipped_denoiser_serves_images_it_has_never_seen():
    model = temzoo.get_model("autoencoder", weights="emps-denoise")
    found = evaluate_restoration(model, examples(2, start=90), pairs="low-dose")
    assert found.figures["psnr_db"].value > found.figures["psnr_before_db"].value + 10
