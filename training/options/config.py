"""What a run is made of: the fields behind train.py's flags, in dataclasses that become JSON."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import nn

import tasks
from memnets.parts.registry import as_data, from_data
from tasks.base import Task
from tasks.by_path import PlaceError
from tasks.curriculum import CURRICULA, Curriculum
from training.files.form import check_types
from training.options import models, wandb
from training.options.models import MODELS, options_class
from training.options.optimizers import GravesRMSProp
from training.options.wandb import WandbOptions


@dataclass(frozen=True, kw_only=True)
class AdamOptions:
    """Adam, with the gradients clipped first."""

    learning_rate: float = 1e-3
    """step size"""
    clip_norm: float | None = 10.0
    """scale the gradients down to this norm over all parameters; None: do not"""
    clip_value: float | None = None
    """clip every component of the gradients to plus or minus this; None: do not"""
    beta1: float = 0.9
    """decay of the mean of the gradients"""
    beta2: float = 0.999
    """decay of the mean of their squares"""
    epsilon: float = 1e-8
    """added to the root of the mean square"""
    warmup: int = 0
    """sequences, at the beginning, over which the learning rate rises linearly"""
    cooldown: float = 0.0
    """share of the run, at its end, over which the learning rate falls linearly to 0; above 0,
    the run cannot be made longer later"""


@dataclass(frozen=True, kw_only=True)
class GravesRMSPropOptions:
    """The RMSProp of Graves 2013, with the NTM paper's settings."""

    learning_rate: float = 1e-4
    """step size"""
    clip_norm: float | None = None
    """scale the gradients down to this norm over all parameters; None: do not"""
    clip_value: float | None = 10.0
    """clip every component of the gradients to plus or minus this; None: do not"""
    decay: float = 0.95
    """decay of the means of the gradients and of their squares"""
    momentum: float = 0.9
    """share of the last update that is repeated"""
    epsilon: float = 1e-4
    """added to the variance of the gradients, under the root"""
    warmup: int = 0
    """sequences, at the beginning, over which the learning rate rises linearly"""
    cooldown: float = 0.0
    """share of the run, at its end, over which the learning rate falls linearly to 0; above 0,
    the run cannot be made longer later"""


OPTIMIZERS: dict[str, type[AdamOptions] | type[GravesRMSPropOptions]] = {
    "adam": AdamOptions,
    "graves_rmsprop": GravesRMSPropOptions,
}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How long to train, and what to do how often. A step is one batch."""

    sequences: int = 30_000
    """sequences to train on; rounded up to whole batches"""
    batch_size: int = 16
    """sequences in each step"""
    log_every: int = 50
    """steps between two rows of metrics (each is the mean over these steps)"""
    evaluate_every: int = 500
    """steps between two evaluations on fixed sequences of the training task; 0: never"""
    evaluation_sequences: int = 256
    """sequences in every evaluation"""
    checkpoint_every: int = 500
    """steps between two checkpoints; there is always one at the end"""
    non_finite: Literal["stop", "skip"] = "stop"
    """a step whose loss or gradient is infinite or NaN changes no weight, and is saved for replay;
    then: stop the run, or skip the step (at most 20 in a row)"""
    pictures: bool = True
    """draw pictures of sequences and of what the heads did, at the end"""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides what a run computes."""

    task: str = "copy"
    """what to learn; see the task options below for the chosen one"""
    model: str = "ntm"
    """what learns it"""
    optimizer: str = "adam"
    """how it learns"""
    curriculum: str = "fixed"
    """how hard each batch is; fixed: as hard as the task options say"""
    seed: int = 0
    """decides the initial weights and the sequences"""
    device: str = "cpu"
    """where to compute: cpu, cuda, cuda:1 or mps"""
    precision: Literal["float32", "bf16"] = "float32"
    """of products with weights (bf16: by autocast); memory and weightings are always float32"""
    deterministic: bool = False
    """refuse what varies from call to call on a GPU, for the same numbers every time"""
    threads: int = 1
    """CPU threads; more are rarely faster for models this small, far slower on a busy machine"""
    streams: int | None = None
    """generators that share the drawing of each batch, a multiple of the processes; None: as many
    as there are processes. A run has the same sequences however many processes draw its streams"""
    name: str | None = None
    """folder of the run; None: made from task, model, seed and time"""
    folder: str = "runs"
    """folder of all runs"""
    resume: str | None = None
    """continue this run folder, to the same numbers as if it had never stopped; only --wandb,
    --run.non-finite and --device can be changed, and --run.sequences can grow if the learning rate
    has no cooldown"""
    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """Weights & Biases; auto: online if you are logged in (`wandb login`), else offline"""

    task_options: Annotated[object, tyro.conf.arg(name="task")] = None
    model_options: Annotated[object, tyro.conf.arg(name="model")] = None
    optimizer_options: Annotated[object, tyro.conf.arg(name="optimizer")] = None
    curriculum_options: Annotated[object, tyro.conf.arg(name="curriculum")] = None
    run: RunOptions = field(default_factory=RunOptions)
    wandb_options: Annotated[WandbOptions, tyro.conf.arg(name="wandb")] = field(
        default_factory=WandbOptions
    )

    @property
    def steps(self) -> int:
        """The number of training steps: enough batches for all sequences."""
        return math.ceil(self.run.sequences / self.run.batch_size)


