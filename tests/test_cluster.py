"""Work shared on a cluster: the files, rows and tables are those of one process."""

import json
import shutil
import socket
import sys
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tifffile

import temzoo
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.measurement import summarize
from temzoo.measurement.by_hand import ByHand
from temzoo.micrographs.drawn import Drawn
from temzoo.pages.gallery import Gallery
from temzoo.pages.predictions import gather, read_sidecars
from temzoo.store import particle_tables
from temzoo.workflows import cluster
from temzoo.workflows.measure_folder import measure_folder
from temzoo.workflows.predict_folder import LazyModel
from temzoo.workflows.prediction_job import Row
from temzoo.workflows.size_tables import tables_of, write_sizes

WEIGHTS = "unet/emps-fast"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Three calibrated micrographs, the last without a particle, and a damaged one."""
    folder = tmp_path_factory.mktemp("images")
    for name, count in (("b", 5), ("a", 3), ("c", 0)):
        micrograph, _ = synthesize(
            len(name) + count, size=96, n_particles=count, name=f"{name}.tif"
        )
        size = {"resolution": (1e7 / 2, 1e7 / 2), "resolutionunit": 3}  # 2 nm
        tifffile.imwrite(folder / f"{name}.tif", np.asarray(micrograph.pixels), **size)
    (folder / "d.tif").write_bytes((folder / "a.tif").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def plain(images, tmp_path_factory):
    return temzoo.predict_folder(
        WEIGHTS, images, tmp_path_factory.mktemp("plain") / "out", progress=False
    )


@pytest.fixture(autouse=True)
def back_here(monkeypatch):
    """A worker goes to the folder of its job."""
    monkeypatch.chdir(".")


class InProcess:
    """In place of Ray: one worker, which answers in an order of its own."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(cluster, "_answers", self.answers)
        monkeypatch.setattr(cluster, "_connected", self.connected)

    def connected(self, address):
        from contextlib import nullcontext

        return nullcontext()

    def answers(self, ray, images, job, model):
        worker = cluster.Worker(replace(job, alone=False, progress=False), model, ".", [])
        items = [
            {"number": number, "image": json.dumps(asdict(image), default=str)}
            for number, image in enumerate(images)
        ]
        self.asked = [image.name for image in images]
        return [worker(item) for item in reversed(items)]


def told(done):
    return [replace(row, seconds=None) for row in done.rows]


def test_rows_files_and_particles_are_those_of_one_process(images, plain, tmp_path, monkeypatch):
    InProcess(monkeypatch)
    shared = temzoo.predict_folder(WEIGHTS, images, tmp_path, cluster="auto", progress=False)
    assert told(shared) == told(plain)
    assert [row.status for row in shared.rows] == ["predicted"] * 3 + ["failed"]
    for path in plain.folder.glob("*_instances.tif"):
        np.testing.assert_array_equal(tifffile.imread(path), tifffile.imread(tmp_path / path.name))
    sidecars = [plain.folder / f"{name}.prediction.json" for name in "abc"]
    (measured,) = measure_folder(sidecars).by_unit.values()
    assert shared.table == tmp_path / "predictions.parquet"
    assert [Row(**row) for row in pq.read_table(shared.table).to_pylist()] == [*shared.rows]
    table = pd.read_parquet(tmp_path / "particles_nm.parquet")
    pd.testing.assert_frame_equal(table, measured.table, check_dtype=False)
    assert not (tmp_path / "particles_px.parquet").exists()


def test_what_is_whole_is_not_done_again(images, tmp_path, monkeypatch):
    ray = InProcess(monkeypatch)
    how = {"cluster": "auto", "progress": False}
    temzoo.predict_folder(WEIGHTS, images, tmp_path, **how)
    (tmp_path / "particles" / "b_nm.parquet").unlink()
    (tmp_path / "c.prediction.json").unlink()
    temzoo.predict_folder(WEIGHTS, images, tmp_path, **how)
    assert ray.asked == ["b.tif", "c.tif", "d.tif"]
    temzoo.predict_folder(WEIGHTS, images, tmp_path, progress=False)
    assert [path.name for path in tmp_path.glob("predictions.*")] == ["predictions.csv"]
    temzoo.predict_folder(WEIGHTS, images, tmp_path, **how)
    assert [path.name for path in tmp_path.glob("predictions.*")] == ["predictions.parquet"]


def written(folder, out):
    """What ``temzoo measure`` writes of a folder."""
    with tables_of(out) as tables:
        measured = measure_folder([folder], drawn=Drawn(), tables=tables)
        write_sizes(measured, out)
    return {path.name: path.read_bytes() for path in out.iterdir()}


