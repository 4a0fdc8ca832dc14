"""A folder as model hubs take it: a model card in README.md, the weights and their card beside it.

README.md begins with the fields that Hugging Face's hub reads (https://huggingface.co/docs/hub/
model-cards): licence, library, tags, and the scores as a ``model-index``. Nothing is uploaded.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from temzoo.core.files import new_folder, write_json, write_text
from temzoo.deploy.exporting.readme import public_card, readme
from temzoo.zoo.cards import model_card
from temzoo.zoo.pretrained import WeightsCard, as_json, card_path, find_trained

README = "README.md"
BOUNDS = ("low", "high", "images", "epoch")  # of a card's scores, that are none themselves
USE_TEXT = """\
```shell
temzoo predict {file} FOLDER --out predictions
```

```python
import temzoo

model = temzoo.get_model("{model}", weights="{file}")
prediction = temzoo.predict(model, "micrograph.tif")
```
"""


def write_folder(weights: str | Path, folder: str | Path) -> Path:
    """Writes the folder of trained weights, whole or not at all.

    Args:
        weights: a run folder, a weights file, or MODEL/NAME of a shipped set.
        folder: a new one, or an empty one.

    Returns:
        the folder. Absolute paths on the card are cut to their last parts.

    Raises:
        FileNotFoundError: there are no such weights.
        FileExistsError: the folder is there, and not empty.
        ValueError: the weights are not those of their card.
    """
    found = find_trained(weights)
    found.check()
    card = public_card(found.card)
    with new_folder(folder) as made:
        path = made / found.path.name
        shutil.copyfile(found.path, path)
        write_json(card_path(path), as_json(asdict(card)), indent=2)
        title = card_path(path).stem
        text = readme(card, f"temzoo {title}", USE_TEXT.format(file=path.name, model=card.model))
        head = yaml.safe_dump(_front(card, title), sort_keys=False, allow_unicode=True)
        write_text(made / README, f"---\n{head}---\n\n{text}")
    return Path(folder)


def _front(card: WeightsCard, title: str) -> dict[str, Any]:
    """The fields before the text."""
    task = model_card(card.model).task
    metrics = [
        {"type": name, "value": value}
        for name, value in card.scores.items()
        if name not in BOUNDS and isinstance(value, int | float)
    ]
    dataset = {"name": "validation images", "type": "validation"}
    result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
    front = {
        "license": card.licence.lower(),
        "library_name": "keras",
        "tags": ["temzoo", "electron-microscopy", task, card.model],
        "model-index": [{"name": title, "results": [result]}] if metrics else [],
    }
    return {key: value for key, value in front.items() if value}
