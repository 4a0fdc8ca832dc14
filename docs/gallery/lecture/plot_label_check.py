"""
Find mistakes in labels
=======================

A network learns the mistakes of its labels too. Which outlines are broken, doubled or outside the
image? Look before training.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import temzoo

# %%
# A labelled micrograph, to which four mistakes are added that happen to people: an outline that
# crosses itself, a particle that is labelled twice, a click instead of an outline, and a shape
# beyond the image's edge.
micrograph, labels = temzoo.synthetic.synthesize(5, size=300, n_particles=12)
name = labels.shapes[0].label


def polygon(*corners):
    return temzoo.Shape("polygon", name, np.array(corners, float))


mistakes = (
    polygon((30, 30), (70, 80), (70, 30), (30, 80)),
    labels.shapes[8],
    polygon((150, 150), (150.4, 150), (150, 150.4)),
    polygon((260, 310), (260, 350), (290, 350), (290, 310)),
)
wrong = replace(labels, shapes=labels.shapes + mistakes)

# %%
# Errors must be mended: nothing can be learnt from such a shape. Warnings are for a person to
# decide.
report = temzoo.labels.check.check([wrong])
print(temzoo.labels.check_report.to_text(report))

# %%
# Where the errors and warnings are. "info" is worth a look, no more: here particles that the
# border cuts.
figure, axis = plt.subplots(figsize=(6, 5), layout="constrained")
axis.imshow(micrograph.pixels, cmap="gray")
said = {}
for finding in report.findings:
    if finding.level != "info" and finding.shape_index is not None:
        said.setdefault(finding.shape_index, []).append(f"{finding.level}: {finding.code}")
for number, texts in said.items():
    shape = wrong.shapes[number]
    row, col = shape.points[0] if shape.kind == "ellipse" else shape.points.mean(axis=0)
    axis.plot(col, row, "x", color="orange", markersize=12, markeredgewidth=3, clip_on=False)
    axis.annotate("\n".join(texts), (col, row), (8, 8), textcoords="offset points", fontsize=8,
                  bbox={"facecolor": "white", "alpha": 0.8})  # fmt: skip
axis.set_axis_off()
plt.show()

# %%
# The command ``temzoo labels check annotations.xml --images micrographs`` does the same with
# files, and compares the images with what the labels say of them.
