"""Signals of HyperSpy in and out, with a stand-in that has the attributes that are used of one."""

from types import SimpleNamespace

import numpy as np
import pytest

import temzoo
from temzoo.inference.pixels import as_micrograph
from temzoo.inference.signals import is_signal


class Dictionary(dict):
    """As HyperSpy's trees of metadata and managers of axes."""

    def as_dictionary(self):
        return dict(self)


def axis(size, name="", **more):
    return {"size": size, "name": name, "scale": 1.0, "offset": 0.0, "navigate": False, **more}


def signal(data, *axes, title="grid 3"):
    manager = Dictionary({f"axis-{n}": each for n, each in enumerate(axes)})
    metadata = Dictionary({"General": {"title": title}})
    return SimpleNamespace(data=data, axes_manager=manager, metadata=metadata)


def image():
    """Two bright squares, of 36 and 64 px."""
    pixels = np.zeros((32, 48), np.uint8)
    pixels[4:10, 5:11] = pixels[20:28, 30:38] = 1
    return pixels


def bright(batch):
    return np.eye(2, dtype=np.float32)[np.asarray(batch)[..., 0].astype(int)]


ROWS = axis(32, "y", scale=0.25e-3, units="µm")
COLUMNS = axis(48, "x", scale=0.5, units="nm", offset=7.0)
TIMES = axis(3, "t", scale=2.0, units="s", navigate=True)


def stack():
    return signal(np.stack([image(), 0 * image(), image()[::-1]]), TIMES, ROWS, COLUMNS)


def test_an_image_is_predicted_with_its_calibration_and_title():
    found = temzoo.predict(bright, signal(image(), ROWS, COLUMNS))
    assert found.nm_per_pixel == (0.25, 0.5)
    assert found.name == "grid 3"
    expected = temzoo.predict(bright, image())
    np.testing.assert_array_equal(found.instances, expected.instances)


def test_a_dictionary_as_rosettasciio_reads_it_is_a_signal():
    read = {"data": image(), "axes": [ROWS, COLUMNS], "metadata": {}}
    assert is_signal(read)
    assert temzoo.predict(bright, read).nm_per_pixel == (0.25, 0.5)
    assert not is_signal(image())


def test_a_stack_is_predicted_image_by_image_and_tells_how_far_it_is():
    told = []
    found = temzoo.predict(bright, stack(), progress=lambda share, words: told.append(share))
    assert [int(each.instances.max()) for each in found] == [2, 0, 2]
    assert [each.name for each in found] == ["grid 3_0", "grid 3_1", "grid 3_2"]
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
    assert len(told) >= 3


def test_the_axis_of_navigation_may_come_last_in_the_array():
    turned = signal(np.moveaxis(stack().data, 0, -1), ROWS, COLUMNS, TIMES)
    found = temzoo.predict(bright, turned)
    made = temzoo.signal_of(found, turned)
    assert made["data"].shape == (3, 32, 48)
    assert [each["name"] for each in made["axes"]] == ["t", "y", "x"]
    np.testing.assert_array_equal(made["data"][2] > 0, image()[::-1] > 0)


