"""The devices that a run computes on: one, several of a machine, or those of several machines.

Each device takes an equal part of every batch; gradients, batch statistics and the Dice of a batch
are those of the whole batch, so a run learns what it would learn on one device. TensorFlow does it
by a strategy of tf.distribute, JAX by ``keras.distribution.DataParallel``. Validation is computed
on one device, since its micrographs have sizes of their own.

Where several processes train together, the first is the chief, who alone writes the run folder. The
others run the same program in temporary folders, with the chief's validation figures, so that all
stop at the same epoch.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from temzoo.core.files import own_folder
from temzoo.core.hints import require_choice
from temzoo.core.types import Example
from temzoo.models.layers import require_tensorflow
from temzoo.tasks.training_data import TrainingData
from temzoo.training import keras_repairs
from temzoo.training.run_folder import fingerprint
from temzoo.zoo.built import built, task_of

STRATEGIES = ("mirrored", "multiworker")
# A job's processes on one machine take the ports from here on; two jobs may meet there.
SLURM_PORTS = 20_000


class Devices:
    """One device: what a run computes on unless it is told otherwise.

    Attributes:
        count: of devices, of all processes together.
        processes: that train together.
        chief: whether this process writes the run.
    """

    count, processes, chief = 1, 1, True

    def check(self, model: keras.Model, batch: int) -> None:
        """Raises ValueError where a model, or so many crops in a batch, cannot be shared."""
        if batch % self.count:
            raise ValueError(
                f"batch must be a multiple of the {self.count} devices that share it. Received:"
                f" batch={batch}. Use {max(1, round(batch / self.count)) * self.count}."
            )

    @contextmanager
    def folder(self, out: Path, resume: bool) -> Iterator[Path]:
        """The folder that this process writes the run into."""
        with own_folder(out):
            yield out

    def building(self) -> AbstractContextManager:
        """Inside, a model of these devices is built and compiled."""
        return nullcontext()

    def fitting(self) -> AbstractContextManager:
        """Inside, it is trained."""
        return nullcontext()

    def alone(self) -> AbstractContextManager:
        """Inside ``fitting``: here a model of one device is asked."""
        return nullcontext()

    def prepare(self, twin: keras.Model) -> None:
        """Tells a new model, before it is compiled, that its batches are shared."""

    def stream(
        self, twin: keras.Model, data: TrainingData, batch: int, start: int, failures
    ) -> Any:
        """What ``fit`` of a compiled model takes: ``data.training`` for these devices."""
        return data.training(start, failures)

    def begin_alike(self, model: keras.Model, examples: Sequence[Example]) -> None:
        """Gives a model the weights that it has in the chief's process.

        Raises:
            ValueError: the chief has other examples.
        """

    def agreed(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The chief's figures, which all processes ask for at the same time."""
        return dict(figures)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Inside, the loss of another process is told as what it is."""
        yield

    def told(self) -> dict[str, Any]:
        """For ``run.json``."""
        return {"strategy": None, "count": self.count, "processes": self.processes}


class Replicas(Devices):
    """Devices of a strategy of tf.distribute, each with a copy of the weights."""

    def __init__(self, strategy: Any):
        keras_repairs.check_version()
        self.strategy, self.count = strategy, strategy.num_replicas_in_sync
        cluster = strategy.cluster_resolver
        if cluster is not None:
            jobs = cluster.cluster_spec().as_dict()
            self.processes = sum(map(len, jobs.values()))
            first = "chief" if "chief" in jobs else "worker"
            self.chief = (cluster.task_type, cluster.task_id) == (first, 0)

    def check(self, model, batch):
        super().check(model, batch)
        if self.count > 1 and not task_of(model).losses:
            raise ValueError(
                "Several devices of TensorFlow train models whose loss temzoo shares between them."
                f" Received: {built(model).name}, whose loss is its own. Train it on one device."
            )

    @contextmanager
    def folder(self, out, resume):
        if self.chief:
            with super().folder(out, resume) as folder:
                self.agreed({})  # nothing is written before the others have read the run
                yield folder
            return
        with tempfile.TemporaryDirectory(prefix="temzoo-worker-") as temporary:
            folder = Path(temporary) / "run"
            if resume:
                shutil.copytree(out, folder, ignore=shutil.ignore_patterns("tensorboard", ".*"))
            folder.mkdir(exist_ok=True)
            self.agreed({})
            yield folder

    def building(self):
        return self.strategy.scope()

    @contextmanager
    def fitting(self):
        with keras_repairs.figures_averaged(), keras_repairs.variances_centred():
            yield

    def prepare(self, twin):
        for layer in twin._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True

    def stream(self, twin, data, batch, start, failures):
        specs = []

        def of_process(context):
            own = (context.input_pipeline_id, context.num_input_pipelines)
            data.read_share(*own, devices=self.count)
            found = data.training(start, failures)
            specs.append(found.element_spec)
            check_rows(found.element_spec, batch, self.count)
            return found

        stream = self.strategy.distribute_datasets_from_function(of_process)
        keras_repairs.build(twin, self.strategy, specs[0])
        return stream

    def begin_alike(self, model, examples):
        import tensorflow as tf

        if self.processes == 1:
            return
        data = {"data": float(int(fingerprint(examples)[:12], 16))}  # of 48 bits, held exactly
        if self.agreed(data) != data:
            raise ValueError(
                "All processes of a run train on the same images and labels. Received: others than"
                " the first process has. Give all machines the same files and options."
            )
        own = model.get_weights()
        flat = np.concatenate([each.ravel() for each in own], dtype=np.float64)
        flat = self._of_chief(tf.constant(flat)).numpy()
        parts = np.split(flat, np.cumsum([each.size for each in own])[:-1])
        # 64 bits hold each exactly, and a model casts to its own types.
        model.set_weights([new.reshape(old.shape) for new, old in zip(parts, own, strict=True)])

    def agreed(self, figures):
        import tensorflow as tf

        if self.processes == 1:
            return dict(figures)
        found = self._of_chief(tf.constant([0.0, *figures.values()], tf.float64))
        return dict(zip(figures, found.numpy()[1:].tolist(), strict=True))

    @cached_property
    def _of_chief(self) -> Callable[[Any], Any]:
        """A vector to the chief's, traced once for each length."""
        import tensorflow as tf

        def on_device(values):
            replica = tf.distribute.get_replica_context()
            first = tf.equal(replica.replica_id_in_sync_group, 0)
            return replica.all_reduce("SUM", tf.where(first, values, tf.zeros_like(values)))

        def on_all(values):
            found = self.strategy.run(on_device, args=(values,))
            return self.strategy.experimental_local_results(found)[0]

        return tf.function(on_all, autograph=False)

    @contextmanager
    def watched(self):
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError as error:
            if self.processes == 1 or "ollective" not in str(error):
                raise
            raise RuntimeError(
                f"All {self.processes} processes of a run are needed. Received: the loss of one,"
                " and this one has stopped too. Start all of them again with --resume"
                " (resume=True): they go on after the last whole epoch."
            ) from error

    def told(self):
        return {**super().told(), "strategy": type(self.strategy).__name__}


