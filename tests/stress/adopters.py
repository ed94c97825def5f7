"""Other people's code that imports `dnc`, run on `memnets.compat.dnc` with that one import changed.

    git clone https://github.com/ycq091044/SafeDrug
    git clone https://github.com/proroklab/popgym
    git clone https://github.com/ixaxaar/pytorch-dnc
    pip install --no-deps --target published dnc==1.1.0 initium-deeplearning==0.4.0
    python -m tests.stress.adopters --safedrug SafeDrug --popgym popgym --pytorch-dnc pytorch-dnc \\
        --dnc published --initium published

It reads the files out of the clones at the commits below, changes `from dnc import` to `from
memnets.compat.dnc import`, trains SafeDrug's DMNC on a visit and goes through a patient of three,
runs POPGym's DiffNC over two fragments of a batch, and the copy task of pytorch-dnc (that of 1.1.0)
for 500 updates. RLlib, Gymnasium and visdom are stood in for by a few lines, as are POPGym's
embeddings, which DiffNC does not use. The class of `published` is compared with memnets' own:
signatures, and the form of all that a call returns. initium-deeplearning, which is not served, is
asked for a network on `dnc` 1.1.0. It ends with an error if one of the first three does not run,
the forms differ, or initium-deeplearning runs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import itertools
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

from memnets.compat.dnc import DNC

VERSIONS = {
    "safedrug": "88ce5c3",
    "popgym": "410d5aa",
    "pytorch_dnc": "33e3532",  # the release 1.1.0
    "dnc": "1.1.0",
    "initium": "0.4.0",
}
"""Of what is read: commits of the clones, and releases."""
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
    commit = VERSIONS["safedrug"]
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
    commit, folder = VERSIONS["popgym"], "popgym/baselines/"
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
    code = changed(source(clone, VERSIONS["pytorch_dnc"], "tasks/copy_task.py"), imports=4)
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


def form(value: Any) -> Any:
    """Nesting, keys, shapes and dtypes of what a call returns."""
    if isinstance(value, dict):
        return {key: form(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [form(one) for one in value]
    return None if value is None else (type(value), tuple(value.shape), value.dtype)


def dnc(folder: Path) -> str:
    """Compare the published class with memnets': signatures, and two calls in every setting."""
    sys.path.insert(0, str(folder))
    kinds = vars(importlib.import_module("dnc"))["DNC"], DNC
    for method in ("__init__", "forward"):
        theirs, ours = (
            [(one.name, one.default) for one in inspect.signature(found).parameters.values()]
            for found in (getattr(kind, method) for kind in kinds)
        )
        assert theirs == ours, (theirs, ours)
    settings = {"rnn_type": ("lstm", "gru", "rnn")}
    settings |= dict.fromkeys(("num_layers", "num_hidden_layers"), (1, 2))
    names = ("share_memory", "independent_linears", "batch_first", "debug", "through", "reset")
    settings |= dict.fromkeys(names, (True, False))
    x, count = torch.randn(3, 4, 5), 0  # no two sizes are equal
    for values in itertools.product(*settings.values()):
        given: dict[str, Any] = dict(zip(settings, values, strict=True))
        through, reset = given.pop("through"), given.pop("reset")
        found = []
        for kind in kinds:
            network = kind(5, 6, nr_cells=7, cell_size=8, read_heads=9, **given)
            first = network(x, None, reset_experience=reset, pass_through_memory=through)
            found.append((form(first), form(network(x, first[1]))))
        assert found[0] == found[1], (given, through, reset, *found)
        count += 1
    return f"signatures are equal, and so are the forms of two calls in each of {count} settings"


def initium(folder: Path) -> str:
    """See how the published initium-deeplearning fails on the release of dnc that it asks for."""
    sys.path.insert(0, str(folder))
    kind = vars(importlib.import_module("initium.mamba_controller.mamba_controller"))["MambaDNC"]
    try:
        kind(input_size=3, hidden_size=4)
    except TypeError as error:
        return f"on dnc {VERSIONS['dnc']}: {error}"
    raise AssertionError("it runs on dnc: see what memnets.compat.dnc lacks for it")


def main() -> None:
    """Run what clones are given of."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    runs = {"safedrug": safedrug, "popgym": popgym, "pytorch_dnc": pytorch_dnc, "dnc": dnc}
    runs["initium"] = initium
    for name in runs:
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=Path, help="a clone of it, or its folder"
        )
    given = {name: clone for name, clone in vars(parser.parse_args()).items() if clone}
    if not given:
        parser.error("give at least one clone")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # a step is small: with two threads dnc takes ten times as long
    for name, clone in given.items():
        print(f"{name} at {VERSIONS[name]}: {runs[name](clone)}", flush=True)


if __name__ == "__main__":
    main()
