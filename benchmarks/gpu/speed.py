"""Images/s of one U-Net under Keras' JAX backend and in PyTorch, on the device, in turns.

Both have the same weights and take pixels that are normalised and on the device already. A
prediction gives probabilities; a training step has the loss of the peers' contest (Dice and
cross-entropy) and AdamW; every call is waited for. float32 lets the matrix units round to TF32 in
both libraries' convolutions; bfloat16 is Keras' policy "mixed_bfloat16" and PyTorch's autocast.
"scan" is several steps in one compiled call, as ``benchmarks.gpu train`` takes them; its times are
of one step. Each library is as it is unasked: JAX compiles the whole step and searches for the
fastest kernels; in "PyTorch compiled" the network is compiled, loss and AdamW are not, single
images are left out, and cuDNN does not search (``torch.backends.cudnn.benchmark``).

Compiling takes far longer than measuring: each case has a process of its own, all compile at once,
and then one after the other warms up and measures, alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax

import temzoo
from benchmarks.gpu.hardware import told_of_run
from benchmarks.peers.environments import SCRIPTS
from benchmarks.records import RESULTS, spread, write_json
from temzoo.models.layers import dtype_policy
from temzoo.tasks.pixel_models import normalized_alone
from temzoo.tasks.semantic_graph import SegmentationLoss

Run = Callable[[], Any]
Case = tuple[str, str, int]  # what, precision, batch
CONFIG = {"filters": 32, "depth": 4, "classes": 2, "channels": 1}
SMALL = {**CONFIG, "filters": 8, "depth": 2}
SIDE = 256
BATCHES = {"prediction": (1, 32), "training": (32,)}
RATE, DECAY = 1e-3, 1e-4
SCANNED = 10
SCAN = f"temzoo, JAX, scan of {SCANNED}"
PRECISIONS = ("float32", "bfloat16")
REFERENCE = "PyTorch eager"
WARM_UP, LEAST = 3, 10  # calls
PATIENCE_S = 170.0  # with what compiles
RECORD = "gpu-speed.json"


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


def arrays_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Weights by layer and name, as ``torch_unet.load_keras`` takes them."""
    return {f"{each.name}/{v.name}": v.numpy() for each in model.layers for v in each.weights}


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


def torch_forms(config, arrays) -> dict[str, Callable[[], Any]]:
    """Makers of the same network in PyTorch, with the memory format of each."""
    import torch

    if str(SCRIPTS) not in sys.path:
        sys.path.insert(0, str(SCRIPTS))  # the peers' scripts are no package
    from torch_unet import UNet, load_keras

    def made(form):
        net = UNet(**config)
        load_keras(net, arrays)
        return net.to("cuda" if torch.cuda.is_available() else "cpu", memory_format=form)

    last = torch.channels_last
    return {
        REFERENCE: lambda: (made(torch.contiguous_format), torch.contiguous_format),
        "PyTorch channels_last": lambda: (made(last), last),
        "PyTorch compiled": lambda: (torch.compile(made(last)), last),
    }


def torch_runs(config, precision: str, arrays, pixels, classes=None) -> dict[str, Run]:
    """Predictions, or training steps where classes are given; single images are not compiled."""
    forms = torch_forms(config, arrays)
    if len(pixels) == 1:
        del forms["PyTorch compiled"]
    return {name: _torch_run(*make(), precision, pixels, classes) for name, make in forms.items()}


def _torch_run(net, form, precision: str, pixels, classes) -> Run:
    import torch
    from torch_learning import loss_of

    where = "cuda" if torch.cuda.is_available() else "cpu"
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


