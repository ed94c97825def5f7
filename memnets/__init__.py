"""Memory-augmented neural networks as PyTorch layers that are used like `nn.LSTM`."""

from torch.serialization import add_safe_globals as _add_safe_globals

from memnets import (
    associative,
    dnc,
    interface,
    neural_stack,
    ntm,
    paper,
    parts,
    sam,
    sdnc,
    sharing,
    state,
)
from memnets import bidirectional as _bidirectional
from memnets import one_memory as _one_memory
from memnets import stacked as _stacked
from memnets.backends.registry import Backend, Choice, PerformanceWarning
from memnets.bidirectional import Bidirectional, BidirectionalState
from memnets.dnc import DNC, DNCInterface, DNCMemory, DNCParameters
from memnets.inspect import record as _record
from memnets.inspect.record import Trace, record
from memnets.layer import MemoryLayer
from memnets.loading import from_config, load, pretrained, save
from memnets.neural_stack import NeuralStack, NeuralStackInterface, NeuralStackMemory
from memnets.ntm import NTM, NTMInterface
from memnets.one_memory import OneMemory
from memnets.parts import controllers
from memnets.parts.content import Content
from memnets.parts.controllers import Controller, Stack
from memnets.parts.heads import Heads, NTMMemory, ReadHead, WriteHead
from memnets.parts.linkage import Linkage
from memnets.parts.location import ContentAndLocation, Location
from memnets.parts.sparse import Sparse, SparseParameters
from memnets.parts.start import Start
from memnets.parts.usage import Allocation, LeastRecentlyUsed
from memnets.parts.writing import EraseAdd
from memnets.registry import register
from memnets.sam import SAM, SAMMemory
from memnets.sdnc import SDNC, SDNCMemory, SDNCParameters
from memnets.stacked import Stacked, StackedState
from memnets.state import State, detach, flatten, map_tensors, unflatten
from memnets.stream import Stream

__version__ = "0.1.0"

# So that `torch.load` takes a saved state or trace with `weights_only=True`, its default. torch
# knows no other way than this list; nothing in a NamedTuple of tensors can run code.
_MODULES = [getattr(parts, name) for name in parts.__all__]
_MODULES += [
    _bidirectional,
    _one_memory,
    _stacked,
    dnc,
    neural_stack,
    ntm,
    sam,
    sdnc,
    state,
    _record,
]
_add_safe_globals(
    [
        kind
        for module in _MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, tuple) and kind.__module__ == module.__name__
    ]
)

__all__ = [
    "DNC",
    "NTM",
    "SAM",
    "SDNC",
    "Allocation",
    "Backend",
    "Bidirectional",
    "BidirectionalState",
    "Choice",
    "Content",
    "ContentAndLocation",
    "Controller",
    "DNCInterface",
    "DNCMemory",
    "DNCParameters",
    "EraseAdd",
    "Heads",
    "LeastRecentlyUsed",
    "Linkage",
    "Location",
    "MemoryLayer",
    "NTMInterface",
    "NTMMemory",
    "NeuralStack",
    "NeuralStackInterface",
    "NeuralStackMemory",
    "OneMemory",
    "PerformanceWarning",
    "ReadHead",
    "SAMMemory",
    "SDNCMemory",
    "SDNCParameters",
    "Sparse",
    "SparseParameters",
    "Stack",
    "Stacked",
    "StackedState",
    "Start",
    "State",
    "Stream",
    "Trace",
    "WriteHead",
    "associative",
    "controllers",
    "detach",
    "dnc",
    "flatten",
    "from_config",
    "interface",
    "load",
    "map_tensors",
    "neural_stack",
    "ntm",
    "paper",
    "parts",
    "pretrained",
    "record",
    "register",
    "sam",
    "save",
    "sdnc",
    "sharing",
    "unflatten",
]
