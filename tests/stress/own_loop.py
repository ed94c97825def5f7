"""Train with the loop of README.md, word for word, from five seeds: an NTM learns to copy.

    python -m tests.stress.own_loop

It takes some five minutes on one core, prints the wrong bits of a sequence, over 256 fresh
sequences, for each seed of an NTM and of a DNC, and ends with status 1 if one of the NTM's is at
0.01 or above.
"""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

import torch

from tasks import Copy

README = Path(__file__).parents[2] / "README.md"
SEEDS = range(5)
LIMIT = 0.01
STEPS = "range(2500)"
"""The line of the loop that says how long it trains."""


def own_loop() -> str:
    """The block of README.md that trains a layer."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (loop,) = [block for block in blocks if STEPS in block]
    return loop


def train(seed: int, *, kind: str = "NTM", steps: int | None = None) -> dict[str, Any]:
    """Run the loop with another seed, layer or number of steps; return the names it leaves."""
    code = own_loop()
    changes = {"manual_seed(0)": f"manual_seed({seed})", "memnets.NTM(": f"memnets.{kind}("}
    if steps is not None:
        changes[STEPS] = f"range({steps})"
    for before, after in changes.items():
        assert code.count(before) == 1, before
        code = code.replace(before, after)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, str(README), "exec"), names)
    return names


@torch.no_grad()
def wrong_bits(layer: torch.nn.Module) -> float:
    """Of a sequence of copy, in the mean over 256 that the layer has not seen."""
    task, generator = Copy(), torch.Generator().manual_seed(1)
    batches = [task.sample(8, generator) for _ in range(32)]
    errors = [task.cost.errors(layer(batch.inputs)[0], batch) for batch in batches]
    return float(torch.cat(errors).mean())


def main() -> int:
    """Train from every seed; return how many of the NTMs did not solve the task."""
    torch.set_num_threads(1)
    failed = 0
    for kind in ("NTM", "DNC"):
        for seed in SEEDS:
            wrong = wrong_bits(train(seed, kind=kind)["layer"])
            failed += kind == "NTM" and wrong >= LIMIT
            print(f"{kind}, seed {seed}: {wrong:.4f} wrong bits a sequence", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main() > 0)
