"""Weights wherever a checkpoint keeps them, and in whichever form training left them."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from teacher_files import FEATURES, HIDDEN, OUTPUTS, ROWS, answers, fails, network, save_architecture
from torch import nn
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel

from dfkd_tune.teachers.loader import load_teacher

NET = network()
STATE = NET.state_dict()


def adam() -> dict:
    optimizer = torch.optim.Adam(network().parameters())
    return optimizer.state_dict()


def renamed(prefix: str) -> dict:
    return {f"{prefix}{key}": value for key, value in STATE.items()}


class Lit(nn.Module):
    """A network inside of a module, as Lightning has it."""

    def __init__(self):
        super().__init__()
        self.model = network()


LIGHTNING = {
    "epoch": 3,
    "global_step": 9,
    "pytorch-lightning_version": "2.5.0",
    "state_dict": Lit().state_dict(),
    "optimizer_states": [adam()],
    "lr_schedulers": [],
    "hparams_name": "kwargs",
    "hyper_parameters": {"lr": 0.1},
    "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
}
CHECKPOINTS = {
    "model_state_dict": {"epoch": 3, "model_state_dict": STATE, "optimizer_state_dict": adam(), "loss": 0.1},
    "model": {"model": STATE, "optimizer": adam(), "best": torch.tensor(0.1)},
    "nested": {"checkpoint": {"net": STATE}, "optim": adam()},
    "own name": {"my_network": STATE, "step": 4},
    "lightning": LIGHTNING,
    "data parallel": renamed("module."),
    "compiled": renamed("_orig_mod."),
    "compiled in parallel": renamed("module._orig_mod."),
    "averaged": AveragedModel(NET).state_dict(),
    "averaged by hand": STATE | {"n_avg": torch.tensor(4)},
}


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".pth", ".pkl", ".pickle"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_are_found_in_a_checkpoint_without_trust(tmp_path, name, suffix):
    path = tmp_path / f"net{suffix}"
    torch.save(CHECKPOINTS[name], path)
    teacher = load_teacher(path, save_architecture(tmp_path))
    torch.testing.assert_close(answers(teacher), NET(ROWS).detach())


NORMS = {
    "weight_norm": lambda layer: nn.utils.weight_norm(layer),
    "weight_norm of all": lambda layer: nn.utils.weight_norm(layer, dim=None),
    "weight_norm of columns": lambda layer: nn.utils.weight_norm(layer, dim=1),
    "parametrized weight_norm": parametrizations.weight_norm,
    "spectral_norm": lambda layer: nn.utils.spectral_norm(layer),
    "parametrized spectral_norm": parametrizations.spectral_norm,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("kind", [".pt", ".safetensors"])
def test_normalized_weights_are_put_together(tmp_path, name, kind):
    torch.manual_seed(0)
    first, last = NORMS[name](nn.Linear(FEATURES, HIDDEN)), NORMS[name](nn.Linear(HIDDEN, OUTPUTS))
    net = nn.Sequential(first, nn.Tanh(), last).double()
    for _ in range(3):
        net(ROWS)  # in training mode, where a spectral norm iterates
    net.eval()
    path = tmp_path / f"net{kind}"
    save = save_file if kind == ".safetensors" else torch.save
    save({key: value.contiguous() for key, value in net.state_dict().items()}, path)
    teacher = load_teacher(path, save_architecture(tmp_path))
    torch.testing.assert_close(answers(teacher), net(ROWS).detach())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_are_answered_in_single(tmp_path, dtype):
    path = tmp_path / "net.safetensors"
    save_file({key: value.to(dtype) for key, value in STATE.items()}, path)
    teacher = load_teacher(path, save_architecture(tmp_path))
    assert teacher.dtype == torch.float32
    torch.testing.assert_close(answers(teacher), network().to(dtype).double()(ROWS).detach(), rtol=1e-5, atol=1e-6)


def test_layers_of_two_precisions_are_answered_in_the_finer(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(STATE | {"0.weight": STATE["0.weight"].float(), "0.bias": STATE["0.bias"].float()}, path)
    assert load_teacher(path, save_architecture(tmp_path)).dtype == torch.float64


def test_keys_may_have_their_wrapper_or_not(tmp_path):
    path = tmp_path / "net.pt"
    torch.save(renamed("module."), path)
    for keys in (["0", "2"], ["module.0", "module.2"]):
        text = f"layers: [{FEATURES}, {HIDDEN}, {OUTPUTS}]\nkeys: {keys}"
        torch.testing.assert_close(answers(load_teacher(path, save_architecture(tmp_path, text))), NET(ROWS).detach())


def test_remedies_fit(tmp_path):
    path = tmp_path / "net.ckpt"
    torch.save({"epoch": 3, "optimizer": adam()}, path)
    with fails(path, "holds a dict with epoch, optimizer", "model.state_dict()"):
        load_teacher(path)
    torch.save({"state_dict": STATE, "hyper_parameters": Path("x")}, path)
    with fails(path, "pickled code", "pathlib", "save the weights alone"):
        load_teacher(path)
    torch.save(STATE | {"norm.running_mean": torch.zeros(3)}, path)
    with fails(path, "no layer uses", "as .pt2"):
        load_teacher(path, save_architecture(tmp_path))


def test_a_pickled_module_or_state_is_taken_when_its_author_is_trusted(tmp_path):
    architecture = save_architecture(tmp_path)
    for suffix in (".pkl", ".pickle", ".joblib"):
        for held in (NET, STATE, {"model": NET, "epoch": 3}):
            path = tmp_path / f"net{suffix}"
            path.write_bytes(pickle.dumps(held))
            with fails(path, "is a pickle", "--trust-pickle"):
                load_teacher(path)
            teacher = load_teacher(path, architecture, trust_pickle=True)
            torch.testing.assert_close(answers(teacher), NET(ROWS).detach())
