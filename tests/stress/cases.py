"""Random layers and calls of them, for tests.stress.equivalence: every setting, all stock heads."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

import memnets
from memnets.backends.cpu.plan import CELL_NAMES
from memnets.backends.registry import Backend
from memnets.parts.content import Content
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads, ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.start import Start
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.writing import EraseAdd

KINDS = {"NTM": memnets.NTM, "DNC": memnets.DNC}
DTYPES = (torch.float64, torch.float32)


@dataclass
class Case:
    """A layer and a call of it, as data; `seed` makes parameters, input, state and gradients."""

    kind: str
    options: dict[str, Any]
    seed: int
    steps: int
    batch: int
    lengths: list[int] | None
    carried: str
    """`none`; `start`, `lived` or `random`: a state that is passed."""
    given: str
    """Which outputs get a gradient: `all`, `y`, or the names of some."""
    frozen: float
    """The share of what could have a gradient that wants none."""
    parameter_scale: float
    input_scale: float
    starts: float | None = None
    """How often rows begin anew, a step; None: the layer is called without."""
    restart: str = "none"
    """What from, as `carried`."""


def draw(seed: int, index: int) -> Case:
    """The case of this number."""
    dice = random.Random(f"{seed} {index}")
    kind = dice.choice(["NTM", "NTM", "DNC"])
    options = common_options(dice)
    options |= ntm_options(dice) if kind == "NTM" else dnc_options(dice)
    steps, batch = dice.choice([1, 1, 2, 3, 5, 8]), dice.choice([1, 2, 3, 5, 9])
    lengths = [dice.randint(1, steps) for _ in range(batch)]
    return Case(
        kind=kind,
        options=options,
        seed=dice.randrange(2**31),
        steps=steps,
        batch=batch,
        lengths=dice.choice([None, None, lengths]),
        carried=dice.choice(["none", "none", "start", "lived", "random"]),
        given=dice.choice(["all", "all", "y", "some", "one"]),
        frozen=dice.choice([0.0, 0.0, 0.0, 0.3]),
        parameter_scale=dice.choice([0.5, 1.0, 1.0, 1.0, 2.0, 4.0]),
        input_scale=dice.choice([0.0, 1.0, 1.0, 1.0, 10.0]),
        starts=dice.choice([None, None, 0.0, 0.1, 0.5, 1.0]),
        restart=dice.choice(["none", "none", "start", "lived", "random"]),
    )


def common_options(dice: random.Random) -> dict[str, Any]:
    """What both kinds of layer take."""
    return {
        "input_size": dice.randint(1, 9),
        "output_size": dice.randint(1, 4),
        "memory_size": dice.choice([1, 2, 2, 3, 5, 8, 16, 17, 33, 64]),
        "word_size": dice.choice([1, 2, 3, 5, 8, 17, 20]),
        **controller_options(dice),
        "start": drawn_start(dice),
        "batch_first": dice.random() < 0.2,
        "backend": Backend("reference", checkpoint_every=dice.choice([None, None, 1, 2, 3])),
        "dtype": dice.choice(DTYPES),
    }


def controller_options(dice: random.Random) -> dict[str, Any]:
    """A controller, by name or as a stack."""
    cell, hidden_size = dice.choice(CELL_NAMES), dice.choice([1, 3, 8, 16, 21])
    if dice.random() < 0.2:
        return {"controller": cell, "hidden_size": hidden_size}
    stack = Stack(
        cell=cell,
        hidden_size=hidden_size,
        num_layers=dice.choice([1, 1, 2, 3]),
        skip_connections=dice.random() < 0.3,
    )
    return {"controller": stack}


def drawn_start(dice: random.Random) -> Start:
    """Where a sequence starts."""
    learned = dice.random() < 0.3
    return Start(
        memory=dice.choice([None, 0.0, 1e-6, 0.3, -1.0]),
        learned=learned,
        spread=dice.choice([0.0, 0.5]) if learned else 0.0,
    )


def epsilon(dice: random.Random, default: float) -> float:
    """An epsilon: mostly the default."""
    return dice.choice([default, default, default, 1e-8, 1e-3])


def content_settings(dice: random.Random) -> dict[str, Any]:
    """The settings of a `Content`."""
    return {
        "strength": dice.choice(["oneplus", "softplus"]),
        "similarity_epsilon": epsilon(dice, 1e-6),
        "sharpness_limit": dice.choice([None, None, 1.7, 10.0]),
    }


def linkage(dice: random.Random) -> Linkage:
    """A linkage, now and then sharpened."""
    return Linkage(sharpened=dice.random() < 0.3, sharpen_epsilon=dice.choice([1e-6, 1e-6, 1e-3]))


def masked_settings(dice: random.Random) -> dict[str, Any]:
    """Those of one that may be masked."""
    return {**content_settings(dice), "masked": dice.random() < 0.3}


def location_settings(dice: random.Random) -> dict[str, Any]:
    """The settings of a `Location`."""
    return {
        "shift_range": dice.choice([0, 1, 1, 1, 2, 3]),
        "sharpen_epsilon": epsilon(dice, 1e-12),
        "sharpening_bias": dice.choice([0.0, 0.0, -4.0, 2.0]),
        "sharpness_limit": dice.choice([None, None, 1.7, 10.0]),
    }


def focus_settings(dice: random.Random) -> dict[str, Any]:
    """The settings of a `ContentAndLocation`."""
    gate_bias = dice.choice([0.0, 0.0, -3.0, 2.0])
    return {**content_settings(dice), **location_settings(dice), "gate_bias": gate_bias}


def drawn_addressing(dice: random.Random) -> Any:
    """An addressing in stock that the kernel serves."""
    stock = [
        (Content, masked_settings),
        (Location, location_settings),
        (ContentAndLocation, focus_settings),
    ]
    kind, make = dice.choice(stock)
    return kind(**make(dice))


def drawn_head(dice: random.Random, entry: type[Any]) -> Any:
    """Heads with an addressing in stock: now and then with one that the kernel refuses."""
    if dice.random() < 0.03:  # one head: each needs a slot of its own
        return entry(LeastRecentlyUsed(decay=dice.choice([0.95, 0.5, 0.0])))
    return entry(drawn_addressing(dice), dice.choice([1, 1, 2, 3]))


def ntm_options(dice: random.Random) -> dict[str, Any]:
    """What an NTM alone takes: heads of two kinds and their counts, or one by one."""
    options: dict[str, Any] = {"writing": EraseAdd(add_range=dice.choice(["real", "bounded"]))}
    read_first = dice.random() < 0.3
    if dice.random() < 0.6:
        read = ContentAndLocation(**focus_settings(dice))
        own = [replace(read, gate_bias=-3.0), drawn_addressing(dice)]
        write = dice.choice([None, None, *own])
        options["heads"] = Heads(read=read, write=write, read_first=read_first)
        options["read_heads"] = dice.choice([1, 1, 2, 3, 5])
        options["write_heads"] = dice.choice([1, 1, 2, 3])
        return options
    more = [dice.choice([ReadHead, WriteHead]) for _ in range(dice.randint(0, 2))]
    entries = [drawn_head(dice, entry) for entry in (ReadHead, WriteHead, *more)]
    options["heads"] = entries
    if read_first or dice.random() < 0.5:
        options["heads"] = Heads(entries=tuple(entries), read_first=read_first)
    return options


def dnc_options(dice: random.Random) -> dict[str, Any]:
    """What a DNC alone takes: now and then without a linkage."""
    return {
        "read_heads": dice.choice([1, 2, 3, 4, 5]),
        "write_heads": dice.choice([1, 1, 2, 3]),
        "content": Content(**masked_settings(dice)),
        "allocation": Allocation(
            epsilon=epsilon(dice, 1e-6),
            resolution=dice.choice([2**-16, 2**-16, 2**-4, 0.0]),
            stop_gradient=dice.random() < 0.3,
            wipe=dice.random() < 0.3,
        ),
        "linkage": None if dice.random() < 0.2 else linkage(dice),
    }


class Call(NamedTuple):
    """What a case makes: a layer and all that it is called with."""

    layer: Any
    x: Tensor
    state: Any
    """None: that of the layer."""
    lengths: list[int] | None
    gradients: dict[str, Tensor]
    """Of the loss, by the name of the output that they are of."""
    wanted: set[str]
    """The names of what a gradient is asked for."""
    starts: Tensor | None
    restart: Any
    """None: the layer's initial state."""


