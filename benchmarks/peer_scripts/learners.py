"""A contestant on a job: ``python learners.py NAME JOB OUT OPTIONS``, in its own environment.

Each function learns on the job and gives what ``told.json`` says of it, and what predicts: raw
pixels (H, W) → {"probabilities": (H, W, classes)}, or {"instances": (H, W), "scores": (N,)}.

``temzoo`` learns by the loss of its model's task, ``pytorch`` (temzoo's U-Net) and ``smp`` by Dice
and cross-entropy; all three with AdamW and the schedule of ``replay.rate``.

``atomai`` is its Segmentor with its defaults (Unet, cross-entropy, Adam at 1e-3): each step is
``Segmentor.train_step`` on the next crops; the test batch that ``fit`` looks at in every cycle is
left out, which leaves all of the time to learning.

``stardist`` is StarDist 2D, trained by its own ``train`` until the time is used, with its defaults
but for predictions on every second pixel (grid 2, as its examples have it), the crops' size and the
batch. It learns from the first crops of the job, in an order of its own, and chooses weights and
thresholds on a tenth of the training micrographs, which it does not learn from.

``sklearn`` is a random forest on scikit-image's features, with the settings of "Trainable
segmentation using local features and random forests" of its gallery: intensity and texture at 1 to
16 px, 50 trees of depth 10, 5 % of the pixels for each. The pixels are a tenth of each crop, as
many crops as a third of the time gives; trees grow until the rest is used, or there are 50.
"""

import inspect
import itertools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from replay import PEAK_RATE, WEIGHT_DECAY, Clock, Job, finish, learn, padded, stretched

Learnt = tuple[dict[str, Any], Callable[[np.ndarray], dict[str, np.ndarray]]]
STRIDE = 32  # micrographs are mirrored up to multiples of it, for networks
# Of the forest.
FEATURES = {"intensity": True, "edges": False, "texture": True, "sigma_min": 1, "sigma_max": 16}
SHARE_OF_PIXELS = 0.1
MOST_PIXELS = 2_000_000
GATHERING = 1 / 3  # of the time
TREES, AT_ONCE = 50, 5
# Of StarDist.
STEPS_PER_EPOCH = 25  # after each of which it looks at its validation patches
MOST_CROPS = 4096
PATCHES = 8
THRESHOLD_IMAGES = 10


def of_temzoo(job: Job, options: dict[str, Any]) -> Learnt:
    """Any model that learns from labels; objects and their scores where its task finds them."""
    import keras

    import temzoo
    from temzoo.zoo.cards import model_card
    from temzoo.zoo.task import task_named

    keras.utils.set_random_seed(job.seed)
    name = options.pop("model")
    task, names = task_named(model_card(name).task), tuple(job.told["class_names"])
    model = temzoo.get_model(name, classes=job.classes, **options)
    target = task.target(names)
    examples = [_labelled(job, number, names) for number in range(job.told["train"])]
    task.prepare(model, examples, (1.0, 1.0))
    measured = []
    for number, example in enumerate(examples):
        drawn = target.draw(example.labels)
        measured.append(target.measure(drawn))
        job.keep("train", number, "drawn", drawn)
    optimizer = keras.optimizers.AdamW(PEAK_RATE, weight_decay=WEIGHT_DECAY, **task.optimizer)
    task.compile(model, optimizer=optimizer)

    counter = itertools.count()

    def step(_batch, rate):
        numbers = [next(counter) for _ in range(job.batch)]
        pixels = np.stack([job.cut(k, "pixels") for k in numbers])[..., None].astype(np.float32)
        of = [measured[int(job.crops[k % len(job.crops), 0])] for k in numbers]
        drawn = (np.ascontiguousarray(job.cut(k, "drawn")) for k in numbers)
        truths = [
            target.encode(one, whole=w, magnification=1.0) for one, w in zip(drawn, of, strict=True)
        ]
        optimizer.learning_rate.assign(rate)
        model.train_on_batch(pixels, _together(truths, target.padding))

    def predict(raw: np.ndarray) -> dict[str, np.ndarray]:
        if task.least_score is None:
            found = temzoo.predict(model, raw, probabilities=True, instances=None)
            return {"probabilities": found.probabilities}
        found = temzoo.predict(model, raw)
        kinds = {"instances": found.instances.astype(np.int32), "classes": found.classes}
        return {**kinds, "scores": np.asarray(found.scores, np.float32)}

    learning = learn(job, step)
    learnt = [w for w in model.weights if not w.name.startswith("moving_")]  # as PyTorch counts
    count = sum(int(np.prod(w.shape)) for w in learnt)
    return {"packages": ("tensorflow", "keras"), "learning": learning, "parameters": count}, predict


