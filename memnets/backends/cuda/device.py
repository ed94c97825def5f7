"""The kernel on a GPU as what runs an operator's calls: see `memnets.backends.cpu.engines.Engine`.

Axes: B batch, T time.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from memnets.backends.cpu import compiling
from memnets.backends.cpu.plan import Plan
from memnets.backends.cpu.problems import Call, Tensors
from memnets.backends.cpu.shipped import UnavailableError
from memnets.backends.cuda import driver, kernels, node, nvrtc, sizes

MOST_HEADS = 16
"""Of one kind, for which a thread has room (csrc/warp.h)."""


@functools.cache
def reason_against(device: torch.device) -> str | None:
    """Say why a device cannot run the kernel; None where it can."""
    if device.type != "cuda":
        return f"It runs on a GPU; the layer is on {device}."
    if torch.version.hip is not None:
        return "It is for NVIDIA's GPUs: its vectors are 32 threads, those of AMD have up to 64."
    try:
        driver.library()
        nvrtc.library()
    except UnavailableError as error:
        return str(error)
    return None


def reason_in_sizes(plan: Plan) -> str | None:
    """Say which of a layer's sizes the kernel has no room for; None where it has."""
    problem = plan.problem
    heads, most = max(problem.read_heads, problem.write_heads), kernels.most_layers()
    if heads > MOST_HEADS:
        return f"It takes up to {MOST_HEADS} heads of a kind; the layer has {heads}."
    if problem.depth > most:
        return f"It takes controllers of up to {most} layers; this one has {problem.depth}."
    return None


class Device:
    """A GPU: see `Engine`."""

    begins = False
    logits = False

    def reason_against(self, device: torch.device, dtype: torch.dtype, plan: Plan) -> str | None:
        """As `Engine` says."""
        return reason_against(device) or reason_in_sizes(plan)

    def name(self, dtype: torch.dtype) -> str:
        """The sources alone: a warp has as many lanes on every GPU."""
        return f"{compiling.digest_of_sources()[:12]} cuda"

    def threads(self, batch: int) -> int:
        """One: a launch has its blocks."""
        return 1

    def numbers_a_step(self, plan: Plan) -> int:
        """As `sizes.numbers_a_step`."""
        return sizes.numbers_a_step(plan.problem)

    def kept_numbers(
        self, plan: Plan, dtype: torch.dtype, time: int, batch: int, segment: int, starts: bool
    ) -> int:
        """As `sizes.most_kept`."""
        call = {"time": time, "batch": batch, "segment": segment}
        return sizes.most_kept(plan, dtype.itemsize, **call, starts=starts)

    def forward(self, call: Call, tensors: Tensors, least: int) -> tuple[Sequence[Tensor], Tensor]:
        """As `node.forward`.

        Raises:
            ValueError: if a graph that was made for the CPU wants the logits too.
        """
        if call.readout:
            raise ValueError(
                "On a GPU the kernel makes no logits, which this graph for the CPU takes from it: "
                "make the graph again with the layer on the GPU."
            )
        outputs, kept = node.forward(call, tensors, least)
        assert not call.training or kept.numel() == least
        return outputs, kept if call.training else kept.new_empty(0)

    def backward(
        self,
        call: Call,
        tensors: Tensors,
        wanted: Tensors,
        d_outputs: Sequence[Tensor | None],
        outputs: Sequence[Tensor],
        kept: Tensor,
    ) -> list[Tensor | None]:
        """As `node.backward`, which makes the last of several segments again: whether a backward
        before it has used them, only the GPU could say, and to ask it would be to wait for it.
        """
        return node.backward(call, tensors, wanted, d_outputs, outputs[0], kept, True)
