"""Predicts the images of a job on a Ray cluster (``temzoo[ray]``), which may lose machines.

Every machine sees the micrographs and the folder of the results under the same paths, as on a
shared disk. A worker keeps one model and does to an image what a job on one machine does: the same
files, the sidecar last. It measures the particles too, particles/STEM_nm.parquet or _px.parquet;
when all are done, one table of each unit is made of them, in the order of the images, without ever
holding it whole; and one of what became of each image. What travels between machines are paths and
numbers, never pixels.

Source: https://docs.ray.io/en/latest/data/data.html. Tried with Ray 2.60: a function that raises
ends the whole job, so a worker returns what went wrong as data; the order is lost, so each image
carries its number; workers that ask for whole processors can leave none for Ray's own tasks.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temzoo.core.files import atomic_path
from temzoo.store import particle_tables
from temzoo.store.particle_tables import PARTS, UNITS, ImageTable
from temzoo.store.sidecar import sidecar_path
from temzoo.workflows.prediction_job import Image, Job, Row, predict_images, shown
from temzoo.zoo import plugins

if TYPE_CHECKING:
    from temzoo.workflows.predict_folder import LazyModel

# Of a worker: a little below one processor, so that some is left for Ray's own tasks; and memory,
# of which TensorFlow with a shipped network takes 1.2 GB.
PROCESSORS, MEMORY = 0.9, 1.5e9
# Of images that are handed out, and done again where a machine goes away, together.
MOST_BLOCKS = 5_000
CONNECT_S = 5.0
# Where Ray notes the cluster of a machine, before /tmp.
TEMPORARY = ("RAY_TMPDIR", "TMPDIR") if sys.platform.startswith("linux") else ("RAY_TMPDIR",)
HANDED_ON = ("KERAS_HOME", "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL")


def predict_on_cluster(
    images: Sequence[Image], job: Job, model: LazyModel, address: str
) -> list[Row]:
    """A row for each image, in their order, when all have been predicted, written and measured.

    Args:
        images: micrographs that every machine of the cluster can read.
        job: what is done to each.
        model: built once by each worker.
        address: "auto": the cluster that runs on this machine, else one of this machine alone; or
            HOST:PORT of a cluster, or ray://HOST:10001.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ConnectionError: there is no cluster at the address.
    """
    rows: dict[int, Row] = {}
    with _connected(address) as ray, shown(images, job) as advance:
        for answer in _answers(ray, images, job, model):
            row = Row(**json.loads(answer["row"]))
            rows[int(answer["number"])] = row
            for line in json.loads(answer["said"]):
                job.say(line)
            advance()
    return [rows[number] for number in range(len(images))]


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster for as long as the job takes."""
    # Else its errors are of how Ray Data starts its own workers.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray.data
    except ImportError as error:
        raise ModuleNotFoundError(
            f'A cluster needs Ray. Received: {error}. Type: pip install "temzoo[ray]"'
        ) from error
    theirs = ray.is_initialized()
    if not theirs:
        where = _reachable(address)
        handed = {name: os.environ[name] for name in HANDED_ON if name in os.environ}
        how = {"log_to_driver": False, "logging_level": "ERROR"}
        ray.init(where, runtime_env={"env_vars": handed}, **how)
    try:
        yield ray
    finally:
        if not theirs:
            ray.shutdown()


def _reachable(address: str) -> str:
    """The address for ``ray.init``, which would wait without end for a cluster that is gone.

    Raises:
        ConnectionError: nothing answers at an address that is given.
    """
    if address != "auto":
        if not _answers_at(address.removeprefix("ray://")):
            raise ConnectionError(
                f"There must be a Ray cluster. Received: {address}, where nothing answers. Start"
                " one with `ray start --head`, or give --cluster auto."
            )
        return address
    temporary = (os.environ.get(name) for name in TEMPORARY)
    noted = Path(next(filter(None, temporary), "/tmp"), "ray", "ray_current_cluster")
    current = os.environ.get("RAY_ADDRESS") or (noted.read_text() if noted.is_file() else "")
    return current if _answers_at(current) else "local"


