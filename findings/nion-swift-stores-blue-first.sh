#!/bin/sh
# Nion Swift stores colours blue first: data.npy of an .ndata1, shown as RGB, has red and blue swapped.
#
# Guess: an array of (rows, columns, 3) uint8 holds red, green and blue, as in Pillow, Matplotlib and
#     scikit-image.
# Seen, niondata 15.9.1, whose nion.data.Image draws Nion Swift's images: of the pixel (255, 0, 0) it makes
#     0xFF0000FF, alpha 255 and blue 255, and its grey is 0.0722 * 255, the weight of blue. The file itself
#     has no word about the order.
# So: turn the last axis round where it has 3 or 4 uint8, and drop the alpha.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet niondata==15.9.1 numpy==2.4.6
cat > "$folder/show.py" <<'PYTHON'
import numpy as np
from nion.data import Image

pixel = np.array([[[255, 0, 0]]], np.uint8)
(shown,) = Image.create_rgba_image_from_array(pixel).ravel()
(grey,) = Image.convert_to_grayscale(pixel, np.float64).ravel()
print(f"(255, 0, 0) is drawn as {int(shown):#010x}, grey {grey:.3f}")
assert int(shown) == 0xFF0000FF  # alpha, red, green, blue
assert abs(grey - 0.0722 * 255) < 1e-6
PYTHON
"$folder/env/bin/python" "$folder/show.py"
