"""
What augmentation does to a micrograph
======================================

Ten labelled micrographs become thousands of different crops: turned, stretched, darker, noisier,
as a microscope might have recorded them. What does each of these changes do, and what moves the
labels too?
"""

import matplotlib.pyplot as plt

import temzoo

micrograph, labels = temzoo.synthetic.synthesize(
    2, size=256, n_particles=8, grain_nm=0.05, dose_e_per_px=400.0
)

# %%
# Each operation alone. Above each picture stand the range that its strength is drawn from, how
# often a crop is changed by it, and what of a microscope it stands for.
rows = temzoo.augment.sheet(micrograph.pixels, seed=1)
figure, axes = plt.subplots(4, 4, figsize=(12, 13.2), layout="constrained")
for axis, (title, picture, facts) in zip(axes.flat, rows):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
    facts = facts and f"\n{facts['range']}\np = {facts['probability']}: {facts['why']}"
    axis.set_title(title + (facts or ""), fontsize=8)
for axis in axes.flat:
    axis.set_axis_off()
plt.show()

# %%
# In training all of them are drawn together, anew for each crop. What moves pixels moves the
# class map by the same amount; noise and brightness leave it as it is.
change = temzoo.augment.augmenter("em")
class_map = temzoo.labels.encode.one_hot(labels, labels.classes).argmax(axis=2)
figure, axes = plt.subplots(1, 5, figsize=(12, 2.6), layout="constrained")
for seed, axis in enumerate(axes):
    pixels, moved = change(micrograph.pixels, class_map, seed=seed)
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axis.contour(moved, [0.5], colors="orange", linewidths=1)
    axis.set_title(f"seed {seed}", fontsize=9)
    axis.set_axis_off()
plt.show()

# %%
# ``temzoo.train(…, augment="em")`` is the default; "light" does less, "em_invert" exchanges dark
# and bright as well, for particles that may be either.