def build(case: Case) -> Call:
    """Make the layer and what it is called with, the same at every call."""
    torch.manual_seed(case.seed)
    layer = KINDS[case.kind](**case.options)
    dtype = case.options["dtype"]
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(case.parameter_scale * (parameter + 0.3 * torch.randn_like(parameter)))
    shape = (case.steps, case.batch, layer.input_size)
    x = case.input_scale * torch.randn(shape, dtype=dtype)
    state = begun(case, layer, case.carried)
    x = x.transpose(0, 1).contiguous() if layer.batch_first else x
    layer.backend = "reference"
    with torch.no_grad():
        outputs = outputs_of(layer(x, state, lengths=case.lengths))
    names = list(outputs)
    dice = random.Random(case.seed)
    chosen = {"all": names, "y": ["y"], "one": [dice.choice(names)]}
    some = [name for name in names if dice.random() < 0.4] or ["y"]
    gradients = {name: torch.randn_like(outputs[name]) for name in chosen.get(case.given, some)}
    sources = [name for name, _ in layer.named_parameters()] + ["x"]
    sources += [] if state is None else [f"start.{name}" for name in memnets.flatten(state)]
    starts, restart = None, None
    if case.starts is not None:
        starts = torch.rand(x.shape[:2]) < case.starts
        restart = begun(case, layer, case.restart)
    sources += [] if restart is None else [f"restart.{name}" for name in memnets.flatten(restart)]
    wanted = {name for name in sources if dice.random() >= case.frozen}
    return Call(layer, x, state, case.lengths, gradients, wanted, starts, restart)


def begun(case: Case, layer: Any, kind: str) -> Any:
    """A state that is passed; None if the layer begins."""
    if kind == "none":
        return None
    with torch.no_grad():
        state = layer.initial_state(case.batch)
        if kind == "start":
            return state
        layer.backend = "reference"
        for _ in range(2):
            x = torch.randn(case.batch, layer.input_size, dtype=case.options["dtype"])
            state = layer.step(x, state)[1]
        if kind == "lived":
            return memnets.map_tensors(Tensor.clone, state)
        tensors = memnets.flatten(state)
        return memnets.unflatten(
            {name: random_part(name, one) for name, one in tensors.items()}, state
        )


def random_part(name: str, like: Tensor) -> Tensor:
    """A random part of a state, in the range of that part."""
    if name.endswith("usage"):
        return torch.rand_like(like)
    if name.endswith(("weights", "precedence")):
        return torch.softmax(2 * torch.randn_like(like), dim=-1)
    if name.endswith("link"):
        link = torch.rand_like(like) / like.shape[-1]
        return link * (1 - torch.eye(like.shape[-1], dtype=like.dtype))
    return torch.randn_like(like)


def outputs_of(returned: tuple[Tensor, Any]) -> dict[str, Tensor]:
    """What a layer returned, by name."""
    y, state = returned
    return {"y": y} | {f"end.{name}": one for name, one in memnets.flatten(state).items()}
