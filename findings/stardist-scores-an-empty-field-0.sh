#!/bin/sh
# StarDist's matching of two fields, both predicted without a mistake: F1 is 0.5, for one of them is empty.
#
# Guess: a field without particles, of which the network finds none, is right: it scores 1, or is left out
#     of a mean over images.
# Seen, stardist 0.9.2: matching() of two empty label images has tp, fp and fn of 0 and gives precision,
#     recall, accuracy, F1 and panoptic quality of 0, as it does where two objects were found that are none.
#     matching_dataset(by_image=True) takes the mean of these: 0.5 for a perfect prediction of a field with
#     two particles and an empty one. With by_image=False, the default, all counts are pooled: 1.0.
# So: with empty fields, such as bare support films, in a test set, take by_image=False, or the mean over
#     the images that have n_true + n_pred > 0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet numba==0.68.1 scipy scikit-image matplotlib tqdm imageio packaging \
    tifffile numpy==2.4.6 six
"$folder/env/bin/pip" install --quiet --no-deps stardist==0.9.2 csbdeep==0.8.2
cat > "$folder/score.py" <<'PYTHON'
import numpy as np
from stardist.matching import matching, matching_dataset

empty = np.zeros((40, 40), int)
two = empty.copy()
two[2:12, 2:12], two[20:30, 20:30] = 1, 2
right, wrong = matching(empty, empty), matching(empty, two)
print(f"empty, found empty: F1 {right.f1}, PQ {right.panoptic_quality}; two found: F1 {wrong.f1}")
assert (right.tp, right.fp, right.fn) == (0, 0, 0)
assert right.f1 == right.panoptic_quality == right.precision == right.recall == wrong.f1 == 0
for by_image, expected in ((False, 1.0), (True, 0.5)):
    both = matching_dataset([two, empty], [two, empty], by_image=by_image, show_progress=False)
    print(f"both fields right, by_image={by_image}: F1 {both.f1}, PQ {both.panoptic_quality}")
    assert both.f1 == both.panoptic_quality == expected
PYTHON
"$folder/env/bin/python" "$folder/score.py"
