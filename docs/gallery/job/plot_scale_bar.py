"""
Nanometres from a scale bar
===========================

The picture is a PNG out of a paper or a report: no calibration in the file, but a scale bar in
the image. Can it be read?

Needs an extra: ``pip install 'temzoo[scalebar]'``. Where it is missing, this page says so and
takes the bar's ends by hand.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from PIL import Image

import temzoo

# %%
# A drawn micrograph with a bar, saved as PNG. The calibration is lost on the way.
drawn, _ = temzoo.synthetic.synthesize(12, size=512, n_particles=20, scale_bar=True)
path = Path(tempfile.mkdtemp()) / "figure_2a.png"
Image.fromarray(drawn.pixels).save(path)
print(temzoo.load_micrograph(path))

# %%
# Text and bar are read together. Where the picture leaves a doubt, the answer is None.
try:
    bar = temzoo.read_scale_bar(path)
except ImportError as missing:
    bar = None
    print(missing)
if bar is not None:
    print(f"{bar.text} = {bar.length_px:.1f} px, {bar.nm_per_pixel:.4f} nm per pixel")
    print(f"drawn with {drawn.nm_per_pixel[0]} nm per pixel")

# %%
# By hand: the two ends of the bar, as an image viewer shows them, and what is written beside it.
by_hand = temzoo.measurement.nm_per_pixel_from_scale_bar((492, 300), (492, 500), 100)
print(f"{by_hand} nm per pixel")

# %%
# With it everything else is in nanometres.
micrograph = temzoo.load_micrograph(path, nm_per_pixel=bar.nm_per_pixel if bar else by_hand)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 5), layout="constrained")
left.imshow(micrograph.pixels, cmap="gray")
if bar is not None:
    top, bar_left, bottom, bar_right = bar.box
    size = (bar_right - bar_left, bottom - top)
    left.add_patch(Rectangle((bar_left, top), *size, fill=False, color="orange", lw=2))
left.set_title("the picture, and what was read in it")
left.set_axis_off()
table = temzoo.measure(temzoo.predict(micrograph), micrograph)
right.hist(table["diameter_nm"], bins=12, color="#3b6ea5", edgecolor="white")
right.set(xlabel="equivalent diameter, nm", ylabel="particles")
plt.show()

# %%
# ``temzoo.predict(path)`` does this by itself, and ``temzoo predict figures`` for a folder of
# pictures. Both leave out the bar and its text, which are no particles.
