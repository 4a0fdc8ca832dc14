"""AtomAI's Segmentor with its defaults (Unet, cross-entropy, Adam at 1e-3), batch by batch.

Each step is ``Segmentor.train_step`` on the next crops; the test batch that ``fit`` looks at in
every cycle is left out, which leaves all of the time to learning.
"""

from __future__ import annotations

import numpy as np
import torch
from replay import arguments, learn, predict_all, stretched, tell
from torch_networks import ensure_torchvision

ensure_torchvision()
import atomai  # noqa: E402  it imports torchvision


def targets(job, classes: np.ndarray) -> np.ndarray:
    """As AtomAI wants them: (B, 1, H, W) of one class, (B, H, W) of several."""
    if job.classes == 2:
        return (classes > 0).astype(np.float32)[:, None]
    return classes.astype(np.int64)


def main() -> None:
    job, out, options = arguments()
    torch.set_num_threads(job.threads)
    job.prepare("train", stretched)
    outputs = 1 if job.classes == 2 else job.classes
    model = atomai.models.Segmentor("Unet", nb_classes=outputs, **options)
    torch.manual_seed(job.seed)
    # Compiling wants data, and of them the classes; what it gets has all of them and is not used.
    some = np.arange(job.batch * job.crop**2).reshape(job.batch, job.crop, job.crop) % job.classes
    some = [np.zeros(some.shape, np.float32)[:, None], targets(job, some)] * 2
    model.compile_trainer(some, batch_size=job.batch, training_cycles=1)

    def step(batch, _rate):
        pixels, classes = batch
        model.train_step(torch.from_numpy(pixels[:, None]), torch.from_numpy(targets(job, classes)))

    learning = learn(job, step, "pixels", "classes")

    def predict(_number: int, raw: np.ndarray) -> dict[str, np.ndarray]:
        widths = [(0, -n % 32) for n in raw.shape]  # AtomAI would fill up with zeros
        found = model.predict(
            np.pad(stretched(raw), widths, mode="symmetric"),
            compute_coords=False,
            norm=False,
            verbose=False,
        )
        found = np.asarray(found)[0, : raw.shape[0], : raw.shape[1]]
        if outputs == 1:
            found = np.concatenate([1 - found, found], axis=-1)
        return {"probabilities": found}

    prediction = predict_all(job, out, predict)
    count = sum(p.numel() for p in model.net.parameters())
    tell(out, ("atomai", "torch"), learning=learning, prediction=prediction, parameters=count)


if __name__ == "__main__":
    main()
