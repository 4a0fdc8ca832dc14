"""
Your own export of CVAT
=======================

You have drawn outlines in CVAT and downloaded "CVAT for images 1.1". How do they become what a
network learns from, and how do a network's finds go back into CVAT?
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Polygon

import temzoo

# %%
# A folder of micrographs and the ``annotations.xml`` of the export. Here both are drawn; put the
# paths of yours in their place.
folder = Path(tempfile.mkdtemp())
options = {"n_particles": 14, "diameter_nm": (16.0, 40.0), "dose_e_per_px": 200.0, "grain_nm": 0.1}
images, annotations = temzoo.synthetic.write_dataset(folder, n=4, seed=2, size=360, **options)
lines = annotations.read_text().splitlines()
first = next(k for k, line in enumerate(lines) if "<image" in line)
print(*(line[:90] for line in lines[first : first + 6]), sep="\n")

# %%
# Reading looks at the labels alone; ``load_dataset`` finds their micrographs too. Other formats,
# such as COCO, YOLO, LabelMe or masks, are told by what they are.
print(temzoo.labels.summary(temzoo.labels.read(annotations)))
examples = temzoo.load_dataset(images=images, labels=annotations)
print(examples[0])

# %%
# Labels over their micrograph, and what the shipped weights find in it.
micrograph = examples[0].micrograph
prediction = temzoo.predict(micrograph)
drawn = temzoo.labels_of(prediction)
figure, axes = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
axes[0].imshow(micrograph.pixels, cmap="gray")
class_map = temzoo.labels.encode.one_hot(examples[0].labels, ["particle"]).argmax(axis=2)
axes[0].contour(class_map, [0.5], colors="deepskyblue")
axes[0].set_title(f"{len(examples[0].labels.shapes)} labels")
axes[1].imshow(micrograph.pixels, cmap="gray")
for shape in drawn.shapes:  # a mask where an object has a hole; here all are polygons
    axes[1].add_patch(Polygon(shape.points[:, ::-1] - 0.5, fill=False, color="orange"))
axes[1].set_title(f"{len(drawn.shapes)} polygons of the prediction")
for axis in axes:
    axis.set_axis_off()
plt.show()

# %%
# Back into CVAT: these polygons become a file that "Upload annotations" takes. Correcting them is
# faster than drawing all by hand.
temzoo.labels.write(folder / "prelabels.xml", [drawn], to="cvat")
print((folder / "prelabels.xml").stat().st_size, "bytes;", drawn)
