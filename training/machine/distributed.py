"""Several processes that train one model together, each on its share of every batch.

`torchrun --nproc-per-node=N train.py ...` starts them. Gradients and metrics are summed in one
all-reduce a step, by this file and not by DistributedDataParallel: the gradients of a recurrent
layer are complete only when its backward is, so that there is nothing to hide the sum behind; and
DDP orders its buckets anew after its first step, so that a run of three processes or more would
round otherwise once it was resumed.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from tasks.base import Batch, Stream, Task
from training.files.provenance import INSTALLED
from training.machine import device
from training.machine.signals import Stop
from training.options.config import Config

PATIENCE = timedelta(minutes=10)
"""How long to wait for a process that has not ended and does not answer."""

WEYL = 0x9E3779B9  # odd, so that its multiples are all different below 2**32 of them


class LostError(RuntimeError):
    """Another process of the run has ended, or does not answer."""


class Ranks:
    """The processes of a run, and which of them this one is; one alone unless told otherwise."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count
        self._stop: Stop | None = None

    @property
    def first(self) -> bool:
        """Whether this process writes the files, and speaks for all."""
        return self.rank == 0

    def say(self, sentence: str) -> None:
        """Print once for all processes."""
        if self.first:
            print(sentence, flush=True)

    def listen(self, stop: Stop) -> None:
        """Let a request to stop that any process gets stop all of them, after the same step."""
        self._stop, stop.alone = stop, self.count == 1

    def check_same(self, processes: int) -> None:
        """Refuse to go on with another number of processes: sums would round otherwise.

        Raises:
            ValueError: how many there were and are, and the command to use.
        """
        if processes != self.count:
            remedy = "without torchrun" if processes == 1 else "under torchrun with as many"
            raise ValueError(
                f"it was made by {processes} process{'es' * (processes > 1)}, and there "
                f"{'is' if self.count == 1 else 'are'} {self.count} now; resume it {remedy}"
            )

    def tell(self, value: Any) -> Any:
        """Return the value that the first process has."""
        if self.count == 1:
            return value
        told = [value]
        with _together():
            dist.broadcast_object_list(told, src=0)
        return told[0]

    def total(self, values: Tensor) -> Tensor:
        """Return the sum over the processes."""
        if self.count > 1:
            values = values.clone()
            with _together():
                dist.all_reduce(values)
        return values

    def combine(
        self, gradients: Sequence[Tensor], means: dict[str, Tensor], answers: Tensor
    ) -> dict[str, Tensor]:
        """Make the gradients of a share of a batch, in place, those of the whole batch.

        Args:
            gradients: of the mean cost of the share's answers.
            means: metrics of the share: `loss` is a mean over its answers, the others over its
                sequences, of which all shares have equally many.
            answers: how many the share has.

        Returns:
            The metrics of the whole batch.
        """
        if self.count == 1:
            return means
        asked = self._stop is not None and self._stop.noted is not None
        weights = {name: answers if name == "loss" else torch.ones_like(answers) for name in means}
        like = means["loss"]
        numbers = [means[name].to(like) * weights[name].to(like) for name in means]
        numbers += [answers.to(like), torch.full_like(like, float(asked))]
        flat = [gradient.flatten() * answers.to(gradient) for gradient in gradients]
        summed = self.total(torch.cat([*flat, torch.stack(numbers)]))
        *found, all_answers, all_asked = summed[-len(numbers) :].unbind()
        pieces = summed.split([gradient.numel() for gradient in gradients] + [len(numbers)])
        for gradient, piece in zip(gradients, pieces, strict=False):
            gradient.copy_(piece.view_as(gradient) / all_answers)
        if self._stop is not None and float(all_asked) > 0:  # all processes find the same
            self._stop.signal = self._stop.noted or signal.SIGTERM
        return {
            name: value / (all_answers if name == "loss" else self.count)
            for name, value in zip(means, found, strict=True)
        }

    def gather(self, states: Sequence[Tensor]) -> list[Tensor]:
        """Return the states of all processes, in their order; each has equally many."""
        if self.count == 1 or not states:
            return list(states)
        own = torch.stack(list(states))
        found = [torch.empty_like(own) for _ in range(self.count)]
        with _together():
            dist.all_gather(found, own)
        return [state for part in found for state in part.unbind()]

    def scatter(self, states: Sequence[Tensor], streams: Sequence[torch.Generator]) -> None:
        """Give this process's streams their states of those that `gather` returned.

        Raises:
            ValueError: how many states there are and must be.
        """
        each = len(streams)
        if len(states) != each * self.count:
            raise ValueError(f"it has {len(states)} streams, and must have {each * self.count}")
        own = states[self.rank * each : (self.rank + 1) * each]
        for stream, state in zip(streams, own, strict=True):
            stream.set_state(state)

    def whole(self, batch: Batch) -> Batch:
        """Return the batch that this process has a share of."""
        if self.count == 1:
            return batch
        nothing = [None] * self.count
        shares = (nothing if part is None else self.gather([part]) for part in batch)
        return joined([Batch(*share) for share in zip(*shares, strict=True)])

    def leave(self) -> None:
        """End what the processes do together; from here on each stops for itself."""
        if self.count > 1 and dist.is_initialized():
            dist.destroy_process_group()
        if self._stop is not None:
            self._stop.alone = True
            if self._stop.noted is not None:
                self._stop.signal = self._stop.noted


