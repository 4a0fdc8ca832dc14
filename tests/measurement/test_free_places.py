"""Particles in a field with holes: how often each counts, and what of it is covered area."""

import numpy as np
import pytest

import temzoo
from temzoo.core.types import Prediction
from temzoo.inference.left_out import leave_out
from temzoo.measurement.free_places import free_weights
from temzoo.measurement.volumes import per_volume

SHAPE = 40, 50
HOLES = ((30, 20, 34, 45), (3, 2, 9, 8), (32, 40, 38, 48), (38, 0, 40, 50))


def one(top, left, height, width, name="a.png"):
    instances = np.zeros(SHAPE, np.int32)
    instances[top : top + height, left : left + width] = 1
    return Prediction(instances.astype(np.uint8), instances, name=name)


@pytest.mark.parametrize("holes", [(), HOLES[:1], HOLES[3:], HOLES])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (20, 3)])
def test_a_weight_is_the_field_by_the_places_where_the_border_touches_nothing(holes, size):
    field = leave_out(one(0, 0, 1, 1), holes).field
    # With a pixel around it, it lies in the field.
    around = np.lib.stride_tricks.sliding_window_view(field, (size[0] + 2, size[1] + 2))
    free = np.count_nonzero(around.all(axis=(2, 3)))
    boxes = np.array([(0, 0, *size)], np.int64)
    assert free_weights(boxes, SHAPE, holes)[0] == pytest.approx(field.sum() / free)


def test_free_particles_have_their_weight_and_count_by_it():
    found = leave_out(one(12, 20, 5, 9), HOLES)
    table = temzoo.measure(found)
    assert not table["touches_border"].any()
    weight = free_weights(np.array([(12, 20, 17, 29)]), SHAPE, HOLES)[0]
    assert table["border_weight"].tolist() == [pytest.approx(weight)]
    density = temzoo.summarize(table)["density_per_px2"][0]
    assert density == pytest.approx(weight / found.field.sum())
    foil = per_volume(temzoo.measure(found, nm_per_pixel=2.0), thickness_nm=10)
    assert foil["number_per_m3"][0] == pytest.approx(density / 4 / 10 * 1e27)


def test_what_a_scale_bar_hides_of_a_particle_covers_no_field():
    found = leave_out(one(28, 10, 10, 15), HOLES[:1])  # 4 x 5 of its 150 px are hidden
    table = temzoo.measure(found)
    assert table["share_in_field"].tolist() == [pytest.approx(130 / 150)]
    assert table["area_px2"].tolist() == [150]
    assert np.isnan(table["border_weight"]).all()
    row = temzoo.summarize(table).iloc[0]
    assert row["coverage"] == pytest.approx(130 / (2000 - 100))
    assert found.covered_share == pytest.approx(130 / (2000 - 100))
    # None lies free, so that nobody knows how many more there may be.
    assert row["density_per_px2"] == 0
    assert np.isnan(row["density_per_px2_high"])


def test_a_table_of_an_older_release_is_weighted_by_its_frame_alone():
    table = temzoo.measure(leave_out(one(10, 10, 5, 5), HOLES[:1]))
    old = temzoo.summarize(table.drop(columns=["border_weight", "share_in_field"])).iloc[0]
    assert old["density_per_px2"] == pytest.approx(2000 / (34 * 44) / 1900)
    assert old["coverage"] == temzoo.summarize(table)["coverage"][0]
