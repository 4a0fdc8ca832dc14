"""Images/s of one U-Net under Keras' JAX backend and in PyTorch, on the device, in turns.

    python -m benchmarks gpu-speed --seconds 4

Both have the same weights and take pixels that are normalised and on the device already. A
prediction gives probabilities; a training step has the loss of the peers' contest (Dice and
cross-entropy) and AdamW; every call is waited for. float32 lets the matrix units round to TF32 in
both libraries' convolutions; bfloat16 is Keras' policy "mixed_bfloat16" and PyTorch's autocast.
"scan" is several steps in one compiled call, as ``gpu-train`` takes them; its times are of one
step. Each library is as it is unasked: JAX compiles the whole step and searches for the fastest
kernels; in "PyTorch compiled" the network is compiled, loss and AdamW are not, single images are
left out, and cuDNN does not search (``torch.backends.cudnn.benchmark``). Each case has a process of
its own, one after the other; one that fails is left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax

import temzoo
from benchmarks.gpu import device
from benchmarks.records import ROOT, result
from benchmarks.timing import in_child, in_turns, rates, ratio
from temzoo.models.layers import dtype_policy
from temzoo.tasks.pixel_models import normalized_alone
from temzoo.tasks.semantic_graph import SegmentationLoss

Run = Callable[[], Any]
CONFIG = {"filters": 32, "depth": 4, "classes": 2, "channels": 1}
SMALL = {**CONFIG, "filters": 8, "depth": 2}
SIDE = 256
BATCHES = {"prediction": (1, 32), "training": (32,)}
RATE, DECAY = 1e-3, 1e-4
SCANNED = 10
SCAN = f"temzoo, JAX, scan of {SCANNED}"
PRECISIONS = ("float32", "bfloat16")
REFERENCE = "PyTorch eager"
LEAST, MOST = 10, 10_000  # calls


def network(config: Mapping[str, Any], precision: str) -> keras.Model:
    """temzoo's U-Net from normalised pixels on, the same weights for every precision."""
    keras.utils.set_random_seed(0)
    with dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32"):
        model = normalized_alone(temzoo.get_model("unet", compile=False, **config))
    draw = np.random.default_rng(0).uniform
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for variable in layer.weights:  # so that one mistaken for another would show
                variable.assign(variable.numpy() + draw(-0.2, 0.2, variable.shape))
    return model


def jax_predictions(config, precision: str, pixels: np.ndarray) -> dict[str, Run]:
    model = network(config, precision)
    weights = [v.value for v in model.trainable_variables]
    others = [v.value for v in model.non_trainable_variables]
    call = jax.jit(lambda w, o, x: model.stateless_call(w, o, x, training=False)[0])
    x = jax.device_put(pixels)
    return {"temzoo, JAX": lambda: call(weights, others, x).block_until_ready()}


def jax_trainings(config, precision: str, pixels: np.ndarray, hot: np.ndarray) -> dict[str, Run]:
    model = network(config, precision)
    loss_of, adam = SegmentationLoss("dice_ce"), optax.adamw(RATE, weight_decay=DECAY)
    x, y = jax.device_put(pixels), jax.device_put(hot)

    def loss(weights, others):
        found, others = model.stateless_call(weights, others, x, training=True)
        return loss_of(y, found), others

    def step(state, _):
        weights, others, moments = state
        (value, others), slopes = jax.value_and_grad(loss, has_aux=True)(weights, others)
        ways, moments = adam.update(slopes, moments, weights)
        return (optax.apply_updates(weights, ways), others, moments), value

    def runs(compiled) -> Run:
        weights = [jnp.copy(v.value) for v in model.trainable_variables]
        others = [jnp.copy(v.value) for v in model.non_trainable_variables]
        state = (weights, others, adam.init(weights))

        def run():
            nonlocal state
            state, value = compiled(state)
            return value.block_until_ready()

        return run

    one = jax.jit(lambda state: step(state, None), donate_argnums=0)
    many = jax.jit(lambda state: jax.lax.scan(step, state, length=SCANNED), donate_argnums=0)
    return {"temzoo, JAX": runs(one), SCAN: runs(many)}


