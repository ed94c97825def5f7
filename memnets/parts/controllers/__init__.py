"""Controllers: the network that reads the input and drives the heads.

The contract, for those here and for your own::

    controller.input_size                   the layer's input_size + read_heads * word_size
    controller.output_size                  the size of h
    controller.initial_state(batch_size)    nested tuples of tensors, the batch their first axis
    controller(x, state) -> (h, state)      x [B, input_size], h [B, output_size]

A controller is an `nn.Module`; it keeps nothing between calls but its parameters. `Controller` is
one made of cells. Each cell is a file here, which registers it in `CELLS` under its name; the head
of `cell.py` says what a cell must have.
"""

# `as` makes a name public: so a cell needs one line here, and none in a list.
from memnets.parts.controllers.cell import Cell as Cell
from memnets.parts.controllers.cell import CellContract as CellContract
from memnets.parts.controllers.ctrnn import CTRNNCell as CTRNNCell
from memnets.parts.controllers.ctrnn import CTRNNRungeKuttaCell as CTRNNRungeKuttaCell
from memnets.parts.controllers.elman import ElmanCell as ElmanCell
from memnets.parts.controllers.feedforward import FeedforwardCell as FeedforwardCell
from memnets.parts.controllers.feedforward import TanhFeedforwardCell as TanhFeedforwardCell
from memnets.parts.controllers.gru import GRUCell as GRUCell
from memnets.parts.controllers.gru_reduced import GRU1Cell as GRU1Cell
from memnets.parts.controllers.gru_reduced import GRU2Cell as GRU2Cell
from memnets.parts.controllers.gru_reduced import GRU3Cell as GRU3Cell
from memnets.parts.controllers.indrnn import IndRNNCell as IndRNNCell
from memnets.parts.controllers.jordan import JordanCell as JordanCell
from memnets.parts.controllers.lstm import LSTMCell as LSTMCell
from memnets.parts.controllers.lstm_peephole import PeepholeLSTMCell as PeepholeLSTMCell
from memnets.parts.controllers.mtrnn import MTRNNCell as MTRNNCell
from memnets.parts.controllers.registry import CELLS as CELLS
from memnets.parts.controllers.registry import register as register
from memnets.parts.controllers.short_convolution import (
    ShortConvolutionCell as ShortConvolutionCell,
)
from memnets.parts.controllers.stack import Controller as Controller
from memnets.parts.controllers.stack import Stack as Stack
from memnets.parts.controllers.stack import made_controller as made_controller
