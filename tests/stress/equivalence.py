"""Draw layers and calls at random; compare the kernel with the reference in all that they return.

    python -m tests.stress.equivalence --cases 1000 --seed 0
    python -m tests.stress.equivalence --seed 0 --case 417

The second repeats one case of the first, and shows every tensor. A case draws every setting of a
layer, sizes, lengths, a carried state, starts and what from, and which outputs get a gradient
(`tests.stress.cases`). Outputs, final state and every gradient must agree to `TOLERANCES` of each
tensor's largest number.

Where they do not, the reference says how well the numbers are determined: it runs again `TRIALS`
times, each operation's result moved at random by a rounding error (Monte Carlo arithmetic, Parker
1997), and half of the times with numbers too small to be normal taken as 0, as the kernel takes
them. A case is ill-conditioned if, beyond the tolerance, kernel and reference differ by at most
`FACTOR` times the largest difference that this makes. All else is a disagreement: exit status 1.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import memnets
from memnets.parts.heads import Heads
from memnets.parts.usage import LeastRecentlyUsed
from tests.stress.cases import Call, Case, build, draw, outputs_of

TOLERANCES = {torch.float64: 1e-10, torch.float32: 2e-5}
TRIALS = 16
FACTOR = 2.0
ROUNDED = {
    *("add", "addcmul", "addmm", "baddbmm", "bmm", "cumsum", "div", "exp", "lerp", "log", "mean"),
    *("mm", "mul", "pow", "reciprocal", "rsqrt", "rsub", "sigmoid", "softplus", "sqrt", "sub"),
    *("sum", "sigmoid_backward", "softplus_backward", "tanh_backward"),
    *("_softmax", "_softmax_backward_data"),
}
"""The operations that round; all others of the reference move numbers or compare them."""


class RandomRounding(TorchDispatchMode):
    """Move what every operation returns by up to two units in the last place, at random."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.noise = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not (isinstance(result, Tensor) and result.is_floating_point()):
            return result
        if name == "tanh":  # the kernel's is exact to a rounding error of 1, not of itself
            return result.add_(self.error(result))
        if name.removesuffix("_") in ROUNDED:
            return result.mul_(1 + self.error(result))
        return result

    def error(self, like: Tensor) -> Tensor:
        """Rounding errors, uniform."""
        unit = 2 * torch.rand(like.shape, generator=self.noise, dtype=like.dtype) - 1
        return 2 * torch.finfo(like.dtype).eps * unit


@dataclass
class Outcome:
    """What came of a case: `agree`, `ill-conditioned`, `refused` or `disagree`."""

    verdict: str
    ratio: float = 0.0
    """The largest difference: of the tolerance, or what is beyond it of the sensitivity."""
    rows: list[str] = field(default_factory=list)
    """A line for each tensor."""


