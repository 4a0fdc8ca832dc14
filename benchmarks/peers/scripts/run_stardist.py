"""StarDist 2D, trained by its own ``train`` until the time is used.

Its defaults, but for predictions on every second pixel (grid 2, as its examples have it), the
crops' size and the batch. It learns from the first crops of the job, in an order of its own, and
chooses weights and thresholds on a tenth of the training micrographs, which it does not learn from.
"""

from __future__ import annotations

import tempfile

import keras
import numpy as np
from replay import Clock, arguments, predict_all, stretched, tell
from stardist.models import Config2D, StarDist2D

STEPS_PER_EPOCH = 25  # after each of which it looks at its validation patches
MOST_CROPS = 4096
PATCHES = 8
THRESHOLD_IMAGES = 10


class Crops(keras.utils.PyDataset):
    """Crops of the job by number, cut when asked for."""

    def __init__(self, job, numbers, kind: str):
        super().__init__()
        self.job, self.numbers, self.kind = job, numbers, kind

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.job.cut(self.numbers[index], self.kind)


class Stop(keras.callbacks.Callback):
    """Ends the training when the time is used."""

    def __init__(self, clock: Clock):
        super().__init__()
        self.clock, self.steps = clock, 0

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.clock.share >= 1:
            self.model.stop_training = True


def parts(job) -> tuple[list[int], list[int]]:
    """Numbers of the crops that teach, and of the micrographs that thresholds are chosen on."""
    kept = max(1, job.told["train"] // 10)
    held = np.random.default_rng(job.seed).permutation(job.told["train"])[:kept]
    of = job.crops[:MOST_CROPS, 0]
    return [int(k) for k in np.flatnonzero(~np.isin(of, held))], [int(n) for n in held]


def main() -> None:
    job, out, options = arguments()
    keras.utils.set_random_seed(job.seed)
    job.prepare("train", stretched)
    teaching, held = parts(job)
    judging = [int(k) for k in np.flatnonzero(np.isin(job.crops[:, 0], held))[:PATCHES]]
    config = Config2D(
        n_rays=32,
        grid=(2, 2),
        n_channel_in=1,
        train_patch_size=(job.crop, job.crop),
        train_batch_size=job.batch,
        train_tensorboard=False,
        **options,
    )
    with tempfile.TemporaryDirectory() as folder:
        model = StarDist2D(config, name="peer", basedir=folder)
        model.prepare_for_training()
        clock = Clock(job.budget_s)
        stop = Stop(clock)
        model.callbacks.append(stop)
        model.train(
            Crops(job, teaching, "pixels"),
            Crops(job, teaching, "instances"),
            validation_data=[
                [job.cut(k, kind) for k in judging] for kind in ("pixels", "instances")
            ],
            seed=job.seed,
            epochs=10_000,
            steps_per_epoch=STEPS_PER_EPOCH,
        )
        learning = {"steps": stop.steps, "crops": stop.steps * job.batch, **clock.told()}
        clock = Clock(1.0)
        kinds = ("pixels", "instances")
        shown = [[job.array("train", n, kind) for n in held[:THRESHOLD_IMAGES]] for kind in kinds]
        chosen = model.optimize_thresholds(*shown)
        learning["thresholds"] = {**dict(chosen), **clock.told()}

        def predict(_number: int, raw: np.ndarray) -> dict[str, np.ndarray]:
            instances, about = model.predict_instances(stretched(raw), verbose=False)
            scores = np.asarray(about["prob"], np.float32)
            return {"instances": instances.astype(np.int32), "scores": scores}

        prediction = predict_all(job, out, predict)
    count = int(model.keras_model.count_params())
    packages = ("stardist", "csbdeep", "tensorflow")
    tell(out, packages, learning=learning, prediction=prediction, parameters=count)


if __name__ == "__main__":
    main()