def _labelled(job: Job, number: int, names: tuple[str, ...]) -> Any:
    """A micrograph that teaches, with its objects as masks, as temzoo's tasks take it."""
    from skimage.measure import regionprops

    from temzoo.core.types import Example, LabelledImage, Shape
    from temzoo.labels.shapes.run_lengths import mask_geometry

    instances = job.array("train", number, "instances")
    classes, shapes = job.array("train", number, "classes"), []
    for one in regionprops(instances):
        points, runs = mask_geometry(one.image, *one.bbox[:2])
        label = names[max(1, int(classes[tuple(one.coords[0])])) - 1]
        shapes.append(Shape("mask", label, points, runs=runs))
    height, width = instances.shape
    labels = LabelledImage(f"{number:04d}", width, height, tuple(shapes), names)
    return Example(labels, load=lambda: None)


def _together(truths: list, padding: Any) -> Any:
    """What is learnt of the crops of a batch; lists of objects are filled up to one length."""
    if padding is None:
        return np.stack(truths)
    most = max(1, *(len(next(iter(truth.values()))) for truth in truths))
    batch = {}
    for name, fill in padding.items():
        parts = [truth[name] for truth in truths]
        batch[name] = np.full((len(parts), most, *parts[0].shape[1:]), fill, parts[0].dtype)
        for row, part in zip(batch[name], parts, strict=True):
            row[: len(part)] = part
    return batch


def of_pytorch(job: Job, options: dict[str, Any]) -> Learnt:
    from torch_networks import UNet

    return _of_network(job, lambda: UNet(classes=job.classes, **options), ("torch",))


def of_smp(job: Job, options: dict[str, Any]) -> Learnt:
    from torch_networks import LITE_WEIGHTS, ensure_torchvision, import_lite

    ensure_torchvision()
    import segmentation_models_pytorch as smp

    how = {"in_channels": 1, "classes": job.classes, **options}
    lite = how.get("encoder_weights") == LITE_WEIGHTS
    if lite:
        how["encoder_weights"] = None

    def make():
        network = smp.Unet(**how)
        if lite:
            import_lite(network.encoder)
        return network

    return _of_network(job, make, ("segmentation-models-pytorch", "torch"))


def _of_network(job: Job, make: Callable, packages: tuple[str, ...]) -> Learnt:
    """What ``make()`` gives: (B, 1, H, W) normalised pixels to (B, classes, H, W) logits."""
    import torch
    from torch_networks import loss_of

    torch.set_num_threads(job.threads)
    torch.manual_seed(job.seed)
    job.prepare("train", stretched)
    network = make()
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    network.train()

    def step(batch, rate):
        pixels, classes = (torch.from_numpy(array) for array in batch)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss_of(network(pixels[:, None]), classes.long()).backward()
        optimizer.step()

    def predict(raw: np.ndarray) -> dict[str, np.ndarray]:
        pixels = torch.from_numpy(padded(stretched(raw), STRIDE))[None, None]
        with torch.inference_mode():
            found = network(pixels).softmax(dim=1)[0]
        found = found.permute(1, 2, 0)[: raw.shape[0], : raw.shape[1]].numpy()
        return {"probabilities": found}

    learning = learn(job, step, "pixels", "classes")
    network.eval()
    count = sum(p.numel() for p in network.parameters())
    return {"packages": packages, "learning": learning, "parameters": count}, predict


def of_atomai(job: Job, options: dict[str, Any]) -> Learnt:
    from torch_networks import ensure_torchvision

    ensure_torchvision()
    import atomai
    import torch

    torch.set_num_threads(job.threads)
    job.prepare("train", stretched)
    outputs = 1 if job.classes == 2 else job.classes
    model = atomai.models.Segmentor("Unet", nb_classes=outputs, **options)
    torch.manual_seed(job.seed)

    def targets(classes: np.ndarray) -> np.ndarray:
        """As AtomAI wants them: (B, 1, H, W) of one class, (B, H, W) of several."""
        one = job.classes == 2
        return (classes > 0).astype(np.float32)[:, None] if one else classes.astype(np.int64)

    # Compiling wants data, and of them the classes; what it gets has all of them and is not used.
    some = np.arange(job.batch * job.crop**2).reshape(job.batch, job.crop, job.crop) % job.classes
    some = [np.zeros(some.shape, np.float32)[:, None], targets(some)] * 2
    model.compile_trainer(some, batch_size=job.batch, training_cycles=1)

    def step(batch, _rate):
        pixels, classes = batch
        model.train_step(torch.from_numpy(pixels[:, None]), torch.from_numpy(targets(classes)))

    def predict(raw: np.ndarray) -> dict[str, np.ndarray]:
        how = {"compute_coords": False, "norm": False, "verbose": False}
        found = model.predict(padded(stretched(raw), STRIDE), **how)  # AtomAI would add zeros
        found = np.asarray(found)[0, : raw.shape[0], : raw.shape[1]]
        if outputs == 1:
            found = np.concatenate([1 - found, found], axis=-1)
        return {"probabilities": found}

    learning = learn(job, step, "pixels", "classes")
    count = sum(p.numel() for p in model.net.parameters())
    return {"packages": ("atomai", "torch"), "learning": learning, "parameters": count}, predict


