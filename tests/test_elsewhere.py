"""Results in a folder elsewhere: as those of a folder, and a restart passes over what is whole."""

import sys

import numpy as np
import pytest
import tifffile
from test_cluster import InProcess, told

import temzoo
from temzoo.data.synthetic.synthesize import synthesize

fsspec = pytest.importorskip("fsspec", reason="needs temzoo[remote]")
WEIGHTS = "unet/emps-fast"
HOW = {"progress": False}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for seed, name in enumerate("ab"):
        micrograph, _ = synthesize(seed, size=96, n_particles=4)
        tifffile.imwrite(folder / f"{name}.tif", np.asarray(micrograph.pixels))
    (folder / "c.tif").write_bytes((folder / "a.tif").read_bytes()[:900])
    return folder


@pytest.fixture(scope="module")
def plain(images, tmp_path_factory):
    return temzoo.predict_folder(WEIGHTS, images, tmp_path_factory.mktemp("out") / "a", **HOW)


@pytest.fixture
def address(request, tmp_path, monkeypatch):
    monkeypatch.chdir(".")
    files = fsspec.filesystem("memory")
    yield f"file://{tmp_path}/far/out" if hasattr(request, "param") else "memory://far/out"
    if files.exists("/far"):
        files.rm("/far", recursive=True)


def there(address):
    files, root = fsspec.core.url_to_fs(address)
    return {path.removeprefix(f"{root}/"): files.cat_file(path) for path in files.find(root)}


@pytest.mark.parametrize("address", ["file"], indirect=True)
def test_a_url_of_this_machine_serves(images, plain, address):
    assert told(temzoo.predict_folder(WEIGHTS, images, address, **HOW)) == told(plain)
    assert there(address).keys() == {path.name for path in plain.folder.iterdir()}


def test_files_are_those_of_a_folder_and_a_restart_keeps_what_is_whole(images, plain, address):
    done = temzoo.predict_folder(WEIGHTS, images, address, **HOW)
    assert told(done) == told(plain)
    assert done.table == f"{address}/predictions.csv"
    found = there(address)
    assert found.keys() == {path.name for path in plain.folder.iterdir()}
    for path in plain.folder.glob("*.png"):
        assert found[path.name] == path.read_bytes()
    files, root = fsspec.core.url_to_fs(address)
    files.rm_file(f"{root}/b_overlay.png")
    again = temzoo.predict_folder(WEIGHTS, images, address, **HOW)
    assert [row.status for row in again.rows] == ["kept", "predicted", "failed"]
    assert there(address)["b_overlay.png"]
    part = temzoo.predict_folder(WEIGHTS, images / "a.tif", address, **HOW)
    assert [row.image for row in part.earlier] == ["b.tif"]
    temzoo.predict_folder(WEIGHTS, images, address, shard=(2, 2), **HOW)
    assert "predictions-2-of-2.csv" in there(address)


def test_a_sidecar_is_put_last(images, address, monkeypatch):
    from temzoo.workflows.elsewhere import Elsewhere

    put, put_before = [], Elsewhere.put
    monkeypatch.setattr(
        Elsewhere,
        "put",
        lambda self, path, folder: put.append(path.name) or put_before(self, path, folder),
    )
    temzoo.predict_folder(WEIGHTS, images / "a.tif", address, **HOW)
    assert put[-2:] == ["a.prediction.json", "predictions.csv"]
    assert set(put[:-2]) == {"a_classes.png", "a_instances.tif", "a_overlay.png"}


def test_a_cluster_puts_its_particles_there_too(images, plain, address, monkeypatch):
    ray = InProcess(monkeypatch)
    shared = temzoo.predict_folder(WEIGHTS, images, address, cluster="auto", **HOW)
    assert told(shared) == told(plain)
    found = there(address)
    assert shared.table == f"{address}/predictions.parquet"
    assert {"particles/a_px.parquet", "particles/b_px.parquet", "particles_px.parquet"} < set(found)
    assert {"predictions.parquet"} == {name for name in found if name.startswith("predictions.")}
    files, root = fsspec.core.url_to_fs(address)
    files.rm_file(f"{root}/particles/b_px.parquet")
    temzoo.predict_folder(WEIGHTS, images, address, cluster="auto", **HOW)
    assert ray.asked == ["b.tif", "c.tif"]
    assert there(address)["particles_px.parquet"] == found["particles_px.parquet"]


def test_what_cannot_be_elsewhere_says_what_to_type(images, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"Received: 'cvat' with --out memory://x\. Copy"):
        temzoo.predict_folder(WEIGHTS, images, "memory://x", formats=["cvat"], **HOW)
    with pytest.raises(ValueError, match=r"fsspec knows\. Received: none://x"):
        temzoo.predict_folder(WEIGHTS, images, "none://x", **HOW)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "temzoo\[remote\]" s3fs'):
        temzoo.predict_folder(WEIGHTS, images, "s3://bucket/x", **HOW)
