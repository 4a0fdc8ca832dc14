"""
An image larger than memory
===========================

A stitched map of a whole grid does not fit into memory. As an array of dask or zarr it is
predicted part by part, and only the part that is asked for is computed. Are the particles at the
seams whole?

Needs an extra: ``pip install 'temzoo[zarr]'``.
"""

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np

import temzoo

# %%
# A drawn map, in memory here so that the two can be compared. ``da.from_zarr("map.zarr")`` reads
# one from disk.
micrograph, _ = temzoo.synthetic.crowded(
    3, size=(800, 1000), n_particles=160, dose_e_per_px=300.0, max_overlap=0.0, clustering=0.0
)
array = da.from_array(micrograph.pixels, chunks=(256, 256))

# %%
# Nothing is computed yet: ``labels`` is a dask array of the particles' numbers.
model = temzoo.get_model("unet", weights="emps")
labels = temzoo.predict(model, array, tile=512, overlap=128)
print(labels.shape, labels.dtype, "in parts of", labels.chunksize)

# %%
# Ask for a part, and the parts that it needs are computed.
part = labels[300:700, 400:900].compute()
numbers = np.unique(part[part > 0])
print(len(numbers), "particles in the part")

# %%
# The same of the whole image at once, and the pixels that differ.
whole = temzoo.predict(model, micrograph.pixels).instances[300:700, 400:900]
print(f"{((part > 0) != (whole > 0)).mean():.2e} of the pixels differ")

figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
axes[0].imshow(micrograph.pixels[300:700, 400:900], cmap="gray")
axes[0].set_title("a part of the map")
order = np.random.default_rng(0).permutation(1 + len(numbers))  # neighbours get different colours
places = np.searchsorted(np.unique(part), part)
axes[1].imshow(np.where(part > 0, order[places], np.nan), cmap="hsv", interpolation="nearest")
axes[1].set_title(f"{len(numbers)} particles in it")
for axis in axes:
    axis.set_axis_off()
plt.show()
