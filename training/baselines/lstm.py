"""The LSTM baseline of the NTM paper: layers that all see the input and are all read out."""

import functools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from memnets.checks import (
    autocasts,
    check_input,
    check_place,
    check_sizes,
    check_switches,
    check_total_size,
)
from memnets.inspect import palette
from memnets.state import difference
from training.baselines.forms import time_first
from training.baselines.registry import Style, register

LSTMState = tuple[tuple[Tensor, Tensor], ...]  # one (h [B, hidden], c [B, hidden]) per layer


@functools.cache
def cpu_trains_lstm(dtype: torch.dtype) -> bool:
    """Whether `nn.LSTM` can be trained on this CPU under autocast to a dtype, which is tried once.

    oneDNN has no LSTM in bfloat16 for a CPU without AVX-512, and no other code takes its place.

    >>> cpu_trains_lstm(torch.float32)
    True
    """
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        layer = nn.LSTM(1, 1, device="cpu", dtype=torch.float32)
        x = torch.zeros(1, 1, 1, device="cpu", dtype=torch.float32)
        try:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                y, _ = layer(x)
            y.sum().backward()
        except RuntimeError:
            return False
    return True


def notes(device: str, precision: str) -> list[str]:
    """Say what a run on this device in this precision computes otherwise than asked for.

    >>> notes("cpu", "float32")
    []
    """
    on_cpu = precision == "bf16" and torch.device(device).type == "cpu"
    if on_cpu and not cpu_trains_lstm(torch.bfloat16):
        return [
            "oneDNN has no LSTM in bfloat16 for this CPU: the layers of the LSTM compute in "
            "float32, its readout in bfloat16"
        ]
    return []


@register(
    "lstm",
    Style("LSTM", palette.VERMILION, ":"),
    guess={"model.hidden_size": 256, "run.sequences": 500_000},
    notes=notes,
)
class LSTM(nn.Module):
    """A deep LSTM with skip connections and learned initial state, called like the memory layers.

    Every layer sees the input beside the output of the layer below; the readout sees every layer
    (Graves 2013, section 2; the NTM paper's baseline). x [T, B, input_size] -> y
    [T, B, output_size], which are logits; the state is one (h [B, hidden], c [B, hidden]) a layer.

    Each gate has one bias, as in the papers: ``nn.LSTM`` has two, so its second is zero and frozen.
    With that the numbers of trainable parameters are exactly those of the paper's table 3, for
    copy, repeat copy, associative recall and N-grams: `--task copy --task.bits 9` (as if the paper
    had one channel more there), `--task repeat_copy --task.bits 6` (its text says eight), and
    `--task associative_recall` and `--task dynamic_ngram` as they are. No numbers of inputs and
    outputs give the count that it prints for priority sort.

    Under autocast on a CPU that cannot train ``nn.LSTM`` in that dtype, the layers run in float32
    and the readout alone in that dtype.

    Args:
        input_size: channels of the input (I).
        output_size: channels of the output (O).
        hidden_size: hidden units in each layer
        num_layers: layers, each of which sees the input
        batch_first: whether the batch is the first axis of input and output.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        ValueError: a size is less than 1.

    >>> layer = LSTM(10, 9, hidden_size=256)
    >>> sum(p.numel() for p in layer.parameters() if p.requires_grad)
    1352969
    >>> y, state = layer(torch.zeros(5, 2, 10))
    >>> y.shape
    torch.Size([5, 2, 9])
    """

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden_size: int = 256,
        num_layers: int = 3,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {
            "name": "LSTM",
            "arguments": {
                "input_size": input_size,
                "output_size": output_size,
                "hidden_size": hidden_size,
                "num_layers": num_layers,
                "batch_first": batch_first,
            },
        }
        names = ("input_size", "output_size", "hidden_size", "num_layers")
        check_sizes(**{name: self.config["arguments"][name] for name in names})
        check_switches(batch_first=batch_first)
        check_place(device, dtype)
        width = input_size + hidden_size * num_layers
        check_total_size(width * 4 * hidden_size * num_layers)
        self.input_size, self.output_size, self.batch_first = input_size, output_size, batch_first
        self.layers = nn.ModuleList()
        for index in range(num_layers):
            size = input_size + (hidden_size if index else 0)
            layer = nn.LSTM(size, hidden_size, device=device, dtype=dtype)
            nn.init.zeros_(layer.get_parameter("bias_hh_l0")).requires_grad_(False)
            self.layers.append(layer)
        # [num_layers, 2, hidden]: the h and the c that every sequence starts from
        self.initial = nn.Parameter(
            torch.zeros(num_layers, 2, hidden_size, device=device, dtype=dtype)
        )
        self.readout = nn.Linear(num_layers * hidden_size, output_size, device=device, dtype=dtype)

    def initial_state(self, batch_size: int) -> LSTMState:
        """Return the learned initial state, repeated for each row of the batch."""
        h, c = self.initial[:, :, None].expand(-1, -1, batch_size, -1).unbind(1)
        return tuple(zip(h, c, strict=True))

    def forward(
        self,
        x: Tensor,
        state: LSTMState | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor, LSTMState]:
        """Map x [T, B, I] (or [T, I]) to logits y [T, B, O] and the state after the last step.

        With lengths, y is 0 past a row's length, and the state is that of its own last step.

        Raises:
            ValueError: the shape of x, of the state or of lengths is not the layer's.
            TypeError: x is no tensor, or not of the layer's dtype.
        """
        check_input(
            x,
            input_size=self.input_size,
            batch_first=self.batch_first,
            weight=self.readout.weight,
        )
        return time_first(self._run, x, state, lengths, batch_first=self.batch_first)

    def _run(
        self, x: Tensor, state: LSTMState | None, lengths: Tensor | None
    ) -> tuple[Tensor, LSTMState]:
        time, batch, _ = x.shape
        if state is None:
            state = self.initial_state(batch)
        # Under autocast the layers return a state in half precision.
        dtypes = not autocasts(x.device.type)
        if found := difference(self.initial_state(batch), state, dtypes=dtypes):
            raise ValueError(f"The state is not of this layer and batch: {found}.")
        outputs: list[Tensor] = []
        after: list[tuple[Tensor, Tensor]] = []
        with self._autocast(x):
            for layer, (h, c) in zip(self.layers, state, strict=True):
                below = torch.cat([x, outputs[-1]], dim=-1) if outputs else x
                start = (h[None].contiguous(), c[None].contiguous())
                if lengths is None:
                    output, (h, c) = layer(below, start)
                else:
                    packed = pack_padded_sequence(below, lengths, enforce_sorted=False)
                    output, (h, c) = layer(packed, start)
                    output, _ = pad_packed_sequence(output, total_length=time)
                outputs.append(output)
                after.append((h[0], c[0]))
        return self.readout(torch.cat(outputs, dim=-1)), tuple(after)

    @staticmethod
    def _autocast(x: Tensor) -> AbstractContextManager[object]:
        """In which the layers run: without autocast where the CPU cannot train them under it."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return nullcontext()
        if cpu_trains_lstm(torch.get_autocast_dtype("cpu")):
            return nullcontext()
        return torch.autocast("cpu", enabled=False)
