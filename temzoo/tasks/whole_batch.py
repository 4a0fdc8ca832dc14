"""Sums over a batch that several devices share.

Under JAX, and on one device, a sum over the rows is that of the batch already. A strategy of
tf.distribute gives each device a part, and adds up the gradients of what all of them answer.
"""

from __future__ import annotations

import keras


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
