"""Shapes layers of napari, saved as CSV."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from temzoo import labels
from temzoo.labels.formats import napari
from temzoo.labels.shapes.raster import class_map

HEADER = "index,shape-type,vertex-index,axis-0,axis-1"
# As napari 0.9.2 writes them; the second ellipse lies at 30 degrees, in single precision.
SHAPES = """0,polygon,0,1.25,2.5
0,polygon,1,1.25,12.5
0,polygon,2,9.75,8.0
1,rectangle,0,2.0,23.0
1,rectangle,1,8.0,23.0
1,rectangle,2,8.0,32.0
1,rectangle,3,2.0,32.0
2,ellipse,0,15.0,20.0
2,ellipse,1,25.0,20.0
2,ellipse,2,25.0,40.0
2,ellipse,3,15.0,40.0
3,path,0,0.0,0.0
3,path,1,5.0,5.0
3,path,2,9.0,0.0
4,line,0,0.0,0.0
4,line,1,5.0,5.0
5,ellipse,0,40.669872,33.839745
5,ellipse,1,50.669872,51.160255
5,ellipse,2,59.330128,46.160255
5,ellipse,3,49.330128,28.839746
6,rectangle,0,40.669872,73.839745
6,rectangle,1,50.669872,91.160255
6,rectangle,2,59.330128,86.160255
6,rectangle,3,49.330128,68.839746
"""


def saved(folder, text=SHAPES, header=HEADER):
    Image.fromarray(np.zeros((80, 110), np.uint8)).save(folder / "a.png")
    (folder / "a.csv").write_text(f"{header}\n{text}")
    return folder / "a.csv"


def test_shapes_lie_where_napari_draws_them(tmp_path):
    (image,) = labels.read(saved(tmp_path))
    assert (image.name, image.width, image.height, image.classes) == ("a.png", 110, 80, ("object",))
    polygon, box, ellipse, path, line, turned, tilted = image.shapes
    assert polygon.points.tolist() == [[1.75, 3.0], [1.75, 13.0], [10.25, 8.5]]
    assert (box.kind, box.points.tolist()) == ("box", [[2.5, 23.5], [8.5, 32.5]])
    assert (ellipse.points.tolist(), ellipse.rotation) == ([[20.5, 30.5], [5, 10]], 0)
    assert (path.kind, len(path.points), line.kind) == ("polyline", 3, "polyline")
    assert tilted.kind == "polygon"
    drawn = class_map(type(image)("a", 110, 80, (turned,)), ["object"]) > 0
    rows, cols = np.mgrid[:80, :110] - np.array([50.0, 40.0])[:, None, None]
    # Of the corners, the longer sides lead 10 px down and 17.3 px to the right.
    angle = np.arctan2(10, 17.320508)
    along = cols * np.cos(angle) + rows * np.sin(angle)
    across = rows * np.cos(angle) - cols * np.sin(angle)
    assert np.array_equal(drawn, (along / 10) ** 2 + (across / 5) ** 2 < 1)


def test_shapes_of_other_images_of_a_stack_are_left_out(tmp_path):
    lines = [f"{k},polygon,{v},{k}.0,{v}.0,{v * v}.0" for k in range(2) for v in range(3)]
    path = saved(tmp_path, "\n".join(lines), f"{HEADER},axis-2")
    (tmp_path / "a.png").unlink()
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 40, 60), np.uint8), imagej=True)
    said = []
    (image,) = labels.read(path, said=said)
    assert [shape.points.tolist() for shape in image.shapes] == [
        [[0.5, 0.5], [1.5, 1.5], [2.5, 4.5]]
    ]
    assert "shape '1' was left out: shapes must be of one image" in said[0].text


def test_bad_shapes_are_named_and_the_image_has_the_files_name(tmp_path):
    bad = "7,star,0,1.0,1.0\n8,polygon,0,1.0,1.0\n8,polygon,1,x,1.0\n9,line,0,nan,1\n9,line,1,1,1\n"
    path, said = saved(tmp_path, SHAPES + bad), []
    (image,) = labels.read(path, said=said)
    assert len(image.shapes) == 7
    assert "a shape must be one of ['ellipse'" in said[0].text
    assert "Received: 'star' of 1 vertices" in said[0].text
    assert "Received: 'polygon' of 0 vertices" in said[1].text
    assert "coordinates must be finite" in said[2].text
    (tmp_path / "b.csv").write_text("name,group\na,1\n")
    assert labels.read(tmp_path, said=[]) == [image]  # a folder, with a table of something else
    with pytest.raises(ValueError, match=r"name='Shapes', which is not in"):
        napari.read(path.rename(tmp_path / "Shapes.csv"))
