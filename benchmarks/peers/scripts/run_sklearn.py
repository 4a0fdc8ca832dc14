"""A random forest on scikit-image's features, with the settings of scikit-image's own example.

That is "Trainable segmentation using local features and random forests" of its gallery: intensity
and texture at 1 to 16 px, 50 trees of depth 10, 5 % of the pixels for each. The pixels are a tenth
of each crop, as many crops as a third of the time gives; trees grow until the rest is used, or
there are 50.
"""

from __future__ import annotations

import numpy as np
from replay import Clock, arguments, predict_all, stretched, tell
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier

FEATURES = {"intensity": True, "edges": False, "texture": True, "sigma_min": 1, "sigma_max": 16}
SHARE_OF_PIXELS = 0.1
MOST_PIXELS = 2_000_000
GATHERING = 1 / 3  # of the time
TREES, AT_ONCE = 50, 5


def features(pixels: np.ndarray, threads: int) -> np.ndarray:
    """(H, W) to (H * W, F)."""
    found = multiscale_basic_features(pixels, workers=threads, **FEATURES)
    return found.reshape(pixels.size, -1)


def gather(job, clock: Clock) -> tuple[np.ndarray, np.ndarray, int]:
    """Features and classes of pixels, and from how many crops."""
    generator = np.random.default_rng(job.seed)
    seen, true, crops = [], [], 0
    count = round(SHARE_OF_PIXELS * job.crop**2)
    while (clock.share < GATHERING and crops * count < MOST_PIXELS) or not crops:
        drawn = generator.choice(job.crop**2, count, replace=False)
        seen.append(features(job.cut(crops, "pixels"), job.threads)[drawn])
        true.append(job.cut(crops, "classes").ravel()[drawn])
        crops += 1
    return np.concatenate(seen), np.concatenate(true), crops


def grown(job, clock: Clock, pixels: np.ndarray, classes: np.ndarray) -> RandomForestClassifier:
    """A forest of what trees the time gives."""
    forest = RandomForestClassifier(
        0,
        max_depth=10,
        max_samples=0.05,
        n_jobs=job.threads,
        random_state=job.seed,
        warm_start=True,
    )
    for trees in range(AT_ONCE, TREES + 1, AT_ONCE):
        forest.set_params(n_estimators=trees).fit(pixels, classes)
        if clock.share >= 1:
            break
    return forest


def main() -> None:
    job, out, _ = arguments()
    job.prepare("train", stretched)
    clock = Clock(job.budget_s)
    pixels, classes, crops = gather(job, clock)
    forest = grown(job, clock, pixels, classes)
    learning = {"steps": None, "crops": crops, "pixels": len(pixels), **clock.told()}

    def predict(number: int, raw: np.ndarray) -> dict[str, np.ndarray]:
        found = np.zeros((raw.size, job.classes), np.float32)
        found[:, forest.classes_] = forest.predict_proba(features(stretched(raw), job.threads))
        return {"probabilities": found.reshape(*raw.shape, job.classes)}

    nodes = sum(tree.tree_.node_count for tree in forest.estimators_)
    prediction = predict_all(job, out, predict)
    tell(
        out,
        ("scikit-learn", "scikit-image"),
        learning=learning,
        prediction=prediction,
        parameters=nodes,
        parameters_are="nodes of the trees",
    )


if __name__ == "__main__":
    main()
