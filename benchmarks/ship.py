"""Makes a set of shipped weights of a finished run.

    python -m benchmarks.ship emps-frozen --as unet_mobilenet/emps-frozen --run runs/emps-frozen
    python -m benchmarks.ship supervised --as autoencoder/emps-denoise --run runs/denoise-supervised

writes ``weights/MODEL-NAME.weights.h5`` (float16, what was trained alone) with its card, enters it
into ``weights/index.json``, and scores it after loading, so that the card states what is shipped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
from dataclasses import replace
from pathlib import Path

from benchmarks import denoise
from benchmarks.accuracy import DATA, EXPERIMENTS, load
from benchmarks.records import use_encoder_beside
from temzoo import pretrained
from temzoo.files import atomic_path

WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
SOURCES = {
    "emps": ("EMPS, Yildirim and Cole 2021, doi:10.1021/acs.jcim.0c01455, training part", "MIT"),
    "super1": ("NASA pretrained-microscopy-models, Super1, training part", "MIT"),
}


def ship(experiment: str, name: str, run: Path, data: Path) -> Path:
    """Writes file, card and index entry; returns the file's path."""
    import temzoo

    restores = experiment in denoise.NETWORKS
    model_name, _, short = name.partition("/")
    path = WEIGHTS / f"{model_name}-{short}{pretrained.SUFFIX}"
    model = temzoo.get_model(model_name, weights=run, compile=False)
    pretrained.save_trained(model, path)
    dataset, licence = SOURCES["emps" if restores else EXPERIMENTS[experiment].data]
    suite = "denoise" if restores else "accuracy"
    card = replace(
        pretrained.read_card(run / pretrained.BEST),
        dataset=dataset,
        licence=licence,
        command=f"python -m benchmarks.{suite} {experiment}",
        date=datetime.date.today().isoformat(),
        partial=True,  # as save_trained writes it
        scores={},
    )
    pretrained.write_card(path, card)
    again = temzoo.get_model(model_name, weights=path, compile=False)
    scores = _psnr(again, data) if restores else _iou(again, experiment, data)
    pretrained.write_card(path, replace(card, scores=scores))
    _enter(name)
    return path


def _iou(model, experiment: str, data: Path) -> dict[str, float]:
    """On the validation images, with its interval."""
    import temzoo

    _, judge = load(EXPERIMENTS[experiment], data)
    iou = temzoo.evaluate(model, judge, instances=None).iou
    figures = {"iou": round(iou.value, 4), "low": round(iou.low, 4), "high": round(iou.high, 4)}
    return {**figures, "images": len(judge)}


def _psnr(model, data: Path) -> dict[str, float]:
    """At each dose, on the validation images."""
    _, judge = denoise.clean(data)
    found = {dose: denoise.restored_scores(model, judge, dose)[0] for dose in denoise.DOSES}
    means = {
        f"psnr_db {dose}": round(statistics.fmean(one.psnr for one in scores), 2)
        for dose, scores in found.items()
    }
    return {**means, "images": len(judge)}


def _enter(name: str) -> None:
    index = WEIGHTS / "index.json"
    names = (
        set(json.loads(index.read_text(encoding="utf-8"))["weights"]) if index.exists() else set()
    )
    with atomic_path(index) as temporary:
        content = {"weights": sorted(names | {name})}
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship", description=__doc__)
    parser.add_argument("experiment", choices=[*EXPERIMENTS, *denoise.NETWORKS])
    parser.add_argument("--as", dest="name", required=True, help="MODEL/NAME")
    parser.add_argument("--run", type=Path, required=True, help="its finished run folder")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    use_encoder_beside(arguments.data)
    path = ship(arguments.experiment, arguments.name, arguments.run, arguments.data)
    print(path, pretrained.read_card(path).scores)


if __name__ == "__main__":
    main()
