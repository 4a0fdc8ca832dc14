"""Shipped weights that find objects find none where there is nothing."""

import numpy as np
import pytest

import temzoo

SIZES = (64, 64), (200, 333)


def blank(size, rng):
    return np.full(size, 128, np.uint8)


def shot_noise(size, rng):
    return rng.poisson(60, size).astype(np.uint8)


def white_noise(size, rng):
    return np.clip(rng.normal(128, 20, size), 0, 255).astype(np.uint8)


def slope(size, rng):
    """A foil that grows thicker from left to right, with noise."""
    return np.clip(90 + np.linspace(0, 60, size[1]) + rng.normal(0, 8, size), 0, 255).astype(
        "uint8"
    )


@pytest.mark.parametrize("weights", ["particles/emps", "mask_rcnn/emps"])
def test_no_object_is_found_in_an_empty_field(weights):
    name, _, which = weights.partition("/")
    model = temzoo.get_model(name, weights=which, compile=False)
    rng = np.random.default_rng(0)
    for size in SIZES:
        # A slope across 64 px looks like the flank of one large object.
        fields = (blank, shot_noise, white_noise) + ((slope,) if min(size) > 64 else ())
        for field in fields:
            found = temzoo.predict(model, field(size, rng))
            assert found.instances.max() == 0, (field.__name__, size)