def results(call: Call, backend: str) -> dict[str, Tensor]:
    """All outputs and gradients, by name."""
    layer = copy.deepcopy(call.layer)
    layer.backend = backend
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name in call.wanted)
    x = call.x.clone().requires_grad_("x" in call.wanted)
    sources = {**dict(layer.named_parameters()), "x": x}
    states = {"start": call.state, "restart": call.restart}
    for kind, state in states.items():
        if state is None:
            continue
        parts = {name: one.detach().clone() for name, one in memnets.flatten(state).items()}
        for name, part in parts.items():
            sources[f"{kind}.{name}"] = part.requires_grad_(f"{kind}.{name}" in call.wanted)
        states[kind] = memnets.unflatten(parts, state)
    sources = {name: one for name, one in sources.items() if one.requires_grad}
    begins = {"starts": call.starts, "restart": states["restart"]}
    outputs = outputs_of(layer(x, states["start"], lengths=call.lengths, **begins))
    given = {name: one for name, one in call.gradients.items() if outputs[name].requires_grad}
    if given and sources:
        ends = [outputs[name] for name in given]
        found = torch.autograd.grad(
            ends, list(sources.values()), list(given.values()), materialize_grads=True
        )
        outputs |= {f"d {name}": one for name, one in zip(sources, found, strict=True)}
    return {name: one.detach() for name, one in outputs.items()}


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference where `other` is finite; infinity where just one is no number.

    Where `other` overflows to infinity, `one` may be anything: they overflow in different places.
    """
    if bool((other.isnan() & one.isfinite()).any()):
        return math.inf
    finite = other.isfinite()
    apart = (one[finite] - other[finite]).abs()
    return float(apart.nan_to_num(math.inf, math.inf).max()) if apart.numel() else 0.0


def largest(one: Tensor) -> float:
    """The largest finite number."""
    finite = one[one.isfinite()].abs()
    return float(finite.max()) if finite.numel() else 0.0


def sensitivities(call: Call, expected: dict[str, Tensor]) -> dict[str, float]:
    """How far rounding errors move each result of the reference."""
    call.layer.checkpoint_every = None  # which would round what it computes twice in two ways
    moves = dict.fromkeys(expected, 0.0)
    for trial in range(TRIALS):
        torch.set_flush_denormal(trial % 2 == 1)
        try:
            with RandomRounding(trial):
                found = results(call, "reference")
        finally:
            torch.set_flush_denormal(False)
        for name, one in found.items():
            moves[name] = max(moves[name], difference(one, expected[name]))
    return moves


def beyond_sensitivity(one: float, move: float) -> float:
    """How many times as far as rounding errors; 1 where they too make numbers of what is none."""
    if math.isinf(one) and math.isinf(move):
        return 1.0
    return one / move if move else math.inf


def refused_ones(case: Case) -> list[Any]:
    """The parts of a layer that the kernel says it does not know."""
    if case.kind == "DNC":
        return []
    heads = case.options["heads"]
    heads = heads if isinstance(heads, Heads) else Heads(entries=heads)
    return [h for h in heads.of(1, 1) if isinstance(h.addressing, LeastRecentlyUsed)]


def examine(case: Case) -> Outcome:
    """Run a case on both backends, and judge the difference."""
    call = build(case)
    expected = results(call, "reference")
    try:
        actual = results(call, "fused")
    except ValueError as error:
        return Outcome("refused" if refused_ones(case) else "disagree", rows=[str(error)])
    if set(actual) != set(expected):
        return Outcome("disagree", rows=[f"results: {sorted(set(actual) ^ set(expected))}"])
    tolerance = TOLERANCES[case.options["dtype"]]
    apart = {name: difference(actual[name], one) for name, one in expected.items()}
    sizes = {name: largest(one) for name, one in expected.items()}
    beyond = {name: one - tolerance * sizes[name] for name, one in apart.items()}
    beyond = {name: one for name, one in beyond.items() if one > 0}
    if not beyond:
        ratios = [apart[name] / (tolerance * sizes[name]) for name in apart if sizes[name]]
        return Outcome("agree", max(ratios, default=0.0), shown(apart, sizes, {}))
    moves = sensitivities(call, expected)
    ratio = max(beyond_sensitivity(one, moves[name]) for name, one in beyond.items())
    verdict = "ill-conditioned" if ratio <= FACTOR else "disagree"
    return Outcome(verdict, ratio, shown(apart, sizes, moves))


def shown(apart: dict[str, float], sizes: dict[str, float], moves: dict[str, float]) -> list[str]:
    """A line for each result."""
    lines = []
    for name, one in apart.items():
        lines.append(f"{name:32} largest {sizes[name]:8.1e}, difference {one:8.1e}")
        lines[-1] += f", sensitivity {moves[name]:8.1e}" if moves else ""
    return lines


def show(seed: int, index: int) -> int:
    """Print a case and all its results."""
    case = draw(seed, index)
    outcome = examine(case)
    print(case, *outcome.rows, f"{outcome.verdict}: {outcome.ratio:.2g}", sep="\n")
    return int(outcome.verdict == "disagree")


def run(seed: int, first: int, count: int) -> int:
    """Examine many cases; print the disagreements, and how many there are of each verdict."""
    verdicts: Counter[str] = Counter()
    worst: dict[str, tuple[float, int]] = {}
    for index in range(first, first + count):
        try:
            outcome = examine(draw(seed, index))
        except Exception as error:  # of either side, whatever it is: the case shows it
            outcome = Outcome("disagree", math.inf, [repr(error)])
        verdict = outcome.verdict
        verdicts[verdict] += 1
        worst[verdict] = max(worst.get(verdict, (-1.0, 0)), (outcome.ratio, index))
        if verdict == "disagree":
            command = f"python -m tests.stress.equivalence --seed {seed} --case {index}"
            print(f"disagree, {outcome.ratio:.2g} of at most {FACTOR}: {command}", flush=True)
    for verdict, times in verdicts.most_common():
        ratio, index = worst[verdict]
        print(f"{verdict}: {times}, the largest ratio {ratio:.2g} in case {index}")
    return int(verdicts["disagree"] > 0)


def main() -> int:
    """Examine many cases, or show one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="which cases")
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--case", type=int, help="show the case of this number alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.case is not None:
        return show(options.seed, options.case)
    return run(options.seed, options.first, options.cases)


if __name__ == "__main__":
    sys.exit(main())
