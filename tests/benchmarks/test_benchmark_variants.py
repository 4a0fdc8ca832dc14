import numpy as np
import pytest

from benchmarks.variants import COMBINED, figures, variants


def _threshold(pixels, flips=False):
    """Bright is a particle; flips change nothing of a network that looks at single pixels."""
    return (pixels > 100).astype("float32")


def test_variants_come_back_in_the_pixels_of_the_micrograph():
    pixels = np.zeros((60, 80), np.uint8)
    pixels[10:40, 20:60] = 200
    found = variants(_threshold, pixels)
    assert {maps.shape for maps in found.values()} == {(60, 80)}
    np.testing.assert_array_equal(found["exchanged"], 1 - found["as it is"])
    assert np.abs(found["0.5 times"] - found["as it is"]).mean() < 0.05


def test_figures_of_a_case_that_can_be_counted():
    truth = np.zeros((4, 4), bool)
    truth[:2] = True
    half = np.zeros((4, 4), np.float32)
    half[0] = 1
    maps = {name: half for parts in COMBINED.values() for name in parts}
    maps["as it is"] = truth.astype(np.float32)
    found = figures([maps], [truth])
    assert found["as it is"] == found["best"] == 1
    assert found["mirrored"] == pytest.approx(0.5)
    assert found["mean of: mirrored"] == pytest.approx(0.5)  # 0.5 is not above the threshold
