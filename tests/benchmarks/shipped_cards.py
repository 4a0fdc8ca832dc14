"""Which shipped weights have a card that says something, as MODEL/NAME."""

import temzoo
from temzoo.zoo.cards import model_card


def saying(field: str) -> list[str]:
    """Those whose card states the field ("side", "noise")."""
    return [
        f"{model}/{name}"
        for model in temzoo.list_models()
        for name, card in model_card(model).weights.items()
        if getattr(card, field) is not None
    ]
