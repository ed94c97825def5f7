"""Other people's code that imports `dnc`, run on `memnets.compat.dnc` with that one import changed.

    git clone https://github.com/ycq091044/SafeDrug
    git clone https://github.com/proroklab/popgym
    git clone https://github.com/ixaxaar/pytorch-dnc
    python -m tests.stress.adopters --safedrug SafeDrug --popgym popgym --pytorch-dnc pytorch-dnc

It reads the files out of the clones at the commits below, changes `from dnc import` to `from
memnets.compat.dnc import`, trains SafeDrug's DMNC on a visit and goes through a patient of three,
runs POPGym's DiffNC over two fragments of a batch, and the copy task of pytorch-dnc (that of 1.1.0)
for 500 updates. RLlib, Gymnasium and visdom are stood in for by a few lines, as are POPGym's
embeddings, which DiffNC does not use. It ends with an error if one of the three does not run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import subprocess
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

COMMITS = {"safedrug": "88ce5c3", "popgym": "410d5aa", "pytorch_dnc": "33e3532"}
"""Of what is read; that of pytorch-dnc is the release 1.1.0."""
OURS = "from memnets.compat.dnc import"


def source(clone: Path, commit: str, path: str) -> str:
    """A file of a clone at a commit."""
    command = ["git", "-C", str(clone), "show", f"{commit}:{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def module(name: str, code: str = "", **names: Any) -> types.ModuleType:
    """A module of this source, or with these names in it."""
    made = types.ModuleType(name)
    vars(made).update(names)
    exec(compile(code, name, "exec"), vars(made))
    return made


@contextlib.contextmanager
def standing_in(modules: dict[str, Any]) -> Iterator[None]:
    """Have these modules for a while; what else is imported meanwhile stays."""
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def changed(code: str, imports: int = 1) -> str:
    """The source with its imports of dnc changed, and nothing else."""
    code, count = re.subn(r"^from dnc[.\w]* import (\w+)$", rf"{OURS} \1", code, flags=re.M)
    code, more = re.subn(r"^from dnc.util import \*$", "", code, flags=re.M)
    assert count + more == imports, count + more
    return code


def safedrug(clone: Path) -> str:
    """Train DMNC on a visit, then go through a patient of three visits, each from the state before.

    SafeDrug's own loop steps the optimizer between the visits of one graph, which torch has refused
    since 1.5 whatever the network is.
    """
    commit = COMMITS["safedrug"]
    layers = module("layers", source(clone, commit, "src/layers.py"))
    with standing_in({"layers": layers}):
        models = module("models", changed(source(clone, commit, "src/models.py")))
    torch.manual_seed(0)
    model = models.DMNC((30, 20, 15), emb_dim=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    visit, losses = [[3, 7, 11], [2, 5], [1, 4, 9]], []
    for _ in range(40):
        logits, *_ = model(visit)
        losses.append(nn.functional.cross_entropy(logits, torch.tensor([*visit[2], 16])))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2, losses
    model.eval()
    states: list[Any] = [None, None, None]
    for _ in range(3):
        logits, *states = model(visit, *states)
    assert logits.isfinite().all()
    return f"loss of a visit {losses[0].item():.2f} -> {losses[-1].item():.2f} in 40 updates"


class ModelOfRLlib:
    """In place of RLlib's `TorchModelV2`: what POPGym's models use of it."""

    def __init__(self, obs_space: Any, *others: Any) -> None:
        self.view_requirements = {"obs": types.SimpleNamespace(shift=0, space=obs_space)}


def popgym(clone: Path) -> str:
    """Act, value and gradient of DiffNC over two fragments of four episodes, state handed on."""
    commit, folder = COMMITS["popgym"], "popgym/baselines/"
    flat = types.SimpleNamespace(flatdim=lambda space: space.shape[0])
    spaces = types.SimpleNamespace(Space=object, utils=flat)
    typing = module("typing", ModelConfigDict=dict, TensorType=torch.Tensor)
    place = "ray.rllib.models.torch.torch_modelv2"
    stand_ins = {"gymnasium": module("gymnasium", spaces=spaces)}
    stand_ins |= {place.rsplit(".", i)[0]: module("ray") for i in (4, 3, 2, 1)}
    stand_ins |= {place: module(place, TorchModelV2=ModelOfRLlib)}
    stand_ins |= {"ray.rllib.utils": module("utils"), "ray.rllib.utils.typing": typing}
    stand_ins |= {name: module(name) for name in ("popgym", "popgym.baselines")}
    stand_ins |= {f"popgym.baselines.{name}": module(name) for name in ("models", "ray_models")}
    stand_ins |= {"popgym.baselines.models.embeddings": mock.MagicMock()}
    with standing_in(stand_ins):
        for name in ("ray_models/base_model", "ray_models/ray_diffnc"):
            code = source(clone, commit, f"{folder}{name}.py")
            code = changed(code) if name.endswith("diffnc") else code
            full = f"{folder}{name}".replace("/", ".")
            made = stand_ins[full] = sys.modules[full] = module(full, code)
        kind = vars(made)["DiffNC"]
    torch.manual_seed(0)
    space = types.SimpleNamespace(shape=(6,))
    model = kind(space, space, 3, {"max_seq_len": 8}, "policy")
    state = [torch.stack([one] * 4) for one in model.get_initial_state()]
    shapes = [one.shape for one in state]
    for _ in range(2):
        lengths = torch.tensor([5, 5, 5, 5])
        logits, state = model({"obs_flat": torch.randn(20, 6)}, state, lengths)
        assert [one.shape for one in state] == shapes
        loss = logits.square().mean() + model.value_function().square().mean()
        loss.backward()
        state = [one.detach() for one in state]
    gradient = model.core.layers[0].interface.linear.weight.grad
    assert gradient is not None
    assert gradient.any()
    return f"two fragments of four episodes, {len(state)} tensors of state, gradients"


def pytorch_dnc(clone: Path) -> str:
    """The package's own copy task, without and with the arrays for its pictures."""
    code = changed(source(clone, COMMITS["pytorch_dnc"], "tasks/copy_task.py"), imports=4)
    arguments = "copy_task.py -lr 0.002 -batch_size 32 -mem_slot 12 -sequence_max_length 3"
    visdom = module("visdom", Visdom=mock.MagicMock())
    printed = io.StringIO()
    for more in ("-iterations 500 -summarize_freq 100", "-iterations 20 -visdom"):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 - theirs
        # After its updates it calls a function of its own without an argument of it.
        with (
            tempfile.TemporaryDirectory() as folder,
            standing_in({"visdom": visdom}),
            mock.patch.object(sys, "argv", [*arguments.split(), *more.split()]),
            contextlib.redirect_stdout(printed),
            contextlib.suppress(NameError),
        ):
            names = {"__name__": "__main__", "__file__": f"{folder}/copy_task.py"}
            exec(compile(code, "copy_task", "exec"), names)
    found = re.findall(r"Avg. Logistic Loss: ([\d.]+)", printed.getvalue())
    assert len(found) == 7, printed.getvalue()
    assert visdom.Visdom().heatmap.call_count == 5
    return f"mean loss from the first update on {' '.join(found[:6])}; pictures drawn"


def main() -> None:
    """Run what clones are given of."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    runs = {"safedrug": safedrug, "popgym": popgym, "pytorch_dnc": pytorch_dnc}
    for name in runs:
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, help="a clone of it")
    given = {name: clone for name, clone in vars(parser.parse_args()).items() if clone}
    if not given:
        parser.error("give at least one clone")
    warnings.simplefilter("ignore")
    for name, clone in given.items():
        print(f"{name} at {COMMITS[name]}: {runs[name](clone)}", flush=True)


if __name__ == "__main__":
    main()
