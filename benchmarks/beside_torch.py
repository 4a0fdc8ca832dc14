"""Images/s of one U-Net with the same weights in temzoo and in PyTorch, in turns.

    python -m benchmarks peers --speed           # on the processor: the engines of `accelerate`
    python -m benchmarks gpu-speed --seconds 4   # on the device: under Keras' JAX backend

All take pixels that are normalised and in memory (of the device) already; a prediction gives
probabilities, and every call is waited for. Each batch, and on the device each precision, has a
process of its own, one after the other; one that fails is left out. "PyTorch compiled" is the
network alone.

On the processor int8 is calibrated on the inputs, which are what is computed, and PyTorch is that
of its environment (``peers --setup pytorch``). On the device a training step has the loss of the
peers' contest (Dice and cross-entropy) and AdamW. float32 lets the matrix units round to TF32 in
both libraries' convolutions; bfloat16 is Keras' policy "mixed_bfloat16" and PyTorch's autocast.
"scan" is several steps in one compiled call, as ``gpu-train`` takes them; its times are of one
step. Each library is as it is unasked: JAX compiles the whole step and searches for the fastest
kernels; in "PyTorch compiled" loss and AdamW are not compiled, single images are left out, and
cuDNN does not search (``torch.backends.cudnn.benchmark``).
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np

import temzoo
from benchmarks.datasets import Arguments, generated
from benchmarks.environments import SCRIPTS, python_of, why_not
from benchmarks.timing import in_child, in_turns, rates, ratio, threads_of
from temzoo.models.layers import dtype_policy
from temzoo.tasks.pixel_models import normalized_alone

Run = Callable[[], Any]
Makers = Mapping[str, Callable[[], Run]]  # of what is called, by engine
Config = Mapping[str, Any]  # of a U-Net
CONFIG = {"filters": 32, "depth": 4, "classes": 2, "channels": 1}
SMALL = {**CONFIG, "filters": 8, "depth": 2}
SIDE = 256
REFERENCE = "PyTorch eager"  # of ratios
ORIGINAL = "temzoo TensorFlow"  # of differences on the processor
TITLES = {"tensorflow": "TensorFlow", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
PRECISIONS = ("float32", "bfloat16")
REST_S = 0.3  # threads that spin after their work must not slow the next
BATCHES = (1, 8)
ON_DEVICE = {"prediction": (1, 32), "training": (32,)}  # batches of each
LEAST, MOST = 10, 10_000  # calls on the device
RATE, DECAY = 1e-3, 1e-4
SCANNED = 10
SCAN = f"temzoo, JAX, scan of {SCANNED}"


def model_of(config: Config, precision: str = "float32") -> keras.Model:
    """temzoo's U-Net, the same weights for every precision."""
    keras.utils.set_random_seed(0)
    with dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32"):
        model = temzoo.get_model("unet", compile=False, **config)
    draw = np.random.default_rng(0).uniform
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:  # so that one mistaken for another would show
                variable.assign(variable.numpy() + draw(-0.2, 0.2, variable.shape))
    return model


def pixels_of(batch: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (batch, SIDE, SIDE, 1)).astype(np.float32)


def rows_of(makers: Makers, batch: int, original: str | None, **turns: Any) -> list[dict]:
    """A row for each engine: images/s, its ratio to the reference turn by turn, its difference.

    Answers are compared with that of ``original``, if any.
    """
    rows: dict[str, dict[str, Any]] = {name: {"engine": name, "batch": batch} for name in makers}
    runs, answers = {}, {}
    for name, make in makers.items():
        try:
            run = make()
            answer = run()
            answers[name] = answer.cpu() if hasattr(answer, "cpu") else answer
            runs[name] = run
        except Exception as error:  # an engine that cannot is a row of the table
            rows[name]["left_out"] = f"{type(error).__name__}: {error}"[-600:]
    taken = in_turns(runs, **turns)
    seconds = {n: [t / (SCANNED if n == SCAN else 1) for t in times] for n, times in taken.items()}
    for name, times in seconds.items():
        rows[name]["images_per_s"] = rates(times, batch)
        if REFERENCE in seconds:
            rows[name]["ratio"] = ratio(seconds[REFERENCE], times)
        if original in answers:
            apart = np.asarray(answers[name]) - np.asarray(answers[original])
            rows[name]["difference"] = float(np.abs(apart).max())
    return list(rows.values())