def test_lazy_pixels_and_colours_are_taken():
    da = pytest.importorskip("dask.array")
    lazy = signal(da.from_array(stack().data, chunks=(1, 32, 48)), TIMES, ROWS, COLUMNS)
    assert [int(each.instances.max()) for each in temzoo.predict(bright, lazy)] == [2, 0, 2]
    colours = np.zeros((32, 48), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"] = image()
    assert as_micrograph(signal(colours, ROWS, COLUMNS)).pixels.shape == (32, 48, 3)


def test_signal_of_gives_labels_with_the_axes_of_the_signal():
    given = stack()
    made = temzoo.signal_of(temzoo.predict(bright, given), given)
    assert made["axes"] == [TIMES, ROWS, COLUMNS]
    assert made["metadata"]["General"]["title"] == "Instances of grid 3"
    assert (made["data"].dtype, made["data"].max()) == (np.int32, 2)
    classes = temzoo.signal_of(temzoo.predict(bright, given), given, classes=True)
    assert classes["data"].max() == 1
    assert classes["metadata"]["General"]["title"] == "Classes of grid 3"


def test_signal_of_has_axes_in_nm_or_px_without_a_signal():
    found = temzoo.predict(bright, signal(image(), ROWS, COLUMNS))
    axes = temzoo.signal_of([found, found])["axes"]
    assert [each["navigate"] for each in axes] == [True, False, False]
    assert [(each["scale"], each["units"]) for each in axes[1:]] == [(0.25, "nm"), (0.5, "nm")]
    made = temzoo.signal_of(temzoo.predict(bright, image()))
    assert [each["units"] for each in made["axes"]] == ["px", "px"]
    assert as_micrograph(made).nm_per_pixel is None


def test_rosettasciio_writes_what_signal_of_gives(tmp_path):
    module = pytest.importorskip("rsciio.tiff")
    given = signal(image(), ROWS, COLUMNS)
    made = temzoo.signal_of(temzoo.predict(bright, given), given)
    path = str(tmp_path / "labels.tif")
    module.file_writer(path, made)
    (again,) = module.file_reader(path)
    np.testing.assert_array_equal(again["data"], made["data"])
    assert as_micrograph(again).nm_per_pixel == pytest.approx((0.25, 0.5))


def test_signals_that_are_no_images_are_refused():
    spectra = signal(image(), {**ROWS, "navigate": True}, COLUMNS)
    with pytest.raises(ValueError, match=r"with 1 navigation and 1 signal axes\. Use signal\.tran"):
        temzoo.predict(bright, spectra)
    with pytest.raises(ValueError, match=r"a stack of 3\. Pass one of them, signal\.inav\[0\]"):
        as_micrograph(stack())
    uneven = {key: value for key, value in COLUMNS.items() if key != "scale"}
    with pytest.raises(ValueError, match=r"evenly spaced.*convert_to_uniform_axis"):
        temzoo.predict(bright, signal(image(), ROWS, uneven))


def test_reciprocal_axes_are_told_and_give_no_calibration():
    pattern = signal(image(), {**ROWS, "units": "1/nm"}, {**COLUMNS, "units": "1/nm"})
    with pytest.warns(UserWarning, match=r"no size of a pixel in nm: units of 1/nm"):
        assert as_micrograph(pattern).nm_per_pixel is None


def test_signal_of_refuses_what_does_not_belong_together():
    small, large = (temzoo.predict(bright, image()[:rows]) for rows in (20, 32))
    with pytest.raises(ValueError, match=r"one size.*\(20, 48\) and \(32, 48\)\. Make one of each"):
        temzoo.signal_of([small, large])
    with pytest.raises(ValueError, match=r"Received: predictions of no image"):
        temzoo.signal_of([])
    with pytest.raises(ValueError, match=r"shape \(20, 48\) for a signal of shape \(32, 48\)"):
        temzoo.signal_of(small, signal(image(), ROWS, COLUMNS))


def test_signals_of_hyperspy_itself(tmp_path):
    signals = pytest.importorskip("hyperspy.api").signals
    given = signals.Signal2D(**temzoo.signal_of([temzoo.predict(bright, image())] * 2))
    given.axes_manager.signal_axes[0].scale = 0.5
    for one in given.axes_manager.signal_axes:
        one.units = "nm"
    found = temzoo.predict(bright, signals.Signal2D((given.data > 0).astype(np.uint8)))
    assert [int(each.instances.max()) for each in found] == [2, 2]
    made = signals.Signal2D(**temzoo.signal_of(found, given))
    assert made.axes_manager.navigation_size == 2
    assert as_micrograph(made.inav[0]).nm_per_pixel == (1.0, 0.5)
    made.save(tmp_path / "labels.hspy")
