"""What every task offers, the metrics they share, and functions to write a new one with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

if TYPE_CHECKING:
    from tasks.costs import Cost
    from tasks.solved import Solved


class Batch(NamedTuple):
    """Some sequences of one common length, time first.

    inputs [T, B, I] is what the network sees, targets [T, B, O] what it should answer, and mask
    [T, B] is 1 on the steps that are scored and 0 elsewhere; targets are 0 wherever the mask is.
    The task's cost says what targets are: bits, a symbol as a one-hot vector, or real numbers. All
    are float32. Sequences from files have lengths [B], whole numbers; what is beyond them is 0.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor
    lengths: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        inputs, targets, mask = (part.to(device) for part in self[:3])
        lengths = None if self.lengths is None else self.lengths.to(device)
        return Batch(inputs, targets, mask, lengths)


@dataclass(frozen=True)  # a tuple has a `count` of its own
class Rows:
    """Neighbouring channels of the inputs or targets that hold the same kind of value.

    Pictures label their rows with the name, and colour them by the range.
    """

    name: str
    count: int
    range: tuple[float, float] = (0.0, 1.0)
    """the least and the greatest value"""


class Axis(NamedTuple):
    """One way in which a task is made easier or harder: the value that these fields take.

    A range of sizes has two fields, the ends of the range, which both take the value.
    """

    fields: tuple[str, ...]
    easiest: int
    hardest: int


class Sizes(NamedTuple):
    """Sizes at which a trained network is measured, whether or not it was trained on them.

    Every value is given to all of the fields, or is a tuple with a value for each of them.
    """

    name: str
    fields: tuple[str, ...]
    values: tuple[int | tuple[int, ...], ...]


