"""
How sure is that?
=================

A figure without an interval is half a figure. Three questions have three answers: which pixels
are doubtful, which objects, and how far off the median diameter may be.
"""

import matplotlib.pyplot as plt
import numpy as np

import temzoo

micrograph, labels = temzoo.synthetic.synthesize(
    9, size=400, n_particles=30, dose_e_per_px=30.0, clustering=0.6
)

# %%
# **Pixels.** The entropy of the probabilities, in bits: 0 where the model is sure of either, 1
# where it could be both.
prediction = temzoo.predict(micrograph, probabilities=True)
p = prediction.probabilities.clip(1e-6, 1)
entropy = -(p * np.log2(p)).sum(axis=2)

# %%
# **Objects.** The column ``confidence`` says how likely each is real. What is too unlikely is no
# object and not in the table; the likelier ones of those are ``prediction.doubtful``.
table = temzoo.measure(prediction, micrograph)
print(
    f"{len(table)} objects, {len(prediction.doubtful or ())} doubtful; {len(labels.shapes)} drawn"
)

figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
prediction.plot(micrograph, axes[0])
shown = axes[1].imshow(entropy, cmap="magma", vmin=0, vmax=1)
figure.colorbar(shown, ax=axes[1], label="entropy of a pixel, bit", shrink=0.8)
axes[1].set_axis_off()
axes[2].hist(table["confidence"], bins=np.linspace(0, 1, 21), color="#3b6ea5", edgecolor="white")
axes[2].set(xlabel="confidence", ylabel="objects", xlim=(0, 1))
plt.show()

# %%
# **Sizes.** Other particles of the same kind would give another median: the interval by sampling.
# And the model joins, misses or draws too wide: its error on labelled images stands on the card
# of its weights, and widens the interval.
card = temzoo.model_card("particles").weights["emps"]
model_error = temzoo.measurement.ModelError.of_card(card.errors)
names = ("diameter_d50_low_nm", "diameter_d50_nm", "diameter_d50_high_nm")
by_sampling = temzoo.summarize(table).iloc[0]
with_model = temzoo.summarize(table, model=model_error).iloc[0]
print("D50 by sampling alone: {:.1f} < {:.1f} < {:.1f} nm".format(*by_sampling[list(names)]))
print("with the model's error: {:.1f} < {:.1f} < {:.1f} nm".format(*with_model[list(names)]))
truth = np.median([float(shape.attributes["diameter_nm"]) for shape in labels.shapes])
print(f"drawn: {truth:.1f} nm")

# %%
# The model's error is of published micrographs, EMPS. On material that looks otherwise it may be
# larger.
