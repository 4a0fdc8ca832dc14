"""Windows cover every pixel."""

import numpy as np
import pytest

from temzoo.data.crop_plan import windows


@pytest.mark.parametrize("height", [1, 31, 64, 65, 200])
@pytest.mark.parametrize(("window", "stride"), [(64, 64), (64, 40), (64, 1), (16, 7), (1, 1)])
def test_windows_cover_every_pixel_and_never_reach_outside(height, window, stride):
    width = 70
    covered = np.zeros((height, width), int)
    for row, col, h, w in windows(height, width, window=window, stride=stride):
        assert 0 <= row <= row + h <= height
        assert 0 <= col <= col + w <= width
        assert (h, w) == (min(window, height), min(window, width))
        covered[row : row + h, col : col + w] += 1
    assert covered.min() >= 1


def test_windows_last_one_ends_with_the_image_and_none_repeats():
    places = windows(100, 130, window=64, stride=48)
    assert places[-1] == (36, 66, 64, 64)
    assert len(set(places)) == len(places) == 2 * 3


def test_windows_without_overlap_tile_a_multiple_exactly():
    assert windows(4, 4, window=2) == [(0, 0, 2, 2), (0, 2, 2, 2), (2, 0, 2, 2), (2, 2, 2, 2)]


def test_image_smaller_than_the_window_gives_one_of_its_own_size():
    assert windows(30, 50, window=64, stride=32) == [(0, 0, 30, 50)]


def test_wrong_window_or_stride_say_what_to_use():
    with pytest.raises(ValueError, match=r"at least 1 pixel. Received: window=0. Use 256"):
        windows(10, 10, window=0)
    with pytest.raises(ValueError, match=r"would be skipped. Received: stride=9, window=8. Use 8"):
        windows(10, 10, window=8, stride=9)
    with pytest.raises(ValueError, match="Received: stride=0, window=8"):
        windows(10, 10, window=8, stride=0)