def torch_runs(config, precision: str, pixels, classes=None) -> dict[str, Run]:
    """Predictions, or training steps where classes are given; single images are not compiled."""
    import torch

    sys.path.insert(0, str(ROOT / "benchmarks" / "peers" / "scripts"))  # they are no package
    from torch_networks import UNet, load_keras

    model = network(config, "float32")
    arrays = {f"{each.name}/{v.name}": v.numpy() for each in model.layers for v in each.weights}
    where = "cuda" if torch.cuda.is_available() else "cpu"

    def made(form):
        net = UNet(**config)
        load_keras(net, arrays)
        return net.to(where, memory_format=form)

    plain, last = torch.contiguous_format, torch.channels_last
    nets = {REFERENCE: (made(plain), plain), "PyTorch channels_last": (made(last), last)}
    if len(pixels) > 1:
        nets["PyTorch compiled"] = (torch.compile(made(last)), last)
    return {n: _torch_run(*net, where, precision, pixels, classes) for n, net in nets.items()}


def _torch_run(net, form, where: str, precision: str, pixels, classes) -> Run:
    import torch
    from torch_networks import loss_of

    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(memory_format=form).to(where)
    half = {"device_type": where, "dtype": torch.bfloat16, "enabled": precision == "bfloat16"}
    wait = torch.cuda.synchronize if where == "cuda" else (lambda: None)
    if classes is None:
        net.eval()

        def run():
            with torch.inference_mode(), torch.autocast(**half):
                found = net(x).float().softmax(dim=1)
            wait()
            return found.permute(0, 2, 3, 1)

        return run
    y = torch.from_numpy(classes).long().to(where)
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    net.train()

    def learn():
        optimizer.zero_grad()
        with torch.autocast(**half):
            logits = net(x)
        loss_of(logits.float(), y).backward()
        optimizer.step()
        wait()

    return learn


def child_rows(what: str, precision: str, batch: int, config: Mapping[str, Any], seconds: float):
    """In the child: a row for each library and form.

    Raises:
        ValueError: one library has the GPU and the other has not.
    """
    import torch

    theirs = "gpu" if torch.cuda.is_available() else "cpu"
    if jax.default_backend() != theirs:
        raise ValueError(
            f"JAX and PyTorch must compute on one device. Received: {jax.default_backend()} and"
            f" {theirs}. Install builds of both that see the GPU, or set CUDA_VISIBLE_DEVICES= ."
        )
    generator = np.random.default_rng(1)
    pixels = generator.uniform(-1, 1, (batch, SIDE, SIDE, 1)).astype(np.float32)
    classes = generator.integers(0, config["classes"], (batch, SIDE, SIDE))
    apart: dict[str, float] = {}
    if what == "training":
        hot = np.eye(config["classes"], dtype=np.float32)[classes]
        runs = jax_trainings(config, precision, pixels, hot)
        runs |= torch_runs(config, precision, pixels, classes)
    else:
        runs = jax_predictions(config, precision, pixels) | torch_runs(config, precision, pixels)
        answers = {name: _array(run()) for name, run in runs.items()}
        apart = {n: float(np.abs(a - answers[REFERENCE]).max()) for n, a in answers.items()}
    taken = in_turns(runs, budget=seconds * len(runs), least=LEAST, most=MOST)
    told = {"what": what, "precision": precision, "batch": batch}
    return [told | row for row in rows_of(batch, taken, apart)]


def _array(answer: Any) -> np.ndarray:
    return np.asarray(answer if isinstance(answer, jax.Array) else answer.cpu())


def rows_of(
    batch: int, taken: Mapping[str, Sequence[float]], apart: Mapping[str, float]
) -> list[dict[str, Any]]:
    """A row for each library and form, of the seconds of its calls."""
    each = {n: [t / (SCANNED if n == SCAN else 1) for t in times] for n, times in taken.items()}
    return [
        {
            "engine": name,
            "images_per_s": rates(times, batch),
            "ratio": ratio(each[REFERENCE], times),
            "difference": apart.get(name),
        }
        for name, times in each.items()
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=4.0, help="of each row, about (4)")


def main(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    config, scale = (SMALL, 16) if arguments.quick else (CONFIG, 1)
    rows: list[dict[str, Any]] = []
    about = f"U-Net, {config['filters']} filters, depth {config['depth']}, {SIDE} px"
    told = {"command": arguments.again(), "config": config, "quick": arguments.quick, "seed": 0}
    cases = [(what, p, batch) for what in BATCHES for batch in BATCHES[what] for p in PRECISIONS]
    for what, precision, batch in cases:
        case = (what, precision, max(1, batch // scale), config, arguments.seconds)
        try:
            rows += in_child("benchmarks.gpu.speed:child_rows", *case)
        except RuntimeError as error:
            print(f"{what}, {precision}, batch {batch} is left out: {error}", file=sys.stderr)
            continue
        # After each case, so that what stops early loses no more than the rest.
        named = {"about": about, "model": "unet", **device(), **told}
        yield result("gpu-speed", "unet", figures={"rows": [*rows]}, **named)
    return not rows
