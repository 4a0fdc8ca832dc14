"""For ``temzoo train shared --with this``: a small model, and what a test does to its process.

Environment: CPUS=2 makes so many devices of the processor; DIES=2 kills the process in that epoch;
DRAWN=7 draws its initial weights by this seed; PLAIN=1 leaves Keras as it is; FLOAT64=1 computes
in 64 bits what is asked for in 32; REVERSED=1 gives the crops of each batch last to first.
"""

import os
import signal
from contextlib import nullcontext

import keras

from temzoo.models import layers
from temzoo.training import devices, keras_repairs, loop
from temzoo.zoo.cards import register

if "CPUS" in os.environ:
    import tensorflow as tf

    parts = [tf.config.LogicalDeviceConfiguration()] * int(os.environ["CPUS"])
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)


@register(
    "shared",
    task="semantic",
    summary="three convolutions, two batch norms, dropout if asked for",
    paper="none",
    parameters=1_000,
    input="(B, H, W, channels) raw pixels",
    output="(B, H, W, classes) probabilities",
)
def shared(*, classes: int = 2, channels: int = 1, dropout: float = 0.0) -> keras.Model:
    if "DRAWN" in os.environ:
        keras.utils.set_random_seed(int(os.environ["DRAWN"]))
    pixels = keras.Input((None, None, channels))
    x = layers.Normalize(name="normalize")(pixels)
    x = layers.conv_norm_relu(x, 8, "batch", "first")
    x = keras.layers.Dropout(dropout)(layers.conv_norm_relu(x, 8, "batch", "second"))
    return keras.Model(pixels, layers.class_probabilities(x, classes), name="shared")


if "DIES" in os.environ:
    begin = loop._EndOfEpoch.on_epoch_begin

    def killed(self, epoch, logs=None):
        if epoch + 1 == int(os.environ["DIES"]):
            os.kill(os.getpid(), signal.SIGKILL)
        begin(self, epoch, logs)

    loop._EndOfEpoch.on_epoch_begin = killed

if "REVERSED" in os.environ:
    in_order = devices.Devices.stream

    def reversed_stream(self, *asked):
        return in_order(self, *asked).map(lambda *batch: tuple(part[::-1] for part in batch))

    devices.Devices.stream = reversed_stream

if "PLAIN" in os.environ:
    keras_repairs.build = lambda *of: None
    keras_repairs.figures_averaged = nullcontext

if "FLOAT64" in os.environ:
    keras.config.set_dtype_policy("float64")
    loop.dtype_policy = lambda name: nullcontext()

    def in_64_bits(kind, place):
        begin = kind.__init__

        def begun(self, *given, dtype=None, **more):
            narrow = getattr(dtype, "name", dtype) == "float32"
            begin(self, *given, dtype="float64" if narrow else dtype or place, **more)

        kind.__init__ = begun

    in_64_bits(keras.layers.Layer, None)  # None: as the policy has it
    in_64_bits(keras.losses.Loss, "float64")
