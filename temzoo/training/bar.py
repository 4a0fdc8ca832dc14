"""A run on the terminal, or told to a function."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from temzoo.core.types import Tell


def bars_of(
    shown: bool | Tell, epochs: int, steps: int, score: str
) -> list[keras.callbacks.Callback]:
    """What shows epochs of so many steps: a bar, a function that is told, or nothing."""
    if callable(shown):
        return [Teller(shown, epochs, steps, score)]
    return [Bar(epochs, steps, score)] if shown else []


class Teller(keras.callbacks.Callback):
    """Tells a function after each step how far it is, and what the last validation gave."""

    def __init__(self, tell: Tell, epochs: int, steps: int, score: str):
        super().__init__()
        self.tell, self.epochs, self.steps, self.score = tell, epochs, steps, score
        self.epoch, self.judged = 0, ""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        share = (self.epoch + (batch + 1) / self.steps) / self.epochs
        self.tell(min(share, 1.0), f"epoch {self.epoch + 1} of {self.epochs}{self.judged}")

    def on_epoch_end(self, epoch, logs=None):
        if self.score in (logs or {}):
            self.judged = (
                f", {self.score.removeprefix('val_')} {logs[self.score]:.3f} on validation"
            )


class Bar(keras.callbacks.Callback):
    """A progress bar an epoch; a line for each that is done."""

    def __init__(self, epochs: int, steps: int, score: str):
        super().__init__()
        self.epochs, self.steps, self.bar = epochs, steps, None
        self.shown = ("loss", score.removeprefix("val_"))

    def on_train_begin(self, logs=None):
        from rich.progress import Progress, TimeElapsedColumn, TimeRemainingColumn

        columns = Progress.get_default_columns()[:3]
        self.bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn())
        console = self.bar.console
        self.bar.disable = not (console.is_terminal or console.is_jupyter)  # else an empty line
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{self.epochs}", total=self.steps)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.advance(self.task)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.remove_task(self.task)
        learnt, judged = self._figures("", logs), self._figures("val_", logs)
        line = f"epoch {epoch + 1:3d}/{self.epochs}{learnt}"
        line += f"  validation:{judged}" if judged else ""
        self.bar.console.print(line, highlight=False)

    def _figures(self, prefix: str, logs: Mapping[str, float]) -> str:
        found = [(name, logs[prefix + name]) for name in self.shown if prefix + name in logs]
        return "".join(f"  {name} {value:.4f}" for name, value in found)

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.stop()
