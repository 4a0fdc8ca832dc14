"""What noise costs: rows of a tiny network, and what cards say of noise has a record."""

import pytest
from shipped_cards import saying

import temzoo
from benchmarks import noise
from benchmarks.datasets import synthetic
from benchmarks.records import kept


def test_noise_is_added_found_and_smoothed():
    drawn = synthetic(train=1, val=2, size=64).val
    model = temzoo.get_model("unet", filters=2, depth=1, compile=False)
    (clean, _), (off, auto) = (noise.rows(model, drawn, added) for added in (0, 2.0))
    assert clean["noise"] < off["noise"] == auto["noise"]
    assert off["smoothed"] == auto["smoothed"] == 0  # no card says what an untrained one bears
    assert {"iou", "instance_f1", "panoptic_quality"} <= auto.keys()
    first = drawn[0].micrograph
    assert noise.noisier(first, 2.0, 0).pixels.std() > 2 * first.pixels.std()


@pytest.mark.parametrize("weights", saying("noise"))
def test_smoothing_helps_the_weights_whose_card_asks_for_it(weights):
    records = [r for r in kept() if r["what"] == "noise" and r["model"] == weights]
    (record,) = (r for r in records if r["dataset"]["name"] == "emps")
    pairs = list(zip(record["figures"]["rows"][::2], record["figures"]["rows"][1::2], strict=True))
    gains = [auto["instance_f1"]["value"] - off["instance_f1"]["value"] for off, auto in pairs]
    assert min(gains) > -0.002
    assert gains[-1] > 0.1
