"""Memory-augmented neural networks as PyTorch layers that are used like `nn.LSTM`."""

from torch.serialization import add_safe_globals as _add_safe_globals

from memnets import (
    addressing,
    controllers,
    dnc,
    heads,
    interface,
    memory,
    ntm,
    paper,
    stock_addressings,
)
from memnets.controllers import Controller
from memnets.dnc import DNC, DNCInterface, DNCMemory
from memnets.heads import ReadHead, WriteHead
from memnets.layer import MemoryLayer
from memnets.loading import load
from memnets.memory import NTMMemory
from memnets.ntm import NTM, NTMInterface
from memnets.state import State, detach, flatten, map_tensors, unflatten
from memnets.stock_addressings import Content, ContentAndLocation, LeastRecentlyUsed, Location
from memnets.trace import Trace, record
from memnets.unroll import Choice, PerformanceWarning

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
        heads.WriteVectors,
        stock_addressings.ContentParameters,
        stock_addressings.LocationParameters,
        stock_addressings.FocusParameters,
        stock_addressings.LeastRecentlyUsedParameters,
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
    "addressing",
    "controllers",
    "detach",
    "dnc",
    "flatten",
    "heads",
    "interface",
    "load",
    "map_tensors",
    "memory",
    "ntm",
    "paper",
    "record",
    "stock_addressings",
    "unflatten",
]