MOST_THREADS = 1024
LARGEST = 2**40
OPTION_GROUPS = ("task", "model", "optimizer", "curriculum")


def choices(group: str) -> Mapping[str, Any]:
    """What there is to choose from: the tasks, models, optimisers or curricula, by name."""
    return {
        "task": tasks.TASKS,
        "model": MODELS,
        "optimizer": OPTIMIZERS,
        "curriculum": CURRICULA,
    }[group]


def option_class(group: str, name: str) -> type:
    """The dataclass of options behind a chosen task, model, optimiser or curriculum.

    Raises:
        ValueError: there is no such choice; the message lists those there are.
    """
    if group == "task":
        return tasks.find(name)
    if group == "model":
        models.find(name)
        return options_class(name)
    valid = choices(group)
    if name not in valid:
        raise ValueError(f"there is no {group} {name!r}: choose one of {', '.join(valid)}")
    return valid[name]


def to_json(config: Config) -> dict[str, Any]:
    """The configuration as nested dictionaries of plain values."""
    parts = {name: as_data(value, name) for name, value in vars(config.model_options).items()}
    values = dataclasses.asdict(dataclasses.replace(config, model_options=None))
    return {**values, "model_options": parts}


def from_json(values: dict[str, Any]) -> Config:
    """The configuration that `to_json` wrote.

    Raises:
        ValueError: a task, model, optimiser or curriculum is unknown, or a field is missing or
            unknown.
        PlaceError: the class of a task or model of another package is not found.
    """
    try:
        # A run from before there were curricula had the one that changes nothing.
        old = {"curriculum": "fixed", "curriculum_options": {}, "wandb_options": {}}
        values = {**old, **values}
        # The module of a model of another package registers its parts.
        chosen = {group: option_class(group, values[group]) for group in OPTION_GROUPS}
        parts = values["model_options"].items()
        values["model_options"] = {name: from_data(value) for name, value in parts}
        for group, kind in chosen.items():
            values[f"{group}_options"] = kind(**values[f"{group}_options"])
        values["run"] = RunOptions(**values["run"])
        values["wandb_options"] = WandbOptions(**values["wandb_options"])
        config = Config(**values)
        check_types(config)
    except PlaceError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"the configuration is of another version of memnets: {error}") from error
    return config


