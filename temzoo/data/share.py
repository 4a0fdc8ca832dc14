"""Which elements of a training stream a process reads, where several share each batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    # At work it is imported inside the streams: particles are cut without it.
    import tensorflow as tf


@dataclass(frozen=True)
class Share:
    """A process's part of each batch; the parts of all processes are the batch of one device.

    Attributes:
        process, processes: this one, from 0, of so many, which read equal parts.
        devices: of all processes together; each takes an equal part.
    """

    process: int = 0
    processes: int = 1
    devices: int = 1

    def rows(self, batch: int) -> int:
        """What one device takes of a batch."""
        return batch // self.devices

    def numbers(self, start: int, batch: int) -> tf.data.Dataset:
        """The numbers of this process's elements from ``start`` on, endless and in order."""
        import tensorflow as tf

        if self.processes == 1:
            return tf.data.Dataset.range(start, np.iinfo(np.int64).max)
        own = batch // self.processes
        first = start + self.process * own
        own_numbers = tf.data.Dataset.range(np.iinfo(np.int64).max // (2 * self.processes))
        return own_numbers.map(lambda n: first + n // own * batch + n % own)


ALL = Share()
