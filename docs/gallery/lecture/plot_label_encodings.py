"""
One label, three encodings
==========================

A label file holds outlines. What does a network learn from? That depends on the network: a U-Net
wants the class of each pixel, YOLO a box of each object, Mask R-CNN box, class and mask of each.
"""

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

import temzoo

# %%
# A drawn micrograph comes with its labels, as an export of CVAT would have them. The seed decides
# everything that is random.
micrograph, labels = temzoo.synthetic.synthesize(
    3, size=256, n_particles=8, diameter_nm=(16.0, 30.0), labels="kind"
)
print(labels)
for shape in labels.shapes[-2:]:
    print(f"{shape.kind}, class {shape.label}, (row, col) of centre and of half axes:")
    print(shape.points.round(1))

# %%
# U-Net: **one-hot**. A channel for each class, and one for the background; exactly one of them is
# 1.
classes = sorted({shape.label for shape in labels.shapes})
one_hot = temzoo.labels.encode.one_hot(labels, classes)
print("one-hot:", one_hot.shape, "channels: background,", *classes)

# %%
# YOLO: **boxes**. A row ``class x y w h`` for each object, as shares of the width and the height.
yolo = temzoo.labels.encode.yolo(labels, classes)
print(yolo.round(3))

# %%
# Mask R-CNN: **boxes, labels and masks**. A mask for each object, so that objects may overlap.
objects = temzoo.labels.encode.boxes_labels_masks(labels, classes)
print({name: array.shape for name, array in objects.items()})

# %%
# The same micrograph as each of the three sees it.
figure, axes = plt.subplots(2, 2, figsize=(8, 8.4), layout="constrained")
raw, classes_of, boxes_of, masks_of = axes.flat
micrograph.plot(raw)
classes_of.imshow(one_hot.argmax(axis=2), cmap="viridis", interpolation="nearest")
boxes_of.imshow(micrograph.pixels, cmap="gray")
for _, x, y, w, h in yolo * [1, *2 * micrograph.pixels.shape[::-1]]:
    boxes_of.add_patch(Rectangle((x - w / 2, y - h / 2), w, h, fill=False, color="orange", lw=2))
numbers = range(1, 1 + len(objects["masks"]))
numbered = sum(number * mask.astype(int) for number, mask in zip(numbers, objects["masks"]))
masks_of.imshow(numbered, cmap="nipy_spectral", interpolation="nearest")
titles = ("micrograph", "one-hot: class of a pixel", "YOLO: boxes", "Mask R-CNN: a mask each")
for axis, title in zip(axes.flat, titles):
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()
plt.show()
