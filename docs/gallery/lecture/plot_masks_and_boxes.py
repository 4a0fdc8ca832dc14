"""
Mask R-CNN and YOLO: objects instead of pixels
==============================================

A U-Net labels pixels, and what touches must be cut apart afterwards. A detector finds objects:
Mask R-CNN a box, a class and a mask of each, YOLO a box and a class. Both come trained on EMPS,
published micrographs of particles.
"""

import matplotlib.pyplot as plt
import numpy as np

import temzoo

micrograph, labels = temzoo.synthetic.synthesize(
    4, size=384, n_particles=24, diameter_nm=(14.0, 30.0), clustering=0.7
)

# %%
# The models never saw a drawn micrograph. A detection has a score; what scores less than the
# model's limit is doubtful, and drawn with a broken line.
found = {}
for name in ("mask_rcnn", "yolo"):
    model = temzoo.get_model(name, weights="emps")
    found[name] = temzoo.predict(model, micrograph)
    print(found[name])
print("labelled:", len(labels.shapes))

# %%
figure, axes = plt.subplots(1, 3, figsize=(12, 4.5), layout="constrained")
micrograph.plot(axes[0])
for axis, (name, prediction) in zip(axes[1:], found.items()):
    prediction.plot(micrograph, axis)
    axis.set_title(f"{name}: {len(prediction.detections)} of {len(labels.shapes)} objects")
plt.show()

# %%
# A detection is a small mask and its place, so objects may overlap. Boxes are (top, left, bottom,
# right), in pixels.
best = found["mask_rcnn"].detections[0]
print(f"score {best.score:.2f}, mask {best.mask.shape} px, at row {best.top}, column {best.left}")
print(found["yolo"].boxes[:3])

# %%
# The scores of all objects. ``temzoo.predict(…, min_score=…)`` sets the limit.
figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
for name, prediction in found.items():
    scores = np.sort([one.score for one in prediction.detections])[::-1]
    axis.plot(np.arange(1, 1 + len(scores)), scores, "o-", ms=4, label=name)
axis.set(xlabel="object, by falling score", ylabel="score", ylim=(0, 1.05))
axis.legend()
plt.show()
