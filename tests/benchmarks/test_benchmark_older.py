"""What an older commit is compared by: its package, drawn micrographs, processes in turns."""

import numpy as np
import pytest

import temzoo
from benchmarks import older
from temzoo.data.synthetic.synthesize import synthesize


def test_micrographs_of_all_formats_are_read_as_they_were_drawn(tmp_path):
    older.draw(tmp_path / "drawn", sides=(48, 64, 80))
    paths = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in paths] == ["000.tif", "001.png", "002.mrc"]
    for seed, (path, side) in enumerate(zip(paths, (48, 64, 80), strict=True)):
        count = side * side // older.AREA_PER_PARTICLE
        drawn, _ = synthesize(seed, size=side, n_particles=count)
        np.testing.assert_array_equal(temzoo.load_micrograph(path).pixels, drawn.pixels)


def test_a_commit_that_git_does_not_know_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"--commit names one of this repository. Received: nope"):
        older.older("nope", tmp_path)


def test_the_first_turn_does_not_count():
    seconds = {"a": iter([9.0, 2.0, 4.0]), "b": iter([9.0, 1.0, 1.0])}
    runs = {name: lambda each=each: {"s": next(each)} for name, each in seconds.items()}
    found = older.in_turns(runs, 2)
    told = older.spreads(found, images=8)
    assert told["a"]["s"]["median"] == 3.0
    assert told["a"]["images_per_s"] == {"median": 3.0, "least": 2.0, "most": 4.0, "repetitions": 2}