def _answers_at(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CONNECT_S):
            return bool(host)
    except (OSError, ValueError):
        return False


def _answers(
    ray: Any, images: Sequence[Image], job: Job, model: LazyModel
) -> Iterator[Mapping[str, Any]]:
    """What the workers tell of each image, as they come."""
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    items = [
        {"number": number, "image": json.dumps(asdict(image), default=str)}
        for number, image in enumerate(images)
    ]
    cores, graphics = (ray.cluster_resources().get(kind, 0) for kind in ("CPU", "GPU"))
    most = int(graphics or cores) or 1
    quiet = replace(job, alone=False, say=str, progress=False)
    blocks = min(len(items), MOST_BLOCKS)
    dataset = ray.data.from_items(items, override_num_blocks=blocks).map(
        Worker,
        fn_constructor_args=(quiet, model, os.getcwd(), plugins.loaded_files()),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, len(items))),
        num_cpus=PROCESSORS,
        num_gpus=1 if graphics else None,
        memory=MEMORY,
    )
    return dataset.iter_rows()


class Worker:
    """One model, on one machine, that predicts and measures image after image.

    Args:
        job, model: as ``predict_on_cluster`` has them.
        folder: that relative paths are of.
        files: that registered models of one's own.
    """

    def __init__(self, job: Job, model: LazyModel, folder: str, files: Sequence[str]):
        os.chdir(folder)
        for file in files:
            plugins.load_file(file)
        self.job, self.model = job, model.find()

    def __call__(self, item: Mapping[str, Any]) -> dict[str, Any]:
        image = Image(**json.loads(item["image"]))
        image, said = replace(image, path=Path(image.path)), []
        try:
            with self._folder() as out:
                job = replace(self.job, out=out, place=None, say=said.append)
                (row,) = predict_images([image], job, self.model)
                if row.status != "failed":
                    self._put(image, write_particles(image, out), out)
        except Exception as error:  # of a server, or a disk: the others may fare better
            row = Row(image.name, "failed", message=" ".join(str(error).split()))
        told = json.dumps(asdict(row), default=float)
        return {"number": item["number"], "row": told, "said": json.dumps(said)}

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """The folder of the results; where they go elsewhere, one of this machine and image."""
        if self.job.place is None:
            yield self.job.out
            return
        with tempfile.TemporaryDirectory(prefix="temzoo-") as folder:
            yield Path(folder)

    def _put(self, image: Image, table: Path, out: Path) -> None:
        if self.job.place is None:
            return
        for unit in UNITS:
            other = particle_tables.path_of(sidecar_path(out, image.own_name), unit)
            if other != table:
                self.job.place.remove(f"{PARTS}/{other.name}")
        self.job.place.put_image(image.own_name, out, [table])


def write_particles(image: Image, out: Path) -> Path:
    """Writes the table of an image's particles, a row each, as ``temzoo.measure`` gives it."""
    from temzoo.workflows.measure_folder import measure_folder  # brings pandas

    sidecar = sidecar_path(out, image.own_name)
    ((unit, measured),) = measure_folder([sidecar]).by_unit.items()
    ((_, frame),) = measured.frames.items()
    return particle_tables.write(sidecar, ImageTable(measured.table, unit, frame))


def write_tables(images: Sequence[Image], out: Path) -> list[Path]:
    """One table of the particles of all images for each unit: OUT/particles_nm.parquet, …_px.

    It is made table by table, in the order of the images.

    Returns:
        what was written: nothing of a unit that no image has.
    """
    written = []
    sidecars = [sidecar_path(out, image.own_name) for image in images]
    for unit in UNITS:
        paths = [particle_tables.path_of(sidecar, unit) for sidecar in sidecars]
        parts = [path for path in paths if path.is_file()]
        if parts:
            written.append(out / f"{PARTS}_{unit}.parquet")
            particle_tables.join(parts, written[-1])
    return written


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Writes what became of each image as Parquet, a row each; what is not known is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"str": pa.string(), "int | None": pa.int64(), "float | None": pa.float64()}
    schema = pa.schema([(column.name, kinds[str(column.type)]) for column in fields(Row)])
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist([vars(row) for row in rows], schema), temporary)