def accelerated(config: Config, pixels: np.ndarray, threads: int) -> Makers:
    """The engines of ``temzoo.accelerate``."""
    from temzoo.deploy.engines.makers import MAKERS, check_installed, made
    from temzoo.deploy.engines.network import Network

    network = Network(model_of(config))
    network.crops = list(pixels[:, None])

    def make(key: tuple[str, str]) -> Run:
        check_installed(*key)
        return partial(made(network, *key, threads).answer, pixels)

    names = {key: f"temzoo {TITLES[key[0]]} {key[1]}".removesuffix(" float32") for key in MAKERS}
    return {name: partial(make, key) for key, name in names.items()}


def torch_makers(config: Config, precision: str, pixels: np.ndarray, classes=None) -> Makers:
    """PyTorch's forms: of predictions, or of training steps where classes are given."""
    sys.path.insert(0, str(SCRIPTS))  # they are no package
    import torch
    from torch_networks import UNet, load_keras

    arrays = {
        f"{each.name}/{v.name}": v.numpy() for each in model_of(config).layers for v in each.weights
    }
    where = "cuda" if torch.cuda.is_available() else "cpu"

    def make(form, compiled: bool) -> Run:
        net = UNet(**config)
        load_keras(net, arrays)
        net = net.to(where, memory_format=form)
        x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=form).to(where)
        half = {"device_type": where, "dtype": torch.bfloat16, "enabled": precision == "bfloat16"}
        y = None if classes is None else torch.from_numpy(classes).long().to(where)
        return torch_run(torch.compile(net) if compiled else net, x, y, half)

    plain, last = torch.contiguous_format, torch.channels_last
    forms = {REFERENCE: (plain, False), "PyTorch channels_last": (last, False)}
    if where == "cpu" or len(pixels) > 1:
        forms["PyTorch compiled"] = (last, True)
    return {name: partial(make, *form) for name, form in forms.items()}


def torch_run(net, x, y, half: Mapping[str, Any]) -> Run:
    """A prediction of ``x``, or a step where there is a ``y``; ``half`` is of the autocast."""
    import torch
    from torch_networks import loss_of

    wait = torch.cuda.synchronize if x.is_cuda else (lambda: None)
    if y is None:
        net.eval()

        def run():
            with torch.inference_mode(), torch.autocast(**half):
                found = net(x).float().softmax(dim=1)
            wait()
            return found.permute(0, 2, 3, 1)

        return run
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)

    def learn():
        optimizer.zero_grad()
        with torch.autocast(**half):
            logits = net(x)
        loss_of(logits.float(), y).backward()
        optimizer.step()
        wait()

    return learn


def child_on_processor(
    config: Config, batch: int, threads: int, repetitions: int, packages: str | None
) -> list[dict]:
    """In the child: a row for each engine; ``packages`` is where PyTorch is installed, if it is."""
    pixels, makers = pixels_of(batch), {}
    if packages is not None:
        sys.path.append(packages)  # behind temzoo's own
        import torch

        torch.set_num_threads(threads)
        makers |= torch_makers(config, "float32", pixels)
        half = torch_makers(config, "bfloat16", pixels)
        makers["PyTorch bfloat16"] = half[REFERENCE]
        makers["PyTorch compiled bfloat16"] = half["PyTorch compiled"]
    makers |= accelerated(config, pixels, threads)
    how = {"least": repetitions, "most": repetitions, "rest_s": REST_S}
    return rows_of(makers, batch, ORIGINAL, **how)


def on_processor(arguments: Arguments) -> dict[str, Any]:
    """What a record says of ``peers --speed``."""
    config = SMALL if arguments.quick else CONFIG
    repetitions = 2 if arguments.quick else 7
    left_out, packages = why_not("pytorch"), None
    if left_out is None:
        home = python_of("pytorch").parents[1]
        packages = str(next(home.glob("lib/python*/site-packages")))
    cells, threads = [], arguments.threads
    child = partial(in_child, "benchmarks.beside_torch:child_on_processor", config)
    for batch in BATCHES:
        if left_out is not None:
            cells.append({"engine": REFERENCE, "batch": batch, "left_out": left_out})
        cells += child(batch, threads, repetitions, packages, **threads_of(threads))
    parameters = model_of(config).count_params()
    about = f"{_said(config)}, {parameters:,} parameters, random weights, {SIDE} x {SIDE} px"
    told = {"what": "engines", "name": f"{config['filters']}-filters", "about": about, "seed": 0}
    told |= {"model": "unet", "config": config, "settings": {"threads": threads}}
    drawn = generated("random normalised pixels", pixels_of(max(BATCHES)), seed=1)
    return told | {"dataset": drawn, "figures": {"cells": cells}}


