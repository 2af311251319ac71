"""The files of a training: the checkpoint while it runs, weights and curves when it is done.

outputs = Outputs(Path("lane.safetensors"))
state = outputs.begin(settings, classes=3, start=None, resume=True)
outputs.keep(state)                  # lane.checkpoint.safetensors, .history.json, .png
outputs.finish(state, source)        # lane.safetensors; the checkpoint is gone
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch

from edge_seg.errors import EdgeSegError
from edge_seg.files import write_bytes
from edge_seg.models.weights_file import SCHEMA, Header, save
from edge_seg.preprocess import InputSpec
from edge_seg.training import state as states
from edge_seg.training.curve import plot
from edge_seg.training.settings import Settings
from edge_seg.training.sources import Source
from edge_seg.training.state import State


class Outputs:
    """Files beside ``path``; where ``writes`` is false, another process writes them."""

    def __init__(self, path: Path, writes: bool = True) -> None:
        self._path, self._writes = path, writes
        self._checkpoint = path.with_name(f"{path.stem}.checkpoint.safetensors")
        self._lines = 0

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return self._checkpoint.exists()

    def begin(
        self,
        settings: Settings,
        classes: int,
        start: Path | None,
        resume: bool,
        device: torch.device | str = "cpu",
    ) -> State:
        """Return the state to go on from, or the first; raises `EdgeSegError` for any doubt."""
        if self.has_checkpoint:
            if not resume:
                raise EdgeSegError(
                    f"{self._checkpoint} is an unfinished training: go on with --resume, "
                    "or delete it"
                )
            return states.load_checkpoint(self._checkpoint, settings, classes, device)
        if self._path.exists():
            raise EdgeSegError(
                f"{self._path} is a finished training: name another --output, or delete it"
            )
        state = states.fresh(settings, classes, device)
        if start is not None:
            states.start_from(state, start)
        return state

    def keep(self, state: State) -> None:
        """Write the checkpoint, and what can be looked at meanwhile where there is news."""
        if not self._writes:
            return
        states.save_checkpoint(self._checkpoint, state)
        if len(state.history) != self._lines:
            self._write_history(state)

    def finish(self, state: State, source: Source) -> None:
        """Write the averaged weights, the history and its curves; remove the checkpoint."""
        if not self._writes:
            return
        self._write_weights(state, source)
        self._write_history(state)
        self._checkpoint.unlink(missing_ok=True)

    def _write_history(self, state: State) -> None:
        document = {"settings": msgspec.to_builtins(state.settings), "history": state.history}
        encoded = msgspec.json.encode(document)
        write_bytes(self._path.with_name(f"{self._path.stem}.history.json"), encoded)
        plot(state.history, self._path.with_name(f"{self._path.stem}.png"))
        self._lines = len(state.history)

    def _write_weights(self, state: State, source: Source) -> None:
        """Write a weights file that `edge_seg.models.registry.load` reads."""
        settings = state.settings
        config = states.config_of(settings, len(source.classes), settings.height, settings.width)
        own = source.describe(settings)
        header = Header(
            schema=SCHEMA,
            architecture=settings.model,
            config=msgspec.to_builtins(config),
            classes=source.classes,
            input=InputSpec(settings.height, settings.width),
            trained_on="; then ".join(filter(None, [settings.start_trained_on, own])),
        )
        save(self._path, header, state.average.state_dict())
