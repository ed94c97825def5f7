"""What training changes, all of it: made at step 0, kept in a checkpoint, made again from one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from tasks.base import Stream, Task
from tasks.levels import levels
from training.files.form import check_checkpoint, check_optimizer, check_part, check_weights
from training.machine import distributed
from training.machine.distributed import Ranks
from training.machine.environment import runtime
from training.options.config import (
    Config,
    from_json,
    make_curriculum,
    make_layer,
    make_optimizer,
    make_task,
    to_json,
)
from training.options.same_run import check_same_run
from training.options.seeds import seeds


@dataclass
class Training:
    """What training changes; all of it is in a checkpoint, so that a resume continues exactly."""

    task: Task
    layer: nn.Module
    optimizer: torch.optim.Optimizer
    data: torch.Generator
    """draws the training sequences and their levels, and nothing else"""
    ranks: Ranks = field(default_factory=Ranks)
    """the processes that train together"""
    streams: list[Stream] = field(default_factory=list)
    """what draws this process's share of the sequences where `data` draws only their sizes"""
    curriculum: dict[str, Any] = field(default_factory=dict)
    """what the curriculum has learned, in plain numbers"""
    step: int = 0
    seconds: float = 0.0
    """time spent training, over all parts of the run"""
    core_seconds: float = 0.0
    """processor time of this process in it, which does not grow while the run waits for others"""
    best: dict[str, float] = field(default_factory=dict)
    """the evaluation of the lowest cost so far"""
    sums: dict[str, float] = field(default_factory=dict)
    """sums over the steps since the last row of metrics"""
    non_finite: dict[str, int] = field(default_factory=lambda: {"steps": 0, "in_a_row": 0})
    """how many steps were skipped because their loss or gradient was not finite"""
    wandb_id: str | None = None


def start(config: Config, ranks: Ranks | None = None) -> Training:
    """A training at step 0, whose weights and sequences depend on seed and streams alone."""
    weights, data, _ = seeds(config.seed)
    torch.manual_seed(weights)
    layer = make_layer(config)
    generator = torch.Generator().manual_seed(data)
    task = make_task(config)
    curriculum = make_curriculum(config).start(levels(task))
    ranks = ranks or Ranks()
    streams = distributed.streams(config.streams or 1, data, ranks, generator)
    optimizer = make_optimizer(config, layer)
    return Training(task, layer, optimizer, generator, ranks, streams, curriculum)


def restore(config: Config, saved: dict[str, Any], ranks: Ranks | None = None) -> Training:
    """The training that a checkpoint was made of.

    Raises:
        ValueError: the checkpoint is not one of this configuration.
    """
    with _named():
        check_part(saved, "config", {})
        check_same_run(config, from_json(saved["config"]))
    training = start(config, ranks)
    with _named():
        check_checkpoint(saved, snapshot(config, training))
        check_weights(saved["weights"], training.layer)
        training.layer.load_state_dict(saved["weights"])
        _restore_optimizer(training, saved["optimizer"])
        training.data.set_state(saved["generators"]["data"])
        training.ranks.scatter(saved["generators"].get("streams", []), training.streams)
        torch.set_rng_state(saved["generators"]["torch"])
        if config.device.startswith("cuda") and saved["generators"]["cuda"] is not None:
            torch.cuda.set_rng_state(saved["generators"]["cuda"], config.device)
        for name in ("step", "seconds", "best", "sums", "wandb_id"):
            setattr(training, name, saved[name])
        # What a run from before there was such a thing lacks begins now.
        training.core_seconds = saved.get("core_seconds", training.core_seconds)
        training.curriculum = saved.get("curriculum", training.curriculum)
        training.non_finite = saved.get("non_finite", training.non_finite)
    return training


@contextmanager
def _named() -> Iterator[None]:
    """Say of an error within that the checkpoint is its cause."""
    try:
        yield
    except (LookupError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"the checkpoint does not fit the configuration: {error}") from error


def _restore_optimizer(training: Training, saved: dict[str, Any]) -> None:
    """Load the moments and the learning rate; the other settings are the configuration's."""
    named = {n: p for n, p in training.layer.named_parameters() if p.requires_grad}
    check_optimizer(saved, training.optimizer, named)
    # Of its own, in one piece: two moments of a file can be views of the same numbers.
    state = {
        index: {n: v.detach().clone(memory_format=torch.contiguous_format) for n, v in one.items()}
        for index, one in saved["state"].items()
    }
    groups = training.optimizer.state_dict()["param_groups"]
    groups = [
        {**new, "lr": old["lr"]} for new, old in zip(groups, saved["param_groups"], strict=True)
    ]
    training.optimizer.load_state_dict({"state": state, "param_groups": groups})


def snapshot(config: Config, training: Training) -> dict[str, Any]:
    """The content of a checkpoint; see `restore`. All processes must ask for it together."""
    cuda = config.device.startswith("cuda")
    return {
        "layer": _description(config, training.layer),
        "weights": training.layer.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "generators": {
            "data": training.data.get_state(),
            "streams": training.ranks.gather([s.get_state() for s in training.streams]),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(config.device) if cuda else None,
        },
        "processes": training.ranks.count,
        "curriculum": training.curriculum,
        "step": training.step,
        "sequences": training.step * config.run.batch_size,
        "seconds": training.seconds,
        "core_seconds": training.core_seconds,
        "best": training.best,
        "sums": training.sums,
        "non_finite": training.non_finite,
        "wandb_id": training.wandb_id,
        # Nothing was computed before the first step, and asking may compile the fused kernel.
        "runtime": runtime(training.layer, config.device) if training.step else {},
        "config": to_json(config),
    }


def _description(config: Config, layer: nn.Module) -> dict[str, Any]:
    """What rebuilds a layer: its `config`, or the settings of one that has none."""
    own = getattr(layer, "config", None)
    if isinstance(own, dict):
        return own
    return {"name": config.model, "arguments": to_json(config)["model_options"]}
