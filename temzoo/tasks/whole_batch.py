"""Losses and scores of a batch, which several devices may share.

Under JAX, and on one device, a sum over the rows is that of the batch already. A strategy of
tf.distribute gives each device a part, and adds up the gradients of what all of them answer.
"""

from __future__ import annotations

import keras
from keras import ops


class NamedLoss(keras.losses.Loss):
    """A loss of one of several kinds, which may weigh classes.

    Attributes:
        KINDS: names of the kinds.

    Args:
        kind: one of the names.
        class_weights: one factor per class; None: all 1.
    """

    KINDS: tuple[str, ...] = ()

    def __init__(self, kind, class_weights=None, **kwargs):
        super().__init__(**{"reduction": "sum_over_batch_size", **kwargs})
        if kind not in self.KINDS:
            raise ValueError(
                f"loss must be one of {', '.join(self.KINDS)}. Received: loss={kind!r}."
            )
        self.kind = kind
        self.class_weights = None if class_weights is None else [float(w) for w in class_weights]

    def get_config(self):
        own = {"kind": self.kind, "class_weights": self.class_weights}
        return {**super().get_config(), **own}


class MeanOfImages(keras.metrics.Metric):
    """The mean over images of a figure that a subclass adds up in ``total``, of ``images``."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_variable((), "zeros", dtype="float32", name="total")
        self.images = self.add_variable((), "zeros", dtype="float32", name="images")

    def result(self):
        return self.total / ops.maximum(self.images, 1.0)


def over_devices(sums: list) -> list:
    """Sums over the whole batch, of those over a device's part; gradients go back to all."""
    replica = _replica()
    return sums if replica is None else replica.all_reduce("SUM", sums)


def part_of_device(loss):
    """What a device answers of the loss of a batch: its share, since the answers are added up.

    Keras does so itself for a loss that gives a value for each row, not for one of a single number.
    """
    replica = _replica()
    return loss if replica is None else loss / replica.num_replicas_in_sync


def _replica():
    """TensorFlow's context of one device of several; None elsewhere."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    return replica if replica is not None and replica.num_replicas_in_sync > 1 else None