class Task(Protocol):
    """The contract of a task: a frozen dataclass of sizes that samples and solves sequences.

    To add a task, write one file in this folder and import its class in `tasks/__init__.py`:

    1. `@register("my_task") @dataclass(frozen=True, kw_only=True) class MyTask`, with plain int,
       float or str fields, each with a default and a string under it that explains it: `train.py`
       makes a flag and its help text of every field, and a curriculum changes them with
       `dataclasses.replace`. The name is what `--task` takes.
    2. `__post_init__` refuses impossible sizes with `check_size`, `check_range` or a ValueError
       that states what must hold, the values that broke it and the remedy.
    3. The members below. Take all randomness from the generator, never from torch's global one, and
       make tensors on its device; give the sequences of one batch one common length, so that
       nothing is padded (or `lengths`), and draw what decides it with `random_size`, so that the
       batches of several processes have one length too.
    4. In its docstring an example small enough to check by hand.
    5. One row in the table of `tests/tasks/table.py`: the tests then hold it to all of this.

    A task of another package stays where it is, without `@register` and without a row: `--task`
    takes its class as `mypackage.tasks:MyTask`. One whose sequences are given, as an array or a
    dataset, says less: see `tasks.data.Data`.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        ...

    @property
    def output_size(self) -> int:
        """The number of bits, symbols to choose from or numbers of each answer, O."""
        ...

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on; the counts add up to input_size."""
        ...

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on; the counts add up to output_size."""
        ...

    @property
    def cost(self) -> Cost:
        """How answers are scored: `BITS`, `SYMBOLS` or a `squared_error` of `tasks.costs`."""
        ...

    @property
    def axes(self) -> tuple[Axis, ...]:
        """What makes it harder, for a curriculum; at the hardest values, it is as hard as it is."""
        ...

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size independent sequences; the generator's state alone decides which."""
        ...

    def chance_cost(self) -> float:
        """What guessing costs on average, in the unit of the task's cost, for a sequence.

        It is what the best predictor pays that knows when and where the answer's random parts
        stand, but nothing of the inputs' content: 1 bit for each fair bit.
        """
        ...

    def chance_errors(self) -> float:
        """How many answers of a sequence are wrong on average if guessed, as `chance_cost`."""
        ...

    @property
    def solved(self) -> Solved:
        """When it counts as solved, and what the paper reports: see `tasks.solved`."""
        ...

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets [T, B, O], worked out from the inputs [T, B, I] of one batch alone.

        Where the inputs cannot tell the targets: the probabilities that the best predictor gives.
        """
        ...

    def evaluations(self) -> dict[str, Task]:
        """Named variants to evaluate a trained network on: the paper's, with this task's widths."""
        ...

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """The sizes that `train.py --evaluate` measures, in all combinations: see `tasks.grid`."""
        ...


@runtime_checkable
class HasValidation(Protocol):
    """A task with a limited number of sequences, and others to validate on: see `tasks.data`."""

    def validation(self) -> Task:
        """The task over the sequences that are not trained on."""
        ...


def validation(task: Task) -> Task:
    """What a network in training is validated on: sequences that are held out, or new ones.

    >>> from tasks.copy import Copy
    >>> validation(Copy(bits=3))
    Copy(bits=3, min_length=1, max_length=20)
    """
    return task.validation() if isinstance(task, HasValidation) else task


def bits_per_sequence(logits: Tensor, batch: Batch) -> Tensor:
    """The cross-entropy of the scored bits, summed over time and outputs, in bits per sequence.

    Args:
        logits: [T, B, O], before the sigmoid; half precision is computed in float32.
        batch: the batch that the logits answer.

    Returns:
        [B], at least 0; 1 bit for each scored bit where the logits are 0. Differentiable.

    Raises:
        ValueError: the logits have another shape than the targets.

    >>> batch = Batch(torch.zeros(3, 2, 1), torch.zeros(3, 2, 4), torch.ones(3, 2))
    >>> bits_per_sequence(torch.zeros(3, 2, 4), batch)
    tensor([12., 12.])
    """
    check_outputs(logits, batch)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    nats = binary_cross_entropy_with_logits(
        logits, batch.targets.to(logits.dtype), reduction="none"
    ).sum(-1)
    return (nats * batch.mask).sum(0) / math.log(2)


def wrong_bits(logits: Tensor, batch: Batch) -> Tensor:
    """How many scored bits are wrong when the outputs are rounded (a logit above 0 says 1).

    Args:
        logits: [T, B, O]; a NaN counts as wrong, so that a diverged network is never half right.
        batch: the batch that the logits answer.

    Returns:
        [B] float32 whole numbers, from 0 to the number of scored bits.

    Raises:
        ValueError: the logits have another shape than the targets.

    >>> batch = Batch(torch.zeros(1, 1, 1), torch.tensor([[[1.0, 0.0, 1.0]]]), torch.ones(1, 1))
    >>> wrong_bits(torch.tensor([[[2.0, 3.0, -1.0]]]), batch)
    tensor([2.])
    """
    check_outputs(logits, batch)
    wrong = ((logits > 0) != (batch.targets > 0.5)) | logits.isnan()
    return (wrong.sum(-1) * batch.mask).sum(0)


def exact_match(logits: Tensor, batch: Batch) -> Tensor:
    """Which sequences are answered without a single wrong bit: [B] bool, arguments as `wrong_bits`.

    Raises:
        ValueError: the logits have another shape than the targets.

    >>> batch = Batch(torch.zeros(1, 2, 1), torch.tensor([[[1.0], [0.0]]]), torch.ones(1, 2))
    >>> exact_match(torch.tensor([[[2.0], [2.0]]]), batch)
    tensor([ True, False])
    """
    return wrong_bits(logits, batch) == 0


def check_outputs(outputs: Tensor, batch: Batch) -> None:
    """Refuses outputs of another shape than the targets, which would broadcast into a number.

    Raises:
        ValueError: naming both shapes and the remedy.
    """
    if outputs.shape != batch.targets.shape:
        raise ValueError(
            f"the logits must have the targets' shape [T, B, O], but have {list(outputs.shape)} "
            f"and the targets {list(batch.targets.shape)}: pass all steps' outputs, time first"
        )


def check_size(name: str, value: int, minimum: int = 1) -> None:
    """Refuses a size that is not a whole number of at least `minimum`.

    Raises:
        ValueError: naming the size, its value and the least that is allowed.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ValueError(
            f"{name} must be a whole number of at least {minimum}, got {name}={value!r}: "
            f"pass {name}={minimum} or more"
        )
    if value >= 2**31:
        raise ValueError(f"{name} must be below 2**31, got {name}={value}: pass a smaller one")


