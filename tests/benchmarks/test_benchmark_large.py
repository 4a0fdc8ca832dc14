"""What large frames cost: rows of a tiny network, and what cards say of sides has a record."""

import numpy as np
import pytest
from shipped_cards import saying

import temzoo
from benchmarks import large
from benchmarks.datasets import synthetic
from benchmarks.records import kept
from temzoo.core.types import Micrograph, Prediction


def test_micrographs_are_enlarged_and_what_is_found_is_taken_back():
    drawn = synthetic(train=1, val=2, size=64).val
    model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    whole, auto = large.rows(model, drawn, 2)
    assert (whole["binning"], auto["binning"]) == ("1", "auto")
    assert whole["seen"] == auto["seen"] == "2 at 1"  # no card says what an untrained one knows
    assert whole["iou"] == auto["iou"]
    first = Micrograph(np.arange(64, dtype=np.float32).reshape(8, 8))
    assert large.enlarged(first, 1, 0) is first
    found = Prediction(*(large.enlarged(first, 4, 0).pixels for _ in range(2)))
    assert large.taken_back(found, 4).classes == pytest.approx(first.pixels, abs=15)


@pytest.mark.parametrize("weights", saying("side"))
def test_binning_helps_the_weights_whose_card_asks_for_it(weights):
    (record,) = (r for r in kept() if r["what"] == "large" and r["model"] == weights)
    rows = record["figures"]["rows"]
    f1 = [row["instance_f1"]["value"] for row in rows]
    gains = [auto - whole for whole, auto in zip(f1[::2], f1[1::2], strict=True)]
    assert min(gains) > -0.002
    assert gains[-1] > 0.1
    assert min(f1[1::2]) > max(f1) - 0.03  # as good as in the published size
