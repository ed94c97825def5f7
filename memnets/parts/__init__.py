"""What a memory is made of: one file a part, with its equation, settings and parameters."""

from memnets.parts import (
    content,
    decay_add,
    delta_rule,
    gated_delta,
    gated_delta_2,
    heads,
    hopfield,
    linkage,
    location,
    masking,
    mlstm,
    registry,
    start,
    titans,
    usage,
    writing,
)

__all__ = [
    "content",
    "decay_add",
    "delta_rule",
    "gated_delta",
    "gated_delta_2",
    "heads",
    "hopfield",
    "linkage",
    "location",
    "masking",
    "mlstm",
    "registry",
    "start",
    "titans",
    "usage",
    "writing",
]
