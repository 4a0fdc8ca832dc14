"""Particles from a Parquet file, part by part: the figures of the whole table, in less memory."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import temzoo
from temzoo.core.types import Prediction
from temzoo.measurement.counted import Parts, counted, read_parquet
from temzoo.measurement.model_error import LogError, ModelError
from temzoo.measurement.summary import sized, summarize
from temzoo.store.particle_tables import writer

IMAGES = 6


def table_of(image: str, rng: np.random.Generator, unit: str = "nm") -> pd.DataFrame:
    """Squares of two classes, some at the border, one too small."""
    instances = np.zeros((200, 240), np.int32)
    for number in range(1, 31):
        row, col, side = rng.integers(0, 190), rng.integers(0, 230), rng.integers(2, 11)
        instances[row : row + side, col : col + side] = number
    classes = np.where(instances > 0, 1 + instances % 2, 0).astype(np.uint8)
    scale = (0.5, 0.7) if unit == "nm" else None
    found = Prediction(classes, instances, class_names=("a", "b"), name=image, nm_per_pixel=scale)
    return temzoo.measure(found, min_diameter_px=3)


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    return [table_of(f"{number}.tif", rng) for number in range(IMAGES)]


@pytest.fixture(scope="module")
def file(tables, tmp_path_factory):
    """All but the last image's, which has no particle, with parts that cut images."""
    path = tmp_path_factory.mktemp("file") / "particles_nm.parquet"
    pd.concat(tables).to_parquet(path, index=False, row_group_size=50)
    return path


@pytest.mark.parametrize("by", [None, "image", "class", ["image", "class"]])
@pytest.mark.parametrize("over", ["particles", "images"])
def test_a_file_gives_the_figures_of_its_table(tables, file, by, over):
    whole = pd.concat(tables, ignore_index=True)
    frames = {f"{number}.tif": (100.0, 168.0) for number in range(IMAGES)} | {
        "none.tif": (9.0, 9.0)
    }
    model = ModelError(LogError(0.01, 0.02), LogError(0.0, 0.1), 12)
    for more in ({}, {"border": "correct", "of": "feret_max"}, {"border": "include"}):
        how = {"by": by, "over": over, "frames": frames, "model": model, "bootstrap": 50, **more}
        pd.testing.assert_frame_equal(summarize(file, **how), summarize(whole, **how))


def test_parts_are_read_a_few_rows_at_a_time(tables, file):
    parts = [*read_parquet(file, rows=20)]
    assert max(map(len, parts)) == 20
    pd.testing.assert_frame_equal(
        pd.concat(parts, ignore_index=True), pd.concat(tables, ignore_index=True)
    )
    few = Parts()
    for part in read_parquet(file, "diameter", rows=20):
        few.add(part)
    assert len(few) == sum(map(len, tables))
    pd.testing.assert_frame_equal(few.together().columns, counted(file).columns)


def test_a_file_without_a_particle_has_its_columns(tables, tmp_path):
    path = tmp_path / "none.parquet"
    with writer(path) as file:
        file.add(tables[0].iloc[:0])
    assert len(summarize(path)) == 0
    assert summarize(path, by=None, frames={"a": (10.0, 10.0)})["particles"].tolist() == [0]


def test_sizes_of_a_class_are_those_of_its_rows(tables):
    whole = pd.concat(tables, ignore_index=True)
    kinds = counted(whole).classes
    assert kinds == whole["class"].value_counts().index.tolist()
    for found, expected in zip(
        sized(counted(whole).of_class(kinds[0])),
        sized(whole[whole["class"] == kinds[0]]),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_parts_are_of_one_unit(tables):
    parts = Parts()
    parts.add(tables[0])
    with pytest.raises(
        ValueError, match=r"in nm or in px\. Received: both of area_nm2 and area_px2"
    ):
        parts.add(table_of("x.tif", np.random.default_rng(1), "px"))


def test_a_particle_may_be_there_once_in_all_parts(tables, tmp_path):
    path = tmp_path / "twice.parquet"
    with writer(path) as file:
        for table in (tables[0], tables[1], tables[0].iloc[:1]):
            file.add(table)
    with pytest.raises(ValueError, match=r"two of number 1 in '0\.tif'"):
        summarize(path)


MEMORY = """
import re, sys
from temzoo.measurement.summary import summarize

def peak():
    return 1024 * int(re.search("VmHWM:[^0-9]*([0-9]+) kB", open("/proc/self/status").read())[1])

summarize(sys.argv[1], bootstrap=5)
before = peak()
row = summarize(sys.argv[2], by=None, bootstrap=5).iloc[0]
print(row["particles"] + row["too_small"], (peak() - before) / 1e6)
"""


def write_many(path, one: pd.DataFrame, images: int, each: int):
    rng = np.random.default_rng(0)
    with writer(path) as file:
        for image in range(images):
            many = one.iloc[np.arange(each) % len(one)].assign(image=f"{image}.tif")
            diameter = rng.lognormal(3, 0.4, each)
            file.add(many.assign(particle=np.arange(each), diameter_nm=diameter))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the highest memory of a process")
def test_memory_holds_few_columns_of_a_file(tables, tmp_path):
    """Of 400,000 particles: 250 bytes each, and 90 MB for the parts that are read."""
    small = write_many(tmp_path / "small.parquet", tables[0], 2, 500)
    large = write_many(tmp_path / "large.parquet", tables[0], 400, 1000)
    words = [sys.executable, "-c", MEMORY, str(small), str(large)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    count, megabytes = map(float, said.split())
    assert count == 400_000
    assert megabytes < 90 + 250 * count / 1e6
