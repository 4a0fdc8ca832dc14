"""A prediction is the same for any batch, threads and process, and nearly so for any tiles.

The tolerances of the shipped weights stand here; docs/explanation/tiles.md tells them to users.
"""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import temzoo
from temzoo.data.synthetic.synthesize import synthesize

pytestmark = pytest.mark.slow

SIDE, TILE = 1024, 512
# Share of the pixels of a drawn micrograph that may change their class when it is cut into tiles
# with the overlap that they have by default: about twice what was seen.
TILES = {
    "particles/emps": 1e-3,
    "particles/emps-mobilenet": 1e-3,
    "unet/emps": 1e-5,
    "unet/emps-fast": 2e-5,
    "unet_mobilenet/emps": 7e-4,
    "unet_mobilenet/emps-frozen": 3e-4,
    "unet_mobilenet/super1": 6e-3,
}
SCRIPT = """
import hashlib, json, sys
import temzoo
from temzoo.data.synthetic.synthesize import synthesize
model = temzoo.get_model(sys.argv[1], weights=sys.argv[2])
found = temzoo.predict(model, synthesize(1, size=320)[0])
print(json.dumps([hashlib.sha256(found.classes).hexdigest(), int(found.instances.max())]))
"""


def weights_of_pixels() -> list[str]:
    shipped = [
        f"{name}/{weights}"
        for name in temzoo.list_models()
        for weights in temzoo.model_card(name).weights
    ]
    pixels = ("semantic", "distance")
    return [n for n in shipped if temzoo.model_card(n.partition("/")[0]).task in pixels]


def test_every_shipped_network_of_pixels_has_a_tolerance():
    assert weights_of_pixels() == sorted(TILES)


@pytest.mark.parametrize("name", sorted(TILES))
def test_tiles_and_batches_change_no_more_than_is_said(name):
    model_name, weights = name.split("/")
    model = temzoo.get_model(model_name, weights=weights)
    micrograph, _ = synthesize(1, size=SIDE, n_particles=60)
    ask = partial(temzoo.predict, model, micrograph, binning=1)
    whole = ask(tile=SIDE, overlap=0)
    one, four = (ask(tile=TILE, batch_size=batch) for batch in (1, 4))
    np.testing.assert_array_equal(one.classes, four.classes)
    np.testing.assert_array_equal(one.instances, four.instances)
    differ = float(np.mean(one.classes != whole.classes))
    print(f"\n{name}: {differ:.1e} of the pixels; objects {whole.instances.max()},", end=" ")
    print(f"in tiles {one.instances.max()}")
    assert differ <= TILES[name]


@pytest.mark.parametrize("name", sorted(TILES))
def test_threads_and_processes_change_nothing(name):
    def answer(threads: int) -> list:
        env = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(threads)}
        command = [sys.executable, "-c", SCRIPT, *name.split("/")]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    assert answer(1) == answer(2) == answer(2)