def of_stardist(job: Job, options: dict[str, Any]) -> Learnt:
    import keras
    from stardist.models import Config2D, StarDist2D

    keras.utils.set_random_seed(job.seed)
    job.prepare("train", stretched)
    held = np.random.default_rng(job.seed).permutation(job.told["train"])
    held = held[: max(1, job.told["train"] // 10)]
    among = np.isin(job.crops[:, 0], held)
    teaching = [int(k) for k in np.flatnonzero(~among[:MOST_CROPS])]
    judging = [int(k) for k in np.flatnonzero(among)[:PATCHES]]
    sizes = {"train_patch_size": (job.crop, job.crop), "train_batch_size": job.batch}
    how = {"n_rays": 32, "grid": (2, 2), "n_channel_in": 1, "train_tensorboard": False}
    kinds = ("pixels", "instances")
    with tempfile.TemporaryDirectory() as folder:
        model = StarDist2D(Config2D(**how, **sizes, **options), name="peer", basedir=folder)
        model.prepare_for_training()
        clock, steps = Clock(job.budget_s), []

        def ended(step, logs=None):
            steps.append(step)
            model.keras_model.stop_training = clock.share >= 1

        model.callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_end=ended))
        model.train(
            *([job.cut(k, kind) for k in teaching] for kind in kinds),
            validation_data=[[job.cut(k, kind) for k in judging] for kind in kinds],
            seed=job.seed,
            epochs=10_000,
            steps_per_epoch=STEPS_PER_EPOCH,
        )
        learning = {"steps": len(steps), "crops": len(steps) * job.batch, **clock.told()}
        clock = Clock(1.0)
        some = [int(n) for n in held[:THRESHOLD_IMAGES]]
        chosen = model.optimize_thresholds(
            *([job.array("train", n, kind) for n in some] for kind in kinds)
        )
        learning["thresholds"] = {**dict(chosen), **clock.told()}

    def predict(raw: np.ndarray) -> dict[str, np.ndarray]:
        instances, about = model.predict_instances(stretched(raw), verbose=False)
        scores = np.asarray(about["prob"], np.float32)
        return {"instances": instances.astype(np.int32), "scores": scores}

    packages, count = ("stardist", "csbdeep", "tensorflow"), int(model.keras_model.count_params())
    return {"packages": packages, "learning": learning, "parameters": count}, predict


def of_sklearn(job: Job, options: dict[str, Any]) -> Learnt:
    from skimage.feature import multiscale_basic_features
    from sklearn.ensemble import RandomForestClassifier

    # "workers" since scikit-image 0.26
    known = inspect.signature(multiscale_basic_features).parameters
    threads = {"workers" if "workers" in known else "num_workers": job.threads}

    def features(pixels: np.ndarray) -> np.ndarray:
        """(H, W) to (H * W, F)."""
        found = multiscale_basic_features(pixels, **FEATURES, **threads)
        return found.reshape(pixels.size, -1)

    job.prepare("train", stretched)
    clock, generator = Clock(job.budget_s), np.random.default_rng(job.seed)
    seen, true = [], []
    count = round(SHARE_OF_PIXELS * job.crop**2)
    while (clock.share < GATHERING and len(seen) * count < MOST_PIXELS) or not seen:
        drawn = generator.choice(job.crop**2, count, replace=False)
        true.append(job.cut(len(seen), "classes").ravel()[drawn])
        seen.append(features(job.cut(len(seen), "pixels"))[drawn])
    pixels, classes = np.concatenate(seen), np.concatenate(true)
    how = {"max_depth": 10, "max_samples": 0.05, "n_jobs": job.threads, "random_state": job.seed}
    forest = RandomForestClassifier(0, warm_start=True, **how)
    for trees in range(AT_ONCE, TREES + 1, AT_ONCE):
        forest.set_params(n_estimators=trees).fit(pixels, classes)
        if clock.share >= 1:
            break

    def predict(raw: np.ndarray) -> dict[str, np.ndarray]:
        found = np.zeros((raw.size, job.classes), np.float32)
        found[:, forest.classes_] = forest.predict_proba(features(stretched(raw)))
        return {"probabilities": found.reshape(*raw.shape, job.classes)}

    learning = {"steps": None, "crops": len(seen), "pixels": len(pixels), **clock.told()}
    nodes = sum(tree.tree_.node_count for tree in forest.estimators_)  # stand for its parameters
    packages = ("scikit-learn", "scikit-image")
    return {"packages": packages, "learning": learning, "parameters": nodes}, predict


if __name__ == "__main__":
    name, folder, out, options = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    asked = Job(folder)
    told, predicts = globals()[f"of_{name}"](asked, json.loads(options))
    finish(asked, Path(out), predicts, **told)
