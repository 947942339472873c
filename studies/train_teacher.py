"""Train the quickstart teacher: a 1 x 500 tanh network on the real compactiv table, by the recipe of the paper.

Notation: standardized inputs ``x (N, 21)``, standardized target ``y (N,)``. This is the one place that reads real rows;
the distillation sees only the network that comes out. Source: Zhou & Chiam 2023 (arXiv 2301.04338) and its published code.
"""

from __future__ import annotations

import argparse
import io
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

FEATURES, HIDDEN = 21, 500
EPOCHS, BATCH, PATIENCE = 500, 16, 50
PROVENANCE = ("stack_trace", "nn_module_stack", "torch_fn", "source_fn_stack", "from_node")
"""What torch.export notes of the author's machine and code on every node of a graph."""


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))


def rmse(net: nn.Module, x: Tensor, y: Tensor) -> float:
    """Root mean square error in units of the standardized target."""
    with torch.no_grad():
        return float((net(x)[:, 0] - y).square().mean().sqrt())


def train(table: dict[str, Tensor], seed: int) -> nn.Sequential:
    """Train on the rows ``train``; keep the weights of the epoch that was best on the rows ``valid``."""
    torch.manual_seed(seed)
    net = network()
    best, best_valid, stale, epochs = deepcopy(net.state_dict()), float("inf"), 0, 0
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5)
    x, y = table["x"][table["train"]], table["y"][table["train"]]
    held_out = table["x"][table["valid"]], table["y"][table["valid"]]
    while epochs < EPOCHS and stale <= PATIENCE:
        epochs += 1
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            (net(x[rows])[:, 0] - y[rows]).square().mean().backward()
            optimizer.step()
        valid = rmse(net, *held_out)
        if valid < best_valid:
            best, best_valid = deepcopy(net.state_dict()), valid
        else:
            # As published: the schedule counts only epochs without improvement, and so does patience, over the whole run.
            schedule.step(valid**2)
            stale += 1
    print(f"stopped after epoch {epochs}; best validation RMSE {best_valid:.4f}")
    net.load_state_dict(best)
    return net.eval()


def archive(net: nn.Module) -> bytes:
    """The network as a ``.pt2`` file with a free batch size and without any trace of where it was made."""
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(net, (torch.zeros(2, FEATURES),), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        for key in PROVENANCE:
            node.meta.pop(key, None)
    file = io.BytesIO()
    torch.export.save(program, file)
    data = file.getvalue()
    for trace in (b"site-packages", str(Path(__file__).resolve().parent.parent).encode()):
        if trace in data:
            raise SystemExit(f"the archive would hold {trace.decode()!r}")
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder that holds data/compactiv.npz")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("studies"), help="folder for quickstart_teacher.pt2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(options.shared / "data" / "compactiv.npz") as arrays:
        table = {key: torch.from_numpy(arrays[key]) for key in ("y", "train", "valid", "test")}
        table["x"] = torch.from_numpy(arrays["X"])
    net = train(table, options.seed)
    print(f"test RMSE {rmse(net, table['x'][table['test']], table['y'][table['test']]):.4f}")
    path = options.out / "quickstart_teacher.pt2"
    path.write_bytes(archive(net))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
