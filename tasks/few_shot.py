"""The few-shot task: learn new classes within a sequence, each label shown one step too late."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tasks.base import Axis, Batch, Rows, Sizes, Task, check_size
from tasks.costs import SYMBOLS
from tasks.different import different_bits
from tasks.few_shot_files import drawn, read
from tasks.registry import register
from tasks.solved import Solved


@register("few_shot")
@dataclass(frozen=True, kw_only=True)
class FewShot:
    """Show noisy samples of classes that are new in every sequence; answer the class of each.

    Santoro et al. 2016 (arXiv 1605.06065), section 2 and figure 1: the label of a sample is shown
    with the next one, so that a network must bind the two over a step, keep them, and find them by
    content. Their samples are drawings (Omniglot). With `folder`, so they are here: a class is a
    character in one of four turns, and a sample one of its pictures, made smaller. Without it, a
    class is a vector of `dimensions` signs, those of one sequence all different, and a sample is
    that vector plus noise, uniform in each number. Each class has `shots` samples, in random order.
    The paper
    scores all answers; here the first sample of a class, which nobody can know, is not scored.
    Inputs [T, B, dimensions + classes], T = classes * shots: sample, label of the sample before
    (one-hot; nothing in the first step). Targets [T, B, classes]: a symbol, one-hot.

    Raises:
        ValueError: there are fewer than 2 classes or shots, more classes than sign vectors, the
            noise is not from 1 to 99 percent, or a setting has no effect beside the others. When
            drawings are needed: see `tasks.few_shot_files`.

    Two classes of two numbers with three samples each (inputs 2 and 3 are the label):

    >>> from tasks.base import draw
    >>> task = FewShot(classes=2, shots=3, dimensions=2, noise_percent=20)
    >>> print(draw(task.sample(1, torch.Generator().manual_seed(0))))
    inputs   0 | -1.1  0.8 -1.1  1.1 -1.1  1.1
             1 |  1.0 -1.1  1.0 -0.9  0.9 -0.8
             2 |    .    #    .    #    .    #
             3 |    .    .    #    .    #    .
    targets  0 |              #    .    #    .
             1 |              .    #    .    #
    """

    cost = SYMBOLS
    classes: int = 5
    """Classes in a sequence."""
    shots: int = 10
    """Samples of each class."""
    folder: str = ""
    """Folder of drawings, with a folder of PNG files for each character, at any depth."""
    unseen: str = ""
    """Another folder of drawings, of characters that are for evaluations alone."""
    side: int = 20
    """Pixels of a side that a drawing is made smaller to."""
    dimensions: int = 16
    """Numbers in each sample."""
    noise_percent: int = 50
    """Most that a number of a sample is off, in percent of 1; below 100, so that no sign turns."""

    def __post_init__(self) -> None:
        check_size("classes", self.classes, minimum=2)
        check_size("shots", self.shots, minimum=2)
        check_size("dimensions", self.dimensions)
        check_size("noise_percent", self.noise_percent)
        check_size("side", self.side)
        self._check_effects()
        if self.noise_percent > 99:
            raise ValueError(
                f"noise_percent must be at most 99, got noise_percent={self.noise_percent}: with "
                "more, a sample no longer tells its class"
            )
        if not self.folder and self.classes > 2**self.dimensions:
            raise ValueError(
                f"the classes of a sequence must all be different, but dimensions="
                f"{self.dimensions} make only {2**self.dimensions} of them, got "
                f"classes={self.classes}: raise dimensions or lower classes"
            )

    def _check_effects(self) -> None:
        """Of a setting for drawings without any, or one for vectors of signs beside drawings."""
        for name in ("folder", "unseen"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(
                    f"{name} must be a path, got {getattr(self, name)!r}: pass it as text"
                )
        idle = ("dimensions", "noise_percent") if self.folder else ("unseen", "side")
        for name in idle:
            if getattr(self, name) != getattr(FewShot, name):
                beside = f"folder={self.folder!r}" if self.folder else "no folder of drawings"
                raise ValueError(
                    f"{name}={getattr(self, name)!r} has no effect beside {beside}: leave it out"
                )

    @property
    def sample_size(self) -> int:
        """The numbers of a sample."""
        return self.side**2 if self.folder else self.dimensions

    @property
    def input_size(self) -> int:
        """The number of input channels, I."""
        return self.sample_size + self.classes

    @property
    def output_size(self) -> int:
        """The number of symbols to choose from, O."""
        return self.classes

    @property
    def input_rows(self) -> tuple[Rows, ...]:
        """What the input channels hold, from channel 0 on."""
        most = 1 + self.noise_percent / 100
        extent = (0.0, 1.0) if self.folder else (-most, most)
        return (Rows("sample", self.sample_size, extent), Rows("label before", self.classes))

    @property
    def output_rows(self) -> tuple[Rows, ...]:
        """What the target channels hold, from channel 0 on."""
        return (Rows("label", self.classes),)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The number of samples of each class."""
        return (Axis(("shots",), 2, self.shots),)

    def sample(self, batch_size: int, generator: torch.Generator) -> Batch:
        """Draws batch_size sequences; the generator alone decides which."""
        check_size("batch_size", batch_size)
        options = {"generator": generator, "device": generator.device, "dtype": torch.float32}
        steps, most = self.classes * self.shots, self.noise_percent / 100
        shape = batch_size, self.classes, self.dimensions
        signs = None if self.folder else 2 * different_bits(shape, 1, generator) - 1
        labels = torch.rand(batch_size, steps, **options).argsort(-1).T // self.shots  # [T, B]
        if signs is None:
            samples = drawn(read(self.folder, self.side), labels, generator)
        else:
            noise = 2 * torch.rand(steps, batch_size, self.dimensions, **options) - 1
            rows = torch.arange(batch_size, device=generator.device)
            samples = signs[rows, labels] + most * noise
        symbols = one_hot(labels, self.classes).to(torch.float32)
        before = torch.cat([torch.zeros_like(symbols[:1]), symbols[:-1]])
        inputs = torch.cat([samples, before], dim=-1)
        mask = ((symbols.cumsum(0) - symbols) * symbols).sum(-1).clamp(max=1)
        return Batch(inputs, symbols * mask[..., None], mask)

    def chance_cost(self) -> float:
        """The logarithm of the number of classes, for each sample but the first of each class."""
        return self.classes * (self.shots - 1) * math.log2(self.classes)

    def chance_errors(self) -> float:
        """All but one in as many answers as there are classes."""
        return (self.classes - 1) * (self.shots - 1)

    @property
    def solved(self) -> Solved:
        """One wrong answer in a hundred."""
        return Solved(
            "wrong_symbols",
            0.45,
            "A sequence has 45 answers, so 0.45 is one wrong in a hundred; the paper's network has "
            "two wrong in a hundred at the tenth drawing of a class.",
        )

    def solve(self, inputs: Tensor) -> Tensor:
        """The targets of the inputs: the label shown after an earlier sample of the same signs.

        Raises:
            ValueError: the samples are drawings, in which nothing but a network sees what they are.
        """
        if self.folder:
            raise ValueError(
                f"samples must be vectors of signs to be told apart, but they are drawings of "
                f"{self.folder}: leave out folder"
            )
        signs = inputs[..., : self.dimensions] > 0
        labels = inputs[1:, :, self.dimensions :]  # of the steps before the last
        targets = torch.zeros_like(inputs[..., self.dimensions :])
        for step in range(1, len(inputs)):
            same = (signs[:step] == signs[step]).all(-1)  # [step, B]
            targets[step] = (same[..., None] * labels[:step]).amax(0)
        return targets

    def evaluations(self) -> dict[str, Task]:
        """The paper's ten samples of each class, and twice as many; characters never seen."""
        found: dict[str, Task] = {
            f"shots_{shots}": replace(self, shots=shots) for shots in (10, 20)
        }
        if self.unseen:
            found["unseen"] = replace(self, folder=self.unseen, unseen="")
        return found

    @property
    def grid(self) -> tuple[Sizes, ...]:
        """From the fewest samples of each class on."""
        return (Sizes("shots", ("shots",), (2, 5, 10, 20)),)
