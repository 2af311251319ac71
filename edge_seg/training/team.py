"""The processes that train together, a device each: through Hugging Face Accelerate.

    accelerate launch --num_processes 2 -m edge_seg.cli train --train my_roads ...

    team = Team(bf16=True)
    network = team.prepare(network)            # on the device, gradients averaged over the team
    images = team.move(images)                 # this process's share of the batch
    logits, masks = team.whole(logits, masks)  # everybody's shares, for the loss
    team.backward(loss)

One process alone is a team of one. Each process makes and sees its share of the batch, and
takes the loss of the whole: losses that count overlap are no mean over shares. So a team's
steps are those of one process, up to rounding, but for batch norm on CPUs: its statistics are
those of a process's own share there (on GPUs they are the batch's).
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from edge_seg.errors import EdgeSegError


class Team:
    """This process's place among those that train together."""

    def __init__(self, bf16: bool) -> None:
        AcceleratorState._reset_state()  # a process may train twice, in another precision
        self._accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),
            mixed_precision="bf16" if bf16 else "no",
        )
        self.size: int = self._accelerator.num_processes
        self.rank: int = self._accelerator.process_index
        self.first: bool = self._accelerator.is_main_process
        self.device: torch.device = self._accelerator.device

    def share(self, batch: int) -> range:
        """Return which positions of the batch this process makes."""
        if batch % self.size:
            raise EdgeSegError(
                f"a batch of {batch} is not shared by {self.size} processes: take a multiple"
            )
        part = batch // self.size
        return range(self.rank * part, (self.rank + 1) * part)

    def prepare(self, network: nn.Module) -> nn.Module:
        """Return what to call in place of a network that is on the device already."""
        if self.size > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        prepared: nn.Module = self._accelerator.prepare_model(network)
        return prepared

    def move(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return a tensor on this process's device."""
        return pixels.to(self.device, non_blocking=True)

    def whole(self, logits: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits and masks of the whole batch; gradients flow into this share alone."""
        if self.size == 1:
            return logits, masks
        everybodys = list(self._gather(logits.detach()).chunk(self.size))
        everybodys[self.rank] = logits
        return torch.cat(everybodys), self._gather(masks)

    def _gather(self, share: torch.Tensor) -> torch.Tensor:
        gathered: torch.Tensor = self._accelerator.gather(share.contiguous())
        return gathered

    def backward(self, loss: torch.Tensor) -> None:
        """Compute the gradients of the loss of the whole batch.

        The team's gradients are averaged, each of a share: the mean is the batch's over the size.
        """
        self._accelerator.backward(loss * self.size)

    def agreed(self, number: int) -> int:
        """Return the largest of everybody's numbers."""
        if self.size == 1:
            return number
        mine = torch.tensor([number], device=self.device)
        return int(self._gather(mine).max())

    def wait(self) -> None:
        """Wait for the others."""
        self._accelerator.wait_for_everyone()
