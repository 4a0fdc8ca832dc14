"""
Sizes in nanometres, and their distribution
===========================================

How many particles are there, how large are they, and of what shape? Five micrographs of one
sample, measured and summarised together.
"""

import matplotlib.pyplot as plt
import pandas as pd

import temzoo

# %%
# Five drawn micrographs. The size of a pixel travels with a micrograph, so nothing is converted
# by hand.
tables, drawn = [], []
for number in range(5):
    micrograph, labels = temzoo.synthetic.synthesize(
        (8, number), size=400, diameter_nm=(16.0, 20.0), n_particles=25, name=f"field {number}"
    )
    tables.append(temzoo.measure(temzoo.predict(micrograph), micrograph))
    drawn += [float(shape.attributes["diameter_nm"]) for shape in labels.shapes]
table = pd.concat(tables)
print(len(table), "particles found,", len(drawn), "drawn")
table.groupby("image")[["diameter_nm", "feret_max_nm", "aspect_ratio"]].median().round(2)

# %%
# One row for all, with 95 % intervals. Large particles touch the border more often, and leaving
# those out would favour small ones: ``border="correct"`` weighs for it.
row = temzoo.summarize(table, by=None, border="correct").iloc[0]
for name in ("density_per_um2", "coverage", "diameter_mean_nm", "diameter_d50_nm"):
    stem, unit = (name[:-3], "_nm") if name.endswith("_nm") else (name, "")
    low, high = row[f"{stem}_low{unit}"], row[f"{stem}_high{unit}"]
    print(f"{name:18} {row[name]:8.3g} [{low:.3g}, {high:.3g}]")

# %%
# The distribution beside what was drawn, and the shapes.
free = table[~table["touches_border"]]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
left.hist([free["diameter_nm"], drawn], bins=16, density=True, label=("measured", "drawn"))
left.set(xlabel="equivalent diameter, nm", ylabel="density by number, 1/nm")
left.legend()
right.scatter(free["diameter_nm"], free["aspect_ratio"], s=12)
right.set(xlabel="equivalent diameter, nm", ylabel="aspect ratio")
plt.show()
