"""From a microscope's file to nanometres: what is measured has the pixel size of the file."""

import json

import numpy as np
import pytest

import temzoo
from temzoo.store import predictions

FILES = (
    "128x128-TEM_search_1.ser",
    "Camera Ceta Imaging Micro.emd",
    "HAADFscan.mrc",
    "dmTest_float32_nonSquare_diffPixelSize.dm4",
    "test_STEM_image.dm3",
    "test_loading_image_saved_with_DM.tif",
    "test_loading_image_saved_with_imageJ.tif",
)
NM = {"nm": 1.0, "µm": 1e3, "um": 1e3, "m": 1e9, "Å": 0.1, "A": 0.1, "pm": 1e-3, "micron": 1e3}


def brighter(batch):
    """Two classes: what is brighter than the median of the batch, and the rest."""
    lit = (batch[..., :1] > np.median(batch)).astype("float32")
    return np.concatenate([1 - lit, lit], axis=-1)


def told_by_rosettasciio(path):
    """(row, col) in nm of the first image of a file, read without temzoo."""
    rsciio = pytest.importorskip("rsciio")
    import importlib

    suffix = path.suffix.lower()
    plugin = {".dm3": "digitalmicrograph", ".dm4": "digitalmicrograph", ".ser": "tia"}
    plugin |= {".emd": "emd", ".mrc": "mrc", ".tif": "tiff"}
    reader = importlib.import_module(f"{rsciio.__name__}.{plugin[suffix]}")
    signal = next(s for s in reader.file_reader(str(path)) if s["data"].ndim >= 2)
    axes = [axis for axis in signal["axes"] if not axis["navigate"]][-2:]
    return [abs(axis["scale"]) * NM[str(axis["units"])] for axis in axes]


@pytest.mark.shared
@pytest.mark.filterwarnings("ignore")  # of RosettaSciIO on these files
@pytest.mark.parametrize("name", FILES)
def test_predicted_saved_and_measured_it_has_the_pixel_size_of_the_file(shared, tmp_path, name):
    path = shared / "data/microscope" / name
    height, width = told_by_rosettasciio(path)
    prediction = temzoo.predict(brighter, temzoo.load_micrograph(path))
    predictions.save(prediction, tmp_path)
    (sidecar,) = temzoo.list_predictions(tmp_path)
    assert json.loads(sidecar.read_text("utf-8"))["nm_per_pixel"] == pytest.approx([height, width])
    again = temzoo.load_prediction(sidecar)
    table = temzoo.measure(again)
    assert len(table) == again.instances.max() > 0
    counts = np.bincount(again.instances.ravel())[1:]
    np.testing.assert_allclose(table["area_nm2"], counts * height * width)
    rows, cols = np.nonzero(again.instances == 1)
    first = table.iloc[0]
    assert first["centroid_row_nm"] == pytest.approx((rows.mean() + 0.5) * height, rel=1e-5)
    assert first["centroid_col_nm"] == pytest.approx((cols.mean() + 0.5) * width, rel=1e-5)
    diameters = np.sqrt(4 * counts * height * width / np.pi)
    np.testing.assert_allclose(table["diameter_nm"], diameters, rtol=1e-6)
    page = temzoo.write_report(tmp_path, out=tmp_path / "report.html").read_text("utf-8")
    assert "diameter_nm" in page
