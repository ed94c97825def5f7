"""Memory-augmented neural networks as PyTorch layers that are used like `nn.LSTM`."""

from torch.serialization import add_safe_globals as _add_safe_globals

from memnets import (
    dnc,
    interface,
    ntm,
    paper,
    parts,
)
from memnets.backends.registry import Choice, PerformanceWarning
from memnets.dnc import DNC, DNCInterface, DNCMemory
from memnets.inspect.record import Trace, record
from memnets.layer import MemoryLayer
from memnets.loading import load
from memnets.ntm import NTM, NTMInterface
from memnets.parts import controllers
from memnets.parts.content import Content
from memnets.parts.controllers import Controller
from memnets.parts.heads import NTMMemory, ReadHead, WriteHead
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.usage import LeastRecentlyUsed
from memnets.state import State, detach, flatten, map_tensors, unflatten

__version__ = "0.1.0"

# So that `torch.load` takes a saved state or trace with `weights_only=True`, its default. torch
# knows no other way than this list; nothing in a NamedTuple of tensors can run code.
_add_safe_globals(
    [
        State,
        NTMMemory,
        DNCMemory,
        Trace,
        NTMInterface,
        DNCInterface,
        parts.heads.WriteVectors,
        parts.content.ContentParameters,
        parts.location.LocationParameters,
        parts.location.FocusParameters,
        parts.usage.LeastRecentlyUsedParameters,
    ]
)

__all__ = [
    "DNC",
    "NTM",
    "Choice",
    "Content",
    "ContentAndLocation",
    "Controller",
    "DNCInterface",
    "DNCMemory",
    "LeastRecentlyUsed",
    "Location",
    "MemoryLayer",
    "NTMInterface",
    "NTMMemory",
    "PerformanceWarning",
    "ReadHead",
    "State",
    "Trace",
    "WriteHead",
    "controllers",
    "detach",
    "dnc",
    "flatten",
    "interface",
    "load",
    "map_tensors",
    "ntm",
    "paper",
    "parts",
    "record",
    "unflatten",
]
