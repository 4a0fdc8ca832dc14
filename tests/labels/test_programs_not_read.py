"""Label files of other programs: each is named, with what to save there instead."""

import gzip
import json

import h5py
import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.labels.formats import other_programs

NRRD = b"NRRD0004\ntype: unsigned char\ndimension: 3\nsizes: 2 2 1\n"
AMIRA = b"# Avizo BINARY-LITTLE-ENDIAN 2.1\n\ndefine Lattice 2 2 1\n"
VOC = b'<?xml version="1.0"?>\n<annotation><filename>a.png</filename></annotation>'
NML = b'<?xml version="1.0"?><things><thing id="1"/></things>'
DARWIN = {"version": "2.0", "item": {"name": "a.png"}, "annotations": []}
SUPERVISELY = {"description": "", "tags": [], "size": {"height": 2, "width": 2}, "objects": []}
ISAT = {"info": {"description": "ISAT", "name": "a.png"}, "objects": []}
SUPERANNOTATE = {"metadata": {"name": "a.png"}, "instances": [], "tags": []}
HASTY = {"project_name": "p", "label_classes": [], "images": []}
MINIMAL = [{"image": "a.png", "id": 1, "label": [], "annotator": 1, "annotation_id": 1}]
RESULTS = [{"image_id": 1, "category_id": 1, "segmentation": {}, "score": 0.5}]
LABKIT = {"interval": {"n": 2, "min": [0, 0], "max": [1, 1]}, "labels": {"grain": [[0, 1]]}}
CASES = [
    ("a.png.json", SUPERVISELY, r"Supervisely's JSON\. Export COCO JSON there"),
    ("meta.json", {"classes": [], "tags": []}, r"Supervisely's meta\.json"),
    ("a.json", ISAT, r"ISAT's JSON\. Convert it to COCO or LabelMe in ISAT"),
    ("a.json", DARWIN, r"V7 Darwin's JSON\. .* darwin convert coco FOLDER coco"),
    ("a.png.json", SUPERANNOTATE, r"SuperAnnotate's JSON\. Export COCO"),
    ("a.json", HASTY, r"Hasty's JSON\. Export COCO"),
    ("a.json", MINIMAL, r"Label Studio's JSON-MIN\. Export JSON there"),
    ("a.json", RESULTS, r"a list of COCO's results\. Write a COCO file that has 'images'"),
    ("a.labeling", LABKIT, r"Labkit's labeling\. In Labkit choose Labeling > Show Labeling in"),
    ("a.xml", VOC, r"Pascal VOC's XML, a box for each object\. Save YOLO files there"),
    ("a.nml", NML, r"webKnossos' NML\. Download the volume annotation as TIFF there"),
    ("a.ome.xml", b"<OME xmlns='x'/>", r"OME-XML\. Save the regions as GeoJSON in QuPath"),
    ("a.seg.nrrd", NRRD, r"NRRD, of 3D Slicer or MITK\. .*ReadImage\('labels\.nrrd'\)"),
    ("a.nii.gz", gzip.compress(b"x" * 400, mtime=0), r"NIfTI\. .*ReadImage\('labels\.nii'\)"),
    ("a.mha", b"ObjectType = Image\nNDims = 2", r"MetaImage\. .*ReadImage\('labels\.mha'\)"),
    ("a.mitk", b"PK\3\4", r"a project of MITK\. Save its segmentation as \.nrrd"),
    ("a.labels.am", AMIRA, r"Amira's or Avizo's\. Save the labels as 2D TIFF"),
    ("a.ORSObject", b"PK\3\4", r"Dragonfly's\. Export the \(multi-\)ROI as TIFF"),
    ("a.ilp", b"\x89HDF", r"a project of ilastik\. Export 'Simple Segmentation'"),
    ("a.model", b"MATLAB 5.0 MAT-file", r"MATLAB's\. Type in MATLAB: imwrite\(uint16\(labels\)"),
    ("a.zattrs", {"multiscales": []}, r"Zarr\. .*zarr\.open\('a\.zarr/labels/NAME/0'\)"),
]


def saved(folder, name, content):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)).save(
        folder / "a.png"
    )
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize(("name", "content", "says"), CASES)
def test_a_file_is_named_with_what_to_save_instead(tmp_path, name, content, says):
    path = saved(tmp_path, name, content)
    says = rf"{name}: labels must be in a format that is read\. Received: {says}"
    with pytest.raises(ValueError, match=says):
        labels.read(path)
    with pytest.raises(ValueError, match=says):  # beside the micrographs
        labels.read(tmp_path)


def test_every_program_of_the_table_is_named_in_a_test():
    others = ("HDF5", "a NumPy array")
    for one in other_programs.PROGRAMS:
        assert one.what in others or any(one.what in says.replace("\\", "") for *_, says in CASES)


def test_arrays_are_to_be_saved_as_tiff(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match=r"a NumPy array\. Save it as a TIFF.*numpy\.load"):
        labels.read(tmp_path / "a.npy")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exported_data"] = np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match=r"HDF5\. Save it as a TIFF.*h5py\.File\('a\.h5'\)"):
        labels.read(tmp_path / "a.h5")


def test_masks_beside_such_files_are_read(tmp_path):
    saved(tmp_path, "a.nrrd", NRRD)
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")
    (image,) = labels.read(tmp_path)
    assert len(image.shapes) == 1


def test_damaged_json_beside_micrographs_leaves_the_error_of_the_masks(tmp_path):
    saved(tmp_path, "b.labeling", b"{")
    with pytest.raises(ValueError, match="grey levels that lie scattered"):
        labels.read(tmp_path)
