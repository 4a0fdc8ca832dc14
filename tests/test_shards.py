"""A job array: jobs on parts of the images fill one folder at once; a last call completes it."""

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

import temzoo
from temzoo.core.files import own_folder, shared_folder
from temzoo.data.synthetic.synthesize import synthesize
from temzoo.workflows.shards import part_of, shard_of

WEIGHTS = "unet/emps-fast"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five micrographs and a damaged one."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(5):
        micrograph, _ = synthesize(seed, size=128, n_particles=6, name=f"{seed}.tif")
        tifffile.imwrite(folder / micrograph.name, np.asarray(micrograph.pixels))
    (folder / "5.tif").write_bytes((folder / "0.tif").read_bytes()[:900])
    return folder


def rows_of(table):
    with table.open(newline="") as file:
        return {row["image"]: row["status"] for row in csv.DictReader(file)}


def told(done):
    return [replace(row, seconds=None, status=row.status == "failed") for row in done.rows]


def test_processes_at_once_and_a_last_call_do_what_one_job_does(images, tmp_path):
    out = tmp_path / "out"
    words = "predict", WEIGHTS, images, "--out", out, "--shard", "1/3"
    command = [sys.executable, "-m", "temzoo", *map(str, words)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    temzoo.predict_folder(WEIGHTS, images, out, shard=(2, 3), progress=False)
    plain = temzoo.predict_folder(WEIGHTS, images, tmp_path / "plain", progress=False)
    said, _ = other.communicate(timeout=300)
    assert other.returncode == 0
    assert "2 of 2 predictions are in" in said
    assert rows_of(out / "predictions-2-of-3.csv") == {"1.tif": "predicted", "4.tif": "predicted"}
    assert not (out / "predictions.csv").exists()
    assert not list(out.glob(".*"))
    # The third part was never done: the last call finds that its images are missing.
    done = temzoo.predict_folder(WEIGHTS, images, out, formats=["coco"], progress=False)
    kept = ["kept", "kept", "predicted", "kept", "kept", "failed"]
    assert [row.status for row in done.rows] == kept
    assert told(done) == told(plain)
    assert done.labels["coco"].is_file()
    for path in plain.folder.glob("*_instances.tif"):
        np.testing.assert_array_equal(tifffile.imread(path), tifffile.imread(out / path.name))


def test_a_folder_is_shared_by_different_parts_alone(tmp_path):
    with shared_folder(tmp_path / "out", "shard-1-of-2"):
        with shared_folder(tmp_path / "out", "shard-2-of-2"):
            pass
        busy = pytest.raises(RuntimeError, match="another temzoo job is at work")
        with busy, shared_folder(tmp_path / "out", "shard-1-of-2"):
            pass
        with busy, own_folder(tmp_path / "out"):
            pass
    with own_folder(tmp_path / "out"), busy, shared_folder(tmp_path / "out", "shard-1-of-2"):
        pass
    (tmp_path / "out" / ".shard-1-of-2").mkdir()  # of a job that was killed
    with shared_folder(tmp_path / "out", "shard-1-of-2"):
        pass
    assert not list((tmp_path / "out").iterdir())


def test_the_parts_are_all_of_the_images_each_once():
    parts = [part_of(range(10), shard_of(f"{number}/4")) for number in (1, 2, 3, 4)]
    assert sorted(item for part in parts for item in part) == list(range(10))
    assert part_of(range(2), (3, 3)) == []


@pytest.mark.parametrize("text", ["0/16", "17/16", "3", "3/", "-1/2", "a/b", "1/0", "1.0/2", "³/4"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match=rf"Received: '{text}'\. Use 3/16"):
        shard_of(text)


def test_what_jobs_of_an_array_would_do_in_each_others_way_is_refused(images, tmp_path):
    how = {"shard": (1, 2), "progress": False}
    with pytest.raises(ValueError, match="Received: a shard and cluster='auto'"):
        temzoo.predict_folder(WEIGHTS, images, tmp_path, cluster="auto", **how)
    with pytest.raises(ValueError, match=r"Received: a shard and 'cvat'\. Give --format there"):
        temzoo.predict_folder(WEIGHTS, images, tmp_path, formats=["cvat"], **how)
    with pytest.raises(ValueError, match="results must lie outside of the images' folder"):
        temzoo.predict_folder(WEIGHTS, images, images / "out", **how)
    with pytest.raises(ValueError, match=r"Received: '3/2'\. Use 3/16"):
        temzoo.predict_folder(WEIGHTS, images, tmp_path, shard=(3, 2))