def check_range(
    low_name: str, low: int, high_name: str, high: int, minimum: int = 1, distinct: bool = False
) -> None:
    """Refuses a range of sizes that is empty or begins below `minimum`.

    `distinct` also refuses a range of a single size.

    Raises:
        ValueError: naming both ends, their values and the remedy.
    """
    check_size(low_name, low, minimum)
    check_size(high_name, high, minimum)
    if low > high or (distinct and low == high):
        raise ValueError(
            f"{low_name} must be {'below' if distinct else 'at most'} {high_name}, got "
            f"{low_name}={low} and {high_name}={high}: raise {high_name} or lower {low_name}"
        )


def random_bits(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Fair independent bits as float32 zeros and ones, on the generator's device."""
    options = {"dtype": torch.float32, "device": generator.device}
    return torch.randint(0, 2, shape, generator=generator, **options)


class Stream(torch.Generator):
    """A generator whose sizes come from another: several of them draw batches of one length.

    >>> first, second = Stream().manual_seed(1), Stream().manual_seed(2)
    >>> first.sizes = torch.Generator().manual_seed(3)
    >>> second.sizes = torch.Generator().manual_seed(3)
    >>> random_size(1, 1000, first) == random_size(1, 1000, second)
    True
    >>> random_bits((99,), first).equal(random_bits((99,), second))
    False
    """

    sizes: torch.Generator


def random_size(low: int, high: int, generator: torch.Generator) -> int:
    """A whole number drawn uniformly from low to high, both included.

    It is drawn from the generator, or from that of the sizes of a `Stream`.
    """
    if isinstance(generator, Stream):
        generator = generator.sizes
    return int(torch.randint(low, high + 1, (), generator=generator, device=generator.device))


def question_and_answer(question: Tensor, answer: Tensor) -> Batch:
    """Show vectors, then a delimiter on a channel of its own; the answer follows without any input.

    question [L, B, bits] and answer [A, B, O] become inputs [L + 1 + A, B, bits + 1] and as many
    targets, of which the last A steps are scored.
    """
    length, batch_size, bits = question.shape
    steps = length + 1 + len(answer)
    inputs = question.new_zeros(steps, batch_size, bits + 1)
    targets = question.new_zeros(steps, batch_size, answer.shape[-1])
    mask = question.new_zeros(steps, batch_size)
    inputs[:length, :, :bits] = question
    inputs[length, :, bits] = 1
    targets[length + 1 :] = answer
    mask[length + 1 :] = 1
    return Batch(inputs, targets, mask)


def asked(inputs: Tensor) -> Tensor:
    """The question [L, B, bits] in the inputs of `question_and_answer`."""
    return inputs[: int(inputs[:, 0, -1].argmax()), :, :-1]


def draw(batch: Batch, row: int = 0) -> str:
    """A picture of one sequence of a batch: a line for each channel, a column for each step.

    `#` is 1, `.` is 0, any other value is printed; the targets are left blank where they are not
    scored.

    >>> inputs = torch.tensor([1.0, 0.0]).view(2, 1, 1)
    >>> print(draw(Batch(inputs, inputs.flip(0), torch.tensor([[0.0], [1.0]]))))
    inputs   0 | # .
    targets  0 |   #
    """
    mask = batch.mask[:, row].tolist()
    lines = [[_cell(value) for value in channel] for channel in batch.inputs[:, row].T.tolist()]
    labels = [f"{'inputs' if i == 0 else '':7} {i:2} |" for i in range(len(lines))]
    for i, channel in enumerate(batch.targets[:, row].T.tolist()):
        lines.append(
            [_cell(value) if scored else "" for value, scored in zip(channel, mask, strict=True)]
        )
        labels.append(f"{'targets' if i == 0 else '':7} {i:2} |")
    width = max(len(cell) for line in lines for cell in line)
    return "\n".join(
        " ".join([label, *(cell.rjust(width) for cell in line)]).rstrip()
        for label, line in zip(labels, lines, strict=True)
    )


def _cell(value: float) -> str:
    return {0.0: ".", 1.0: "#"}.get(value, f"{value:.1f}")
