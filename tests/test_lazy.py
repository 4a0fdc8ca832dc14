"""Dask and zarr arrays are predicted part by part, as the whole image would be."""

import pickle
import sys

import numpy as np
import pytest
from scipy import ndimage

import temzoo
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.inference import lazy
from temzoo.zoo.task import Task

da = pytest.importorskip("dask.array", reason="needs temzoo[zarr]")
zarr = pytest.importorskip("zarr", reason="needs temzoo[zarr]")
TILES = {"tile": 160, "overlap": 64}


def bright(batch):
    """(B, h, w, 1) raw pixels to (B, h, w, 2): a smooth function of what lies around a pixel."""
    smooth = ndimage.gaussian_filter(batch[..., 0].astype(np.float32), (0, 2, 2), radius=8)
    share = 1 / (1 + np.exp((smooth - 115) / 4))
    return np.stack([1 - share, share], axis=-1)


class Counting:
    """A network that is normalised by the whole image, and notes what it was shown of it."""

    def __init__(self):
        self.shown = []

    def tile_network(self, channels):
        self.shown.append(channels.shape)
        mean = float(channels.mean())
        return lambda batch: bright(batch - mean + 115.0)

    def __call__(self, batch):
        raise AssertionError


@pytest.fixture(scope="module")
def pixels():
    """Dark discs, some of which touch, on a bright field with noise."""
    rng = np.random.default_rng(0)
    image = np.full((613, 571), 180.0)
    rows, columns = np.indices(image.shape)
    for _ in range(60):
        row, column, radius = rng.uniform(0, 613), rng.uniform(0, 571), rng.uniform(5, 14)
        image[np.hypot(rows - row, columns - column) < radius] = 60
    return (image + rng.normal(0, 10, image.shape)).astype(np.uint8)


@pytest.fixture(scope="module")
def whole(pixels):
    return temzoo.predict(bright, pixels)


def test_classes_are_those_of_the_whole_image(pixels, whole):
    found = temzoo.predict(bright, da.from_array(pixels, chunks=100), instances=None, **TILES)
    assert (found.shape, found.dtype) == (pixels.shape, np.uint8)
    assert min(found.numblocks) > 3
    np.testing.assert_array_equal(found.compute(), whole.classes)
    part = found[200:317, 90:300].compute()
    np.testing.assert_array_equal(part, whole.classes[200:317, 90:300])


@pytest.mark.parametrize("separation", ["components", "watershed"])
def test_instances_have_one_number_across_blocks(pixels, separation):
    how = {"instances": separation, "min_area_px": 20}
    whole = temzoo.predict(bright, pixels, **how)
    array = zarr.array(pixels, chunks=(64, 128))
    found = temzoo.predict(bright, array, **how, **TILES | {"tile": 256}).compute()
    assert whole.instances.max() > 30
    pairs = np.unique(np.stack([whole.instances, found]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == whole.instances.max() + 1  # each has one other number
    numbers, first = np.unique(whole.instances, return_index=True)
    np.testing.assert_array_equal(found.ravel()[first[1:]], first[1:] + 1)
    assert len(numbers) == len(first)


def test_a_trained_network_is_normalised_by_the_whole_image():
    model = temzoo.get_model("unet", weights="emps-fast", compile=False)
    micrograph, _ = synthesize(5, size=320, n_particles=12)
    pixels = np.asarray(micrograph.pixels)[:301, :310].astype(np.uint16) * 40
    pixels[:, :100] //= 3
    expected = temzoo.predict(model, pixels)
    found = temzoo.predict(model, da.from_array(pixels), instances=None, tile=256, overlap=176)
    assert max(found.numblocks) > 1
    assert expected.classes.any()
    assert np.mean(found.compute() != expected.classes) < 1e-4


def test_the_image_is_looked_at_once_however_often_parts_are_asked_for(pixels):
    model = Counting()
    found = temzoo.predict(model, da.from_array(pixels, chunks=200), instances=None, **TILES)
    assert model.shown == []
    found[:50, :50].compute()
    found[300:, 300:].compute()
    assert model.shown == [(205, 191, 1)]


def test_another_process_looks_for_itself(pixels):
    image = da.from_array(pixels)
    edges = lazy.Blocks.along(100, 64, 32, 32)
    asked = lazy._Classes(image, (None, None, False), edges, edges, 32)
    asked.ask = bright
    assert pickle.loads(pickle.dumps(asked)).ask is None


def test_frames_of_a_stack_are_predicted_one_by_one(pixels):
    frames = np.stack([pixels[:200, :150], pixels[200:400, 150:300]])
    stack = da.from_array(frames, chunks=(2, 50, 50))
    labels, classes = (temzoo.predict(bright, stack, **how) for how in ({}, {"instances": None}))
    assert labels.chunks == ((1, 1), (200,), (150,))
    assert (labels.dtype, classes.dtype) == (np.int32, np.uint8)
    for index, frame in enumerate(frames):
        expected = temzoo.predict(bright, frame)
        np.testing.assert_array_equal(labels[index].compute(), expected.instances)
        np.testing.assert_array_equal(classes[index].compute(), expected.classes)


def test_a_region_that_reaches_too_far_is_refused():
    dark = da.zeros((700, 700), dtype=np.uint8, chunks=100)
    found = temzoo.predict(bright, dark, **TILES)
    with pytest.raises(ValueError, match=r"reaches farther than 48 px\. Give a larger tile"):
        found.compute()
    assert temzoo.predict(bright, dark, instances=None, **TILES).compute().all()


def test_objects_by_learnt_distances_have_one_number_too(pixels, monkeypatch):
    from temzoo.tasks.distance import Distance

    def deep(batch):
        found = bright(batch)
        return np.concatenate([found, found[..., 1:]], axis=-1)

    monkeypatch.setattr(lazy, "task_of", lambda model: Distance())
    how = {"min_score": 0.0, "instances": "watershed", "tile": 256, "overlap": 64}
    array = da.from_array(pixels)
    found = temzoo.predict(deep, array, **how).compute()
    whole = temzoo.predict(deep, array.rechunk(-1), **{**how, "tile": 1408}).compute()
    np.testing.assert_array_equal(found, whole)
    with pytest.raises(ValueError, match=r"Received: min_score=0\.4 .* Use min_score=0, instances"):
        temzoo.predict(deep, array)


def test_what_a_lazy_array_cannot_be_is_refused(pixels):
    array = da.from_array(pixels)
    with pytest.raises(ValueError, match=r"Received: shape=\(571,\)"):
        temzoo.predict(bright, array[0])
    with pytest.raises(ValueError, match="Received: probabilities=True"):
        temzoo.predict(bright, array, probabilities=True)
    with pytest.raises(ValueError, match=r"needs all of it\. Give a stack \(1, H, W\)"):
        temzoo.predict(bright, array, instances="fused")
    with pytest.raises(ValueError, match=r"answers every pixel\. Received: 'm', of the task"):
        Task().tiled("m", None)
    many = temzoo.predict(
        lambda batch: np.zeros((*batch.shape[:3], 300)), array[:99], instances=None
    )
    with pytest.raises(ValueError, match="a model of more than 256"):
        many.compute()


def test_without_dask_it_says_what_to_type(pixels, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "temzoo\[zarr\]"'):
        temzoo.predict(bright, zarr.array(pixels, chunks=(64, 64)))