@contextmanager
def _together() -> Iterator[None]:
    """Say what it means when an operation of all processes fails."""
    try:
        yield
    except RuntimeError as error:
        # gloo's message begins with the place in its sources, and ends with advice.
        said = re.sub(r"^\[\S*\] ", "", str(error)).partition(". ")[0] or type(error).__name__
        raise LostError(
            f"another process of this run has ended or does not answer ({said})"
        ) from error


def processes() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def command() -> str:
    """What starts as many processes on this machine.

    >>> command()
    'python train.py'
    """
    here = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if processes() > 1:
        return f"torchrun --nproc-per-node={here} {'-m memnets train' if INSTALLED else 'train.py'}"
    return "memnets train" if INSTALLED else "python train.py"


def problems(config: Config) -> Iterator[str]:
    """Say what cannot be shared among these processes, one sentence a problem."""
    count, streams, batch_size = processes(), config.streams or 1, config.run.batch_size
    if streams < 1 or (streams % count and not config.resume):  # `restore` says more of a resume
        yield (
            f"--streams must be a multiple of the {count} processes, got {streams}: each process "
            "draws as many"
        )
    elif batch_size % streams:
        yield (
            f"--run.batch-size must be a multiple of the {streams} streams of sequences (one for "
            f"each process, or --streams), got {batch_size}"
        )
    if count > 1 and config.device not in ("cpu", "cuda"):
        yield (
            f"--device must be cpu or cuda for {count} processes, got {config.device}: with cuda, "
            "each process of a machine takes a GPU of its own"
        )


def join(config: Config) -> Ranks:
    """Meet the other processes, and take a share of this machine: its GPU, its cores.

    Raises:
        LostError: not all processes came.
    """
    count = processes()
    if count == 1:
        return Ranks()
    rank, here, place = (
        int(os.environ[name]) for name in ("RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
    )
    share = max(1, device.cores() // here)
    torch.set_num_threads(min(config.threads, share))
    backend = "gloo"
    if config.device == "cuda":
        torch.cuda.set_device(place)
        backend = "cpu:gloo,cuda:nccl"
    with _together():
        dist.init_process_group(backend, timeout=PATIENCE)
    return Ranks(rank, count)


def streams(count: int, seed: int, ranks: Ranks, sizes: torch.Generator) -> list[Stream]:
    """The generators that this process draws its share of every batch from.

    Each of the run's streams has a seed of its own, and belongs to one process. Their sizes come
    from one generator, of which each process has a copy: all shares of a batch have one length.
    A run with one stream needs none of this.

    >>> seeds = [s.initial_seed() for s in streams(4, 7, Ranks(), torch.Generator())]
    >>> shared = [streams(4, 7, Ranks(rank, 2), torch.Generator()) for rank in (0, 1)]
    >>> [[stream.initial_seed() for stream in own] for own in shared] == [seeds[:2], seeds[2:]]
    True
    """
    if count == 1:
        return []
    each = count // ranks.count
    made = []
    for number in range(ranks.rank * each, (ranks.rank + 1) * each):
        stream = Stream()
        stream.sizes = sizes
        # torch's generator takes 32 bits of a seed: these differ for all streams, and from `seed`.
        made.append(stream.manual_seed((seed + (number + 1) * WEYL) % 2**32))
    return made


def sample(
    task: Task, rows: int, sizes: torch.Generator, streams: Sequence[torch.Generator]
) -> Batch:
    """Draw `rows` sequences from each stream, or from the generator of the sizes if it is alone."""
    if not streams:
        return task.sample(rows, sizes)
    before = sizes.get_state()
    parts = []
    for stream in streams:
        sizes.set_state(before)  # the same sizes for all
        parts.append(task.sample(rows, stream))
    return joined(parts)


def joined(batches: Sequence[Batch]) -> Batch:
    """The batch of the sequences of several, all of one length or padded to it."""
    lengths = [batch.lengths for batch in batches if batch.lengths is not None]
    inputs, targets, mask = (
        torch.cat(each, dim=1) for each in zip(*(batch[:3] for batch in batches), strict=True)
    )
    return Batch(inputs, targets, mask, torch.cat(lengths) if lengths else None)
