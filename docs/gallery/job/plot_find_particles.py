"""
Find and measure particles
==========================

What is in this micrograph, and how large is it? Three calls, with weights that come with temzoo.
"""

import matplotlib.pyplot as plt

import temzoo

# %%
# A drawn micrograph. In its place: ``micrograph = temzoo.load_micrograph("mine.tif")``.
micrograph, labels = temzoo.synthetic.synthesize(
    4,
    size=(640, 800),
    n_particles=60,
    diameter_nm=(12.0, 40.0),
    clustering=0.6,
    dose_e_per_px=200.0,
    name="synthetic micrograph",
)

# %%
# Without a model, ``predict`` takes the shipped weights ``particles/emps``, which never saw a
# drawn micrograph. A row of the table is a particle.
prediction = temzoo.predict(micrograph)
table = temzoo.measure(prediction, micrograph)
whole = temzoo.summarize(table).iloc[0]
table[["particle", "diameter_nm", "aspect_ratio", "circularity", "morphology"]].head()

# %%
# Particles at the border may be cut, so their sizes do not count. D50 is the median diameter; its
# interval is of the sampling: what other particles of the same kind would give.
figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(12, 3.5), width_ratios=(1.45, 1.45, 1), layout="constrained"
)
micrograph.plot(left)
prediction.plot(micrograph, middle)
middle.set_title(f"{len(table)} particles found, {len(labels.shapes)} drawn", fontsize=10)
free = table.loc[~table["touches_border"], "diameter_nm"]
right.hist(free, bins=14, color="#3b6ea5", edgecolor="white")
right.axvline(whole["diameter_d50_nm"], color="#b3541e")
low, high = whole["diameter_d50_low_nm"], whole["diameter_d50_high_nm"]
right.set_title(f"D50 {whole['diameter_d50_nm']:.1f} nm [{low:.1f}, {high:.1f}]", fontsize=10)
right.set(xlabel="equivalent diameter, nm", ylabel="particles")
plt.show()
