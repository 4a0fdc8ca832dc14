"""HDF5 files whose heaps of texts are damaged are refused before HDF5 reads them."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from test_hdf5_files import write_nexus
from test_microscope_files import write_berkeley

from temzoo.core.hdf5_heaps import require_sound_heaps
from temzoo.micrographs import MicrographError, load_micrograph
from temzoo.zoo import pretrained

IMAGE = np.zeros((12, 16), np.int16)


def with_a_large_object(path):
    """Makes the first object of a file's heap larger than the heap, which h5py refuses itself."""
    content = bytearray(path.read_bytes())
    size = content.index(b"GCOL") + 16 + 8
    content[size : size + 8] = (10**6).to_bytes(8, "little")
    path.write_bytes(content)


def test_a_heap_with_an_unsound_object_is_refused(tmp_path):
    write_berkeley(tmp_path / "a.emd", IMAGE, [("y", "nm", 2), ("x", "nm", 1)])
    dataset = write_nexus(tmp_path / "a.h5", IMAGE)
    assert load_micrograph(tmp_path / "a.emd").pixels.shape == IMAGE.shape
    assert load_micrograph(dataset).pixels.shape == IMAGE.shape
    with_a_large_object(tmp_path / "a.emd")
    with_a_large_object(tmp_path / "a.h5")
    for path in (tmp_path / "a.emd", dataset):
        with pytest.raises(MicrographError, match=r"heap at byte [\d,]+ is damaged"):
            load_micrograph(path)


def test_weights_with_such_a_heap_are_refused(tmp_path):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file.attrs["text"] = "of no fixed length"
    with_a_large_object(tmp_path / "a.weights.h5")
    path, model = tmp_path / "a.weights.h5", SimpleNamespace(weights=[])
    with (
        pytest.raises(ValueError, match=r"a\.weights\.h5.*heap at byte [\d,]+ is damaged"),
        pretrained.reading(path, model),
    ):
        pass


def test_what_is_no_heap_is_passed_over(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.frombuffer(b"GCOL" + bytes(60) + b"GCOL\1\0\0\0" + bytes(60), np.uint8)
    require_sound_heaps(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"GCOL\1\0\0\0" + bytes(9000))
    require_sound_heaps(tmp_path / "b.h5")