def _said(config: Config) -> str:
    return f"U-Net, {config['filters']} filters, depth {config['depth']}"


def jax_prediction(config: Config, precision: str, pixels: np.ndarray) -> Run:
    import jax

    model = normalized_alone(model_of(config, precision))
    weights = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    call = jax.jit(lambda w, o, x: model.stateless_call(w, o, x, training=False)[0])
    x = jax.device_put(pixels)
    return lambda: call(weights, others, x).block_until_ready()


def jax_step(config: Config, precision: str, pixels, hot, scanned: int) -> Run:
    """A training step as ``gpu-train`` takes it, or several in one compiled call."""
    import jax
    import optax

    from benchmarks.gpu_train import learning_step, start

    model = normalized_alone(model_of(config, precision))
    adam = optax.adamw(RATE, weight_decay=DECAY)
    x, y = jax.device_put(pixels), jax.device_put(hot)
    learn, state = learning_step(model, adam), tuple(start(model, adam)[:3])

    def step(state, _):
        *state, value = learn(*state, x, y)
        return tuple(state), value

    def steps(state):
        return jax.lax.scan(step, state, length=scanned) if scanned > 1 else step(state, None)

    compiled = jax.jit(steps, donate_argnums=0)

    def run():
        nonlocal state
        state, value = compiled(state)
        return value.block_until_ready()

    return run


def child_on_device(what: str, precision: str, batch: int, config: Config, seconds: float) -> list:
    """In the child: a row for each library and form; a ValueError where one alone has the GPU."""
    import jax
    import torch

    theirs = "gpu" if torch.cuda.is_available() else "cpu"
    if jax.default_backend() != theirs:
        raise ValueError(
            f"JAX and PyTorch must compute on one device. Received: {jax.default_backend()} and"
            f" {theirs}. Install builds of both that see the GPU, or set CUDA_VISIBLE_DEVICES= ."
        )
    pixels, told = pixels_of(batch), {"what": what, "precision": precision}
    makers: Makers = {}
    if what == "prediction":
        makers["temzoo, JAX"] = partial(jax_prediction, config, precision, pixels)
        makers |= torch_makers(config, precision, pixels)
    else:
        classes = np.random.default_rng(1).integers(0, config["classes"], pixels.shape[:3])
        hot = np.eye(config["classes"], dtype=np.float32)[classes]
        for name, scanned in (("temzoo, JAX", 1), (SCAN, SCANNED)):
            makers[name] = partial(jax_step, config, precision, pixels, hot, scanned)
        makers |= torch_makers(config, precision, pixels, classes)
    how = {"budget": seconds * len(makers), "least": LEAST, "most": MOST}
    original = REFERENCE if what == "prediction" else None
    return [told | row for row in rows_of(makers, batch, original, **how)]


def main(arguments: Arguments) -> Iterator[dict[str, Any]]:
    """What records say of ``gpu-speed``."""
    from benchmarks.gpu_scenes import device

    config, scale = (SMALL, 16) if arguments.quick else (CONFIG, 1)
    rows: list[dict[str, Any]] = []
    told = {"about": f"{_said(config)}, {SIDE} px", "model": "unet", "config": config, "seed": 0}
    cases = [(what, p, n) for what, sizes in ON_DEVICE.items() for n in sizes for p in PRECISIONS]
    for what, precision, batch in cases:
        case = (what, precision, max(1, batch // scale), config, arguments.seconds)
        try:
            rows += in_child("benchmarks.beside_torch:child_on_device", *case)
        except RuntimeError as error:
            print(f"{what}, {precision}, batch {batch} is left out: {error}", file=sys.stderr)
            continue
        # After each case, so that what stops early loses no more than the rest.
        yield {"name": "unet", "figures": {"rows": [*rows]}, **told, **device()}
    if not rows:
        raise SystemExit("Something must be measured. Received: no case that ran; see above.")
