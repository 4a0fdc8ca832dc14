"""Makes the README's picture: a synthetic micrograph, the particles found in it, and their sizes.

Run in a checkout: ``python docs/make_picture.py``. It takes the shipped weights
``particles/emps``, which never saw a synthetic micrograph, and needs no data.
"""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from skimage.segmentation import find_boundaries

import temzoo

OUT = Path(__file__).parent / "images" / "found.png"
SEED = 4
SIZE = (640, 800)
OUTLINE = (1.0, 0.85, 0.3)  # light, since the particles are dark
TINTS = np.array(matplotlib.colormaps["tab10"].colors)


def main() -> None:
    micrograph, _ = temzoo.synthetic.synthesize(
        SEED,
        size=SIZE,
        n_particles=60,
        diameter_nm=(12.0, 40.0),
        clustering=0.6,
        dose_e_per_px=200.0,
        name="synthetic.tif",
    )
    prediction = temzoo.predict(micrograph)
    table = temzoo.measure(prediction, micrograph)
    whole = temzoo.summarize(table).iloc[0]

    figure = Figure(figsize=(12, 3.5), dpi=120, layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.45, 1.45, 1))
    left.imshow(micrograph.pixels, cmap="gray")
    left.set_title("synthetic micrograph", fontsize=10)
    middle.imshow(outlined(micrograph.pixels, prediction.instances))
    middle.set_title(f"{len(table)} particles found", fontsize=10)
    for axis in (left, middle):
        axis.set_axis_off()
    free = table.loc[~table["touches_border"], "diameter_nm"]
    right.hist(free, bins=14, color="#3b6ea5", edgecolor="white")
    right.axvline(whole["diameter_d50_nm"], color="#b3541e", linewidth=1.5)
    low, high = whole["diameter_d50_low_nm"], whole["diameter_d50_high_nm"]
    right.set_title(f"D50 {whole['diameter_d50_nm']:.1f} nm [{low:.1f}, {high:.1f}]", fontsize=10)
    right.set_xlabel("equivalent diameter, nm", fontsize=9)
    right.set_ylabel("particles", fontsize=9)
    right.tick_params(labelsize=8)
    right.spines[["top", "right"]].set_visible(False)
    OUT.parent.mkdir(exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn)
    # 255 colours suffice, and make the file a third of its size.
    Image.open(drawn).convert("RGB").quantize(255).save(OUT, optimize=True)
    print(OUT)


def outlined(pixels: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """(H, W) pixels of 8 bits as RGB in 0 to 1, each instance tinted and outlined."""
    picture = np.repeat(pixels[..., None] / 255.0, 3, axis=2)
    inside = instances > 0
    picture[inside] = 0.62 * picture[inside] + 0.38 * TINTS[instances[inside] % len(TINTS)]
    picture[find_boundaries(instances, mode="thick")] = OUTLINE
    return picture


if __name__ == "__main__":
    matplotlib.use("Agg")
    main()
