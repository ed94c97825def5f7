"""The NTM with the settings of its paper, where the defaults of `memnets.NTM` depart from them."""

from __future__ import annotations

import torch
from torch import nn

from memnets.ntm import NTM
from memnets.parts.controllers import Stack
from memnets.parts.heads import Heads
from memnets.parts.location import ContentAndLocation
from memnets.parts.start import Start
from memnets.parts.writing import EraseAdd


def ntm(
    input_size: int,
    output_size: int,
    *,
    memory_size: int = 128,
    word_size: int = 20,
    read_heads: int = 1,
    write_heads: int = 1,
    controller: str | Stack | nn.Module = "lstm",
    hidden_size: int = 100,
    batch_first: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> NTM:
    """Return an NTM as Graves, Wayne and Danihelka (2014) describe it.

    The state before the first step is learned, key strengths are above 0, what a head adds has no
    range, and initial weights have no bias of their own. Why the defaults of `memnets.NTM` are
    others, docs/deviations.md says.

    Args:
        input_size, output_size: I and O.
        memory_size, word_size, read_heads, write_heads: see `memnets.NTM`; the sizes are the
            paper's for copy.
        controller, hidden_size, batch_first, device, dtype: see `memnets.NTM`.

    Raises:
        ValueError, TypeError: as `memnets.NTM`.

    >>> ntm(9, 8).start_memory.shape
    torch.Size([128, 20])
    """
    return NTM(
        input_size,
        output_size,
        memory_size=memory_size,
        word_size=word_size,
        read_heads=read_heads,
        write_heads=write_heads,
        controller=controller,
        hidden_size=hidden_size,
        heads=Heads(
            read=ContentAndLocation(strength="softplus", gate_bias=0.0, sharpening_bias=0.0)
        ),
        writing=EraseAdd(add_range="real"),
        start=Start(learned=True),
        batch_first=batch_first,
        device=device,
        dtype=dtype,
    )
