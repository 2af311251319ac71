"""Several processes: the same steps as one, with a share of the batch each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from drawn import road_set
from safetensors.torch import load_file, save_file

from edge_seg.errors import EdgeSegError
from edge_seg.training.loop import train
from edge_seg.training.settings import Settings
from edge_seg.training.team import Team

# Batch norm on CPUs takes each process's own statistics; all else must agree.
SETTINGS = Settings(
    options={"depth": 2, "batch_norm": False},
    loss="ce+lovasz",
    class_weights=(1.0, 1.0, 3.0),
    steps=6,
    batch=4,
    lr=1e-3,
    height=96,
    width=128,
    crop_height=64,
    crop_width=96,
)
SCRIPT = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
torch.set_num_threads(1)
sys.path.insert(0, {here!r})
from test_training_team import trained
trained(Path(sys.argv[1]))
"""


def trained(folder: Path) -> None:
    """Train on the sets in a folder, and keep the exact weights of each process."""
    from edge_seg.frames import FrameSet

    rank = os.environ.get("RANK", "0")
    sets = (FrameSet.open(folder / name) for name in ("train", "val"))
    place = folder / f"of-{os.environ.get('WORLD_SIZE', '1')}"
    place.mkdir(exist_ok=True)
    state = train(SETTINGS, *sets, place / "lane.safetensors")
    weights = {name: value.contiguous() for name, value in state.network.state_dict().items()}
    save_file(weights, place / f"{rank}.safetensors")


def test_two_processes_with_half_the_batch_are_one_with_the_whole(tmp_path: Path) -> None:
    road_set(tmp_path / "train", 8)
    road_set(tmp_path / "val", 2, 1000)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, script, tmp_path], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    trained(tmp_path)
    wanted = load_file(tmp_path / "of-1/0.safetensors")
    first, second = (load_file(tmp_path / f"of-2/{rank}.safetensors") for rank in range(2))
    for name, value in wanted.items():
        # Sums in another order; where a gradient is next to nothing, Adam makes a step of that.
        gap = (first[name].double() - value.double()).abs().flatten()
        assert gap.max() < SETTINGS.lr / 4, name
        assert (gap > 2e-5 + 1e-3 * value.double().abs().flatten()).double().mean() < 0.01, name
        assert torch.equal(first[name], second[name]), name
    assert (tmp_path / "of-2/lane.safetensors").exists()
    assert not (tmp_path / "of-2/lane.checkpoint.safetensors").exists()


def test_a_team_of_one_changes_nothing() -> None:
    team = Team(bf16=False)
    logits, masks = torch.randn(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.int64)
    assert (team.size, team.first, team.device.type) == (1, True, "cpu")
    assert team.share(5) == range(5)
    assert all(a is b for a, b in zip(team.whole(logits, masks), (logits, masks), strict=True))
    assert team.agreed(15) == 15


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    team = Team(bf16=False)
    team.size = 2
    assert team.share(6) == range(3)
    with pytest.raises(EdgeSegError, match="a batch of 5 is not shared by 2"):
        team.share(5)