def check_rows(spec: Any, batch: int, devices: int) -> None:
    """Raises ValueError where a stream's batches are not the part of a device.

    Args:
        spec: of a batch; sizes that are not known before are not checked.
    """
    rows = keras.tree.flatten(spec)[0].shape[0]
    if rows not in (None, batch // devices):
        raise ValueError(
            "training_data of a task gives each device its part of a batch."
            f" Received: batches of {rows} for batch={batch} and {devices} devices. Pass"
            " share=self.share on to the stream in its training, or train on one device."
        )


class Sharded(Devices):
    """Devices of Keras' own distribution, among which JAX shares the rows of each batch."""

    def __init__(self, distribution: Any):
        self.distribution = distribution
        self.count = distribution.device_mesh.devices.size

    def building(self):
        return self.distribution.scope()

    fitting = building

    @contextmanager
    def alone(self):
        keras.distribution.set_distribution(None)
        try:
            yield
        finally:
            keras.distribution.set_distribution(self.distribution)

    def told(self):
        return {**super().told(), "strategy": type(self.distribution).__name__}


def devices_of(strategy: Any) -> Devices:
    """The devices of a strategy.

    Args:
        strategy: as ``opened`` takes it, or None for one device.

    Raises:
        ValueError, RuntimeError: as of ``opened``.
    """
    found = opened(strategy)
    if found is None:
        return Devices()
    sharded = isinstance(found, keras.distribution.DataParallel)
    return Sharded(found) if sharded else Replicas(found)


def opened(strategy: Any) -> Any:
    """A strategy by its name.

    Args:
        strategy: "mirrored" for all GPUs of this machine, or all devices under JAX; "multiworker"
            for those of the machines that ``TF_CONFIG`` names, or of SLURM's job; or a
            strategy of tf.distribute or a ``keras.distribution.DataParallel``, given back as it is.

    Raises:
        ValueError: another name; "multiworker" without a cluster.
        RuntimeError: "multiworker" under JAX, or after TensorFlow has computed something.
    """
    if not isinstance(strategy, str):
        return strategy
    require_choice("strategy", strategy, STRATEGIES)
    if strategy == "mirrored" and keras.backend.backend() == "jax":
        return keras.distribution.DataParallel(devices=keras.distribution.list_devices())
    require_tensorflow(f'strategy "{strategy}"')
    return _mirrored() if strategy == "mirrored" else _multiworker()


@cache
def _mirrored() -> Any:
    """One a process: the sums of a second one would be taken for those of the first."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy()


def _multiworker() -> Any:
    import tensorflow as tf

    cluster = _cluster()
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster)
    except RuntimeError as error:
        raise RuntimeError(
            'strategy "multiworker" must be made before TensorFlow computes anything. Received:'
            f" {error} Make it first, strategy = tf.distribute.MultiWorkerMirroredStrategy(), and"
            " pass it on as strategy=strategy."
        ) from error


def _cluster() -> Any:
    """The machines that train together, as TensorFlow's cluster resolver."""
    import tensorflow as tf

    cluster_resolver = tf.distribute.cluster_resolver

    if "TF_CONFIG" in os.environ:
        return _of_environment(cluster_resolver.TFConfigClusterResolver)
    if "SLURM_PROCID" in os.environ:
        # It counts ports along with GPUs, and fails where there are none; SLURM gives out the GPUs.
        ports = SLURM_PORTS + int(os.environ.get("SLURM_JOB_ID", 0)) % 10_000
        gpus = {"gpus_per_node": 1_000, "gpus_per_task": 1, "auto_set_gpu": False}
        return cluster_resolver.SlurmClusterResolver(port_base=ports, **gpus)
    raise ValueError(
        'strategy "multiworker" needs to know the machines. Received: neither TF_CONFIG nor a job'
        " of SLURM. docs/how-to/several-devices.md shows both."
    )


def _of_environment(resolver: Callable[[], Any]) -> Any:
    try:
        json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            'TF_CONFIG must be like {"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task":'
            f' {{"type": "worker", "index": 0}}}}. Received: {os.environ["TF_CONFIG"][:200]}'
            f" ({type(error).__name__}: {error})."
        ) from None
    return resolver()