def problems(config: Config) -> Iterator[str]:
    """Say what is wrong with the values of a configuration, one sentence a problem."""
    run, optimizer = config.run, vars(config.optimizer_options)
    for name in (
        "sequences",
        "batch_size",
        "log_every",
        "evaluation_sequences",
        "checkpoint_every",
    ):
        flag, value = f"--run.{name.replace('_', '-')}", getattr(run, name)
        if value < 1:
            yield f"{flag} must be at least 1, got {value}"
        if value >= LARGEST:
            yield f"{flag} must be below {LARGEST}, got {value}"
    if run.evaluate_every < 0:
        yield f"--run.evaluate-every must be 0 (never) or more, got {run.evaluate_every}"
    if config.threads < 1:
        yield f"--threads must be at least 1, got {config.threads}"
    if config.threads > MOST_THREADS:
        yield f"--threads must be at most {MOST_THREADS}, got {config.threads}"
    if not 0 <= config.seed < 2**63:
        yield f"--seed must be between 0 and 2**63 - 1, got {config.seed}"
    for name in ("learning_rate", "clip_norm", "clip_value", "epsilon"):
        if optimizer[name] is not None and not 0 < optimizer[name] < math.inf:
            flag = f"--optimizer.{name.replace('_', '-')}"
            yield f"{flag} must be positive and finite, got {optimizer[name]}"
    for name in ("beta1", "beta2", "decay", "momentum"):
        if name in optimizer and not 0 <= optimizer[name] < 1:
            yield f"--optimizer.{name} must be at least 0 and below 1, got {optimizer[name]}"
    if optimizer["warmup"] < 0:
        yield f"--optimizer.warmup must be 0 (none) or more, got {optimizer['warmup']}"
    if not 0 <= optimizer["cooldown"] <= 1:
        yield f"--optimizer.cooldown must be from 0 to 1, got {optimizer['cooldown']}"
    yield from wandb.problems(config.wandb_options)
    if config.name is not None and not re.fullmatch(r"[\w+=@-][\w+=@. -]*", config.name):
        yield f"--name must be the plain name of a folder, got {config.name!r}"


def make_task(config: Config) -> Task:
    """The task of a configuration."""
    assert not isinstance(config.task_options, type)
    return config.task_options  # type: ignore[return-value]  # the options of a task are the task


def make_curriculum(config: Config) -> Curriculum:
    """The curriculum of a configuration."""
    return config.curriculum_options  # type: ignore[return-value]  # its options are the curriculum


def make_layer(config: Config) -> nn.Module:
    """The layer of a configuration, on its device, with weights from torch's global generator.

    Raises:
        ValueError: an option is out of its range, or a part does not fit its place.
    """
    task, model = make_task(config), MODELS[config.model]
    try:
        return model.build(
            task.input_size, task.output_size, config.device, vars(config.model_options)
        )
    except TypeError as error:  # a part in a place where it does not fit
        raise ValueError(str(error)) from error


def make_optimizer(config: Config, layer: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a configuration, for all trainable parameters of the layer."""
    options = config.optimizer_options
    parameters = [p for p in layer.parameters() if p.requires_grad]
    if isinstance(options, AdamOptions):
        return torch.optim.Adam(
            parameters,
            options.learning_rate,
            betas=(options.beta1, options.beta2),
            eps=options.epsilon,
            fused=True,  # one call for all parameters: of so small a model the calls are the cost
        )
    assert isinstance(options, GravesRMSPropOptions)
    return GravesRMSProp(
        parameters,
        options.learning_rate,
        decay=options.decay,
        momentum=options.momentum,
        epsilon=options.epsilon,
    )


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration under the names of its flags.

    >>> flat({"task": "copy", "model_options": {"start": {"part": "Start", "learned": True}}})
    {'task': 'copy', 'model.start': 'Start', 'model.start.learned': True}
    """
    values: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            group = name.removesuffix("_options")
            inside = flat(value).items()
            values |= {
                group if inner == "part" else f"{group}.{inner}": content
                for inner, content in inside
            }
        else:
            values[name] = value
    return values
