"""How a PyTorch network learns and predicts here: Dice and cross-entropy, AdamW, whole images."""

from __future__ import annotations

import numpy as np
import torch
from replay import PEAK_RATE, WEIGHT_DECAY, learn, padded, predict_all, stretched, tell
from torch.nn import functional

STRIDE = 32  # micrographs are mirrored up to multiples of it


def loss_of(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and 1 - soft Dice over the batch, mean of the foreground classes."""
    truth = functional.one_hot(classes, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:].float()
    found = logits.softmax(dim=1)[:, 1:]
    over = (0, 2, 3)
    hit, total = (truth * found).sum(over), truth.sum(over) + found.sum(over)
    dice = ((hit + 1) / (0.5 * total + 1)).mean()
    return functional.cross_entropy(logits, classes) + 1 - dice


def contest(job, out, make, packages, **told) -> None:
    """Trains what ``make()`` gives on the job, predicts and tells."""
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

    learning = learn(job, step, "pixels", "classes")
    network.eval()
    prediction = predict_all(job, out, lambda number, raw: {"probabilities": probe(network, raw)})
    count = sum(p.numel() for p in network.parameters())
    tell(out, packages, learning=learning, prediction=prediction, parameters=count, **told)


def probe(network: torch.nn.Module, raw: np.ndarray) -> np.ndarray:
    """(H, W) raw pixels to (H, W, classes) probabilities, the whole image at once."""
    pixels = torch.from_numpy(padded(stretched(raw), STRIDE))[None, None]
    with torch.inference_mode():
        found = network(pixels).softmax(dim=1)[0]
    return found.permute(1, 2, 0)[: raw.shape[0], : raw.shape[1]].numpy()