def in_turns(runs: Mapping[str, Run], seconds: float) -> dict[str, list[float]]:
    """Seconds of each call; about so many seconds for each."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    began = time.perf_counter()
    while len(next(iter(found.values()))) < LEAST or (
        time.perf_counter() - began < seconds * len(runs)
    ):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            found[name].append(time.perf_counter() - start)
    return found


def prepared(case: Case, config: Mapping[str, Any]) -> tuple[dict[str, Run], dict[str, float]]:
    """What runs, and how far predictions are from those of the reference.

    Raises:
        ValueError: one library has the GPU and the other has not.
    """
    _check_same_device()
    what, precision, batch = case
    generator = np.random.default_rng(1)
    pixels = generator.uniform(-1, 1, (batch, SIDE, SIDE, 1)).astype(np.float32)
    classes = generator.integers(0, config["classes"], (batch, SIDE, SIDE))
    arrays = arrays_of(network(config, "float32"))
    if what == "training":
        hot = np.eye(config["classes"], dtype=np.float32)[classes]
        runs = jax_trainings(config, precision, pixels, hot)
        runs |= torch_runs(config, precision, arrays, pixels, classes)
    else:
        runs = jax_predictions(config, precision, pixels)
        runs |= torch_runs(config, precision, arrays, pixels)
    _warm(runs)
    if what == "training":
        return runs, {}
    answers = {name: _array(run()) for name, run in runs.items()}
    return runs, {n: float(np.abs(a - answers[REFERENCE]).max()) for n, a in answers.items()}


def _check_same_device() -> None:
    import torch

    theirs = "gpu" if torch.cuda.is_available() else "cpu"
    if jax.default_backend() != theirs:
        raise ValueError(
            f"JAX and PyTorch must compute on one device. Received: {jax.default_backend()} and"
            f" {theirs}. Install builds of both that see the GPU, or set CUDA_VISIBLE_DEVICES= ."
        )


def _warm(runs: Mapping[str, Run]) -> None:
    for run in runs.values():
        for _ in range(WARM_UP):
            run()


def rows_of(case: Case, taken: Mapping[str, list[float]], apart) -> list[dict[str, Any]]:
    """A row for each library and form, of the seconds of its calls."""
    what, precision, batch = case
    each = {n: np.array(t) / (SCANNED if n == SCAN else 1) for n, t in taken.items()}
    return [
        {
            "what": what,
            "precision": precision,
            "batch": batch,
            "engine": name,
            "images_per_s": spread((batch / times).tolist()),
            "ratio": spread((each[REFERENCE] / times).tolist()),
            "difference": apart.get(name),
        }
        for name, times in each.items()
    ]


def _array(answer: Any) -> np.ndarray:
    return np.asarray(answer if isinstance(answer, jax.Array) else answer.cpu())


def _work(wire, case: Case, config: Mapping[str, Any], seconds: float) -> None:
    """A process's work: prepares, waits for its turn, measures."""
    runs, apart = prepared(case, config)
    wire.send("ready")
    wire.recv()
    _warm(runs)  # it has waited since
    wire.send(rows_of(case, in_turns(runs, seconds), apart))


def measure(cases: Sequence[Case], config: Mapping[str, Any], seconds: float):
    """Rows of each case, as they come; a case that fails is left out."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # many share the device
    spawn = multiprocessing.get_context("spawn")
    workers = []
    for case in cases:
        ours, theirs = spawn.Pipe()
        worker = spawn.Process(target=_work, args=(theirs, case, config, seconds), daemon=True)
        worker.start()
        theirs.close()
        workers.append((case, ours, worker))
    until = time.monotonic() + PATIENCE_S
    ready = []
    for case, wire, worker in workers:
        if _heard(wire, case, until):
            ready.append((case, wire, worker))
        else:
            worker.terminate()
            worker.join()
    for case, wire, worker in ready:
        wire.send("go")
        rows = _heard(wire, case, float("inf")) or ()
        worker.join()
        yield from rows


def _heard(wire, case: Case, until: float) -> Any:
    """What a process says, or None with a word why: it ended, or it is not ready in time."""
    try:
        while not wire.poll(1):
            if time.monotonic() > until:
                raise TimeoutError
        return wire.recv()
    except (EOFError, TimeoutError) as error:
        why = "ended early" if isinstance(error, EOFError) else "was not ready in time"
        print(f"{case} {why} and is left out", file=sys.stderr, flush=True)
        return None


def main(arguments: argparse.Namespace) -> int:
    config, scale = (SMALL, 16) if arguments.quick else (CONFIG, 1)
    cases = [
        (what, precision, max(1, batch // scale))
        for what, batches in BATCHES.items()
        for batch in batches
        for precision in PRECISIONS
    ]
    rows = []
    for row in measure(cases, config, arguments.seconds):
        rows.append(row)
        print(_said(row), flush=True)
        _write(rows, config, arguments)
    return 0 if rows else 1


def _said(row: Mapping[str, Any]) -> str:
    speed, ratio = (row[key]["median"] for key in ("images_per_s", "ratio"))
    told = (row["what"], row["precision"], f"batch {row['batch']}", row["engine"])
    return f"{', '.join(told)}: {speed:.1f} images/s, {ratio:.2f} of {REFERENCE}"


def _write(rows, config, arguments: argparse.Namespace) -> None:
    """After each part, so that what stops early loses no more than the rest."""
    words = f"python -m benchmarks.gpu speed --seconds {arguments.seconds:g}"
    record = {
        "about": f"U-Net, {config['filters']} filters, depth {config['depth']}, {SIDE} px",
        "command": words + " --quick" * arguments.quick,
        **told_of_run(),
        "rows": rows,
    }
    folder = arguments.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ("quick-" * arguments.quick + RECORD), record)
