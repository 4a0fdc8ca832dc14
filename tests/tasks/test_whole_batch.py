"""Sums over a batch that two devices share are those of one device, and as exact."""

import subprocess
import sys

import pytest

LOSSES = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from temzoo.tasks import distance, restoration, semantic
from temzoo.tasks.distance_graph import DistanceLoss
from temzoo.tasks.restoration_graph import RestorationLoss
from temzoo.tasks.semantic_graph import SegmentationLoss

rng, two = np.random.default_rng(0), tf.distribute.MirroredStrategy()
classes = np.eye(3, dtype="uint8")[rng.integers(3, size=(4, 8, 8))]
maps = np.concatenate([classes, rng.integers(255, size=(4, 8, 8, 2), dtype="uint8")], axis=-1)
found = rng.dirichlet(np.ones(3), (4, 8, 8)).astype("float32")
answer = np.concatenate([found, rng.random((4, 8, 8, 1), "float32")], axis=-1)
grey = [rng.random((4, 8, 8, 1), "float32") for _ in range(2)]
weight = (rng.random((4, 8, 8)) < 0.2).astype("float32")
weights = [1.0, 2.0, 3.0]
cases = [(SegmentationLoss(kind, weights), classes, found) for kind in semantic.LOSSES]
cases += [(DistanceLoss("dice_ce"), maps, answer)]
cases += [(RestorationLoss(kind), *grey, weight) for kind in restoration.LOSSES]

def slopes(loss, truth, answer, *weight):
    with tf.GradientTape() as tape:
        tape.watch(answer)
        value = loss(truth, answer, *weight)
    return value, tape.gradient(value, answer)

for loss, *arrays in cases:
    value, expected = slopes(loss, *map(tf.constant, arrays))
    parts = [
        two.experimental_distribute_values_from_function(
            lambda replica: tf.split(array, 2)[replica.replica_id_in_sync_group]
        )
        for array in arrays
    ]
    values, halves = two.run(tf.function(lambda *own: slopes(loss, *own)), args=parts)
    values, halves = map(two.experimental_local_results, (values, halves))
    np.testing.assert_allclose(sum(values), value, rtol=1e-5)
    np.testing.assert_allclose(np.concatenate(halves), expected, rtol=1e-4, atol=1e-7)
print(len(cases))
"""


@pytest.mark.slow
def test_losses_and_slopes_of_two_devices_are_those_of_one():
    command = [sys.executable, "-c", LOSSES]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    assert int(said.stdout) == 10


MOMENTS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from contextlib import nullcontext
from temzoo.training.keras_repairs import variances_centred

rng, two = np.random.default_rng(0), tf.distribute.MirroredStrategy()
pixels = (100 + rng.normal(0, 0.3, (4, 2, 2, 3))).astype("float32")  # few, far from 0
factors = rng.normal(size=pixels.shape).astype("float32")

def slopes(layer, pixels, factors):
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        answer = layer(pixels, training=True)
        total = tf.reduce_sum(answer * factors)
    return answer, tape.gradient(total, pixels)

def built(**how):
    layer = keras.layers.BatchNormalization(**how)
    layer.build(pixels.shape)
    return layer

def halves(replica):
    number = replica.replica_id_in_sync_group
    return tuple(tf.split(array, 2)[number] for array in (pixels, factors))

expected = slopes(built(), tf.constant(pixels), tf.constant(factors))
for repaired in (nullcontext, variances_centred):
    with two.scope():
        layer = built(synchronized=True)
    with repaired():
        own = two.experimental_distribute_values_from_function(halves)
        found = two.run(tf.function(lambda own: slopes(layer, *own)), args=(own,))
    found = [np.concatenate(two.experimental_local_results(each)) for each in found]
    print(*(np.abs(one - other).max() for one, other in zip(found, expected)))
"""


@pytest.mark.slow
def test_batch_norm_of_two_devices_is_as_exact_as_that_of_one():
    command = [sys.executable, "-c", MOMENTS]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    plain, ours = (tuple(map(float, line.split())) for line in said.stdout.splitlines())
    assert ours[0] < 1e-4 < 1e-3 < plain[0]  # of answers of about 1
    assert ours[1] < 1e-3 < 1e-2 < plain[1]  # of slopes up to 9
