"""``python -m benchmarks.gpu``: see the package's head."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import benchmarks.gpu as package
from benchmarks.gpu.recipes import RECIPES


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    pack = commands.add_parser("pack", help="data, small, to travel")
    pack.add_argument("names", nargs="*", default=["emps", "super1"], help="datasets")
    pack.add_argument("--data", type=Path, help="folder of the named datasets")
    pack.add_argument("--out", type=Path, default=Path("packed"))
    pack.add_argument("--quality", type=int, default=101, help="of WebP; 101: lossless (101)")
    train = commands.add_parser("train", help="a recipe")
    train.add_argument("recipe", choices=[*RECIPES])
    train.add_argument("--packed", type=Path, default=Path("packed"), help="what pack wrote")
    train.add_argument("--steps", type=int, help="over which the rate falls; the recipe's")
    train.add_argument("--until", type=float, default=1.0, help="stop at this share of them (1)")
    train.add_argument("--start", help="weights to go on from: NAME of a shipped set, or a run")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--float32", action="store_true", help="instead of mixed bfloat16")
    train.add_argument("--out", type=Path, help="folder of the run (runs/gpu-RECIPE)")
    speed = commands.add_parser("speed", help="images/s beside the same network in PyTorch")
    speed.add_argument("--seconds", type=float, default=4.0, help="of each row, about (4)")
    speed.add_argument("--quick", action="store_true", help="small, to see whether it runs")
    speed.add_argument("--out", type=Path, help="folder of the results")
    commands.add_parser("table", help="results/gpu.md anew from the records")
    return main_parser


def main(words: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(words)
    return {"pack": _pack, "train": _train, "speed": _speed, "table": _table}[arguments.command](
        arguments
    )


def _pack(arguments: argparse.Namespace) -> int:
    from benchmarks.datasets import DATA, open_dataset
    from benchmarks.gpu.packed import pack

    for name in arguments.names:
        dataset = open_dataset(name, data=arguments.data or DATA)
        path = pack(dataset, arguments.out, arguments.quality)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    _under_jax()
    from benchmarks.gpu import learning, packed
    from benchmarks.gpu.hardware import told_of_run

    recipe = RECIPES[arguments.recipe]
    data = packed.unpack(arguments.packed / f"{recipe.data}.npz")
    folder = arguments.out or Path("runs") / f"gpu-{arguments.recipe}"
    told = {"command": _command(arguments), **told_of_run(), "seed": arguments.seed}
    told |= {"quality": data.quality, "fingerprint": data.fingerprint}
    plan = learning.Plan(
        arguments.steps or recipe.steps,
        arguments.until,
        arguments.start,
        arguments.seed,
        not arguments.float32,
    )
    done = learning.train(
        recipe,
        data,
        plan,
        save=lambda trained: learning.write(trained, recipe, data.class_names, folder, **told),
        say=lambda line: print(f"{arguments.recipe}: {line}", flush=True),
    )
    print(f"{arguments.recipe}: {done.steps} steps in {done.seconds:.0f} s: {folder}", flush=True)
    return 0


def _command(arguments: argparse.Namespace) -> str:
    """The words that repeat a training: the recipe, and what is not as usual."""
    usual = parser().parse_args(["train", arguments.recipe])
    words = ["python -m benchmarks.gpu train", arguments.recipe]
    for key in ("steps", "until", "start", "seed"):
        value = getattr(arguments, key)
        if value != getattr(usual, key):
            words.append(f"--{key} {value}")
    return " ".join([*words, *["--float32"] * arguments.float32])


def _under_jax() -> None:
    """Takes Keras' JAX backend where none was chosen.

    Raises:
        ValueError: another was.
    """
    chosen = os.environ.setdefault("KERAS_BACKEND", "jax")
    if chosen != "jax":
        raise ValueError(f"benchmarks.gpu needs KERAS_BACKEND=jax. Received: {chosen}. Unset it.")


def _speed(arguments: argparse.Namespace) -> int:
    _under_jax()
    from benchmarks.gpu import speed

    return speed.main(arguments)


def _table(arguments: argparse.Namespace) -> int:
    from benchmarks.gpu.table import write_table

    print(write_table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