def shown(folder):
    """What the report of a folder counts, of which one micrograph is drawn."""
    sidecars, gallery = read_sidecars(folder), Gallery(1)
    gather(sidecars, gallery)
    ((particles, frames),) = gallery.by_unit().values()
    rows = pd.concat(gallery.rows, ignore_index=True)
    pooled = summarize(particles, by="image", frames=frames)
    return pooled, rows, (gallery.names, gallery.own, gallery.class_names, gallery.particles)


def test_measure_and_report_take_what_the_cluster_measured(images, plain, tmp_path, monkeypatch):
    InProcess(monkeypatch)
    out = tmp_path / "out"
    temzoo.predict_folder(WEIGHTS, images, out, cluster="auto", progress=False)
    expected, expected_page = written(plain.folder, tmp_path / "plain"), shown(plain.folder)
    for name in "abc":  # the first is drawn
        if name != "a":
            (out / f"{name}_instances.tif").unlink()
    found_page = shown(out)
    (out / "a_instances.tif").unlink()
    assert written(out, tmp_path / "mine") == expected
    for found, one in zip(found_page[:2], expected_page[:2], strict=True):
        pd.testing.assert_frame_equal(found, one)
    assert found_page[2] == expected_page[2]
    # Asked for otherwise, or predicted anew, they are measured.
    for how in ({"min_area_px": 5}, {"by_hand": ByHand((1.0, 1.0))}, {"drawn": Drawn("off")}):
        with pytest.raises(FileNotFoundError, match="_instances"):
            measure_folder([out], **how)
    sidecar = out / "b.prediction.json"
    assert particle_tables.read(sidecar).unit == "nm"
    sidecar.write_bytes(sidecar.read_bytes() + b"\n")
    assert particle_tables.read(sidecar) is None
    assert not particle_tables.is_there(sidecar)
    particle_tables.path_of(sidecar, "nm").write_bytes(b"PAR1")
    assert particle_tables.read(sidecar) is None


def test_particles_of_what_failed_or_was_not_calibrated_are_gone(images, tmp_path, monkeypatch):
    InProcess(monkeypatch)
    how = {"cluster": "auto", "progress": False}
    own = tmp_path / "own"
    shutil.copytree(images, own)
    temzoo.predict_folder(WEIGHTS, own, tmp_path / "out", **how)
    tifffile.imwrite(own / "b.tif", tifffile.imread(own / "b.tif"))  # without a calibration
    (own / "a.tif").write_bytes(b"II*")
    done = temzoo.predict_folder(WEIGHTS, own, tmp_path / "out", **how)
    assert [row.status for row in done.rows] == ["failed", "predicted", "kept", "failed"]
    names = {"nm": {"c.tif"}, "px": {"b.tif"}}
    for unit, expected in names.items():
        table = pd.read_parquet(tmp_path / "out" / f"particles_{unit}.parquet")
        assert set(table["image"]) <= expected


def test_a_worker_that_breaks_answers_with_a_row(images, tmp_path, monkeypatch):
    def gone(*asked):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cluster, "predict_images", gone)
    InProcess(monkeypatch)
    done = temzoo.predict_folder(WEIGHTS, images, tmp_path, cluster="auto", progress=False)
    assert {row.message for row in done.rows} == {"[Errno 28] No space left on device"}


def test_a_model_of_ones_own_goes_along(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("import temzoo\nSEEN = []\n")
    lazy = replace(LazyModel.of_weights(WEIGHTS), find=lambda: "model")
    worker = cluster.Worker(None, lazy, str(tmp_path), [str(file)])
    assert worker.model == "model"
    assert str(file) in cluster.plugins.loaded_files()


def test_without_ray_it_says_what_to_type(images, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "temzoo\[ray\]"'):
        temzoo.predict_folder(WEIGHTS, images, tmp_path, cluster="auto", progress=False)


def test_a_cluster_that_is_gone_is_not_waited_for(tmp_path, monkeypatch):
    with pytest.raises(ConnectionError, match=r"Received: 127\.0\.0\.1:1, where nothing answers"):
        cluster._reachable("127.0.0.1:1")
    for name in ("RAY_ADDRESS", "RAY_TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(cluster.TEMPORARY[-1], str(tmp_path))  # of Linux, TMPDIR
    assert cluster._reachable("auto") == "local"
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    assert cluster._reachable("auto") == "local"
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "ray" / "ray_current_cluster").write_text(here)
        assert cluster._reachable("auto") == here


@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning")  # Ray Data's of its own options
def test_ray_does_the_same(images, plain, tmp_path):
    pytest.importorskip("ray", reason="needs temzoo[ray]")
    shared = temzoo.predict_folder(WEIGHTS, images, tmp_path, cluster="auto", progress=False)
    assert told(shared) == told(plain)
    assert len(pd.read_parquet(tmp_path / "particles_nm.parquet")) == sum(
        row.instances or 0 for row in plain.rows
    )
