"""What an installed memnets must do, in a process of its own: layers, gradients, equivalence.

Run by path from any folder, by an interpreter that has memnets installed; prints what it found.
"""

from __future__ import annotations

import copy
import shutil
import sys
import time
from pathlib import Path

import torch

import memnets
from memnets.backends.cpu import library

TOLERANCES = {torch.float32: 2e-5, torch.float64: 1e-10}


def results(layer: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The output, and the gradients of x and of every parameter."""
    x = x.clone().requires_grad_()
    y, _ = layer(x)
    wanted = [x, *layer.parameters()]
    return [y, *torch.autograd.grad(y.square().sum(), wanted)]


def main() -> None:
    """Raise an AssertionError unless the kernel that came with the package serves, and agrees."""
    assert Path(sys.prefix) in Path(memnets.__file__).parents, memnets.__file__
    assert not any(shutil.which(name) for name in ("g++", "clang++", "c++", "gcc", "cc"))
    torch.set_num_threads(1)
    layer, x = memnets.NTM(9, 8, backend="fused"), torch.rand(20, 16, 9)
    began = time.perf_counter()
    layer(x)
    first = time.perf_counter() - began
    for kind in (memnets.NTM, memnets.DNC):
        for dtype, tolerance in TOLERANCES.items():
            layer = kind(5, 3, memory_size=12, word_size=6, hidden_size=16, backend="fused")
            layer = layer.to(dtype)
            reference = copy.deepcopy(layer)
            reference.backend = "reference"
            x = torch.rand(7, 4, 5, dtype=dtype)
            for one, other in zip(results(layer, x), results(reference, x), strict=True):
                atol = tolerance * float(other.detach().abs().max())
                torch.testing.assert_close(one, other, rtol=0, atol=atol)
    vectors = torch.randint(0, 2, (20, 4, 8)).float()
    x = torch.zeros(41, 4, 9)
    x[:20, :, :8], x[20, :, 8] = vectors, 1
    answers, _ = memnets.pretrained("copy")(x)
    assert torch.equal((answers[21:] > 0).float(), vectors)
    kernel = library.chosen_library("float")
    assert Path(memnets.__file__).parent in kernel.parents, kernel
    print(f"{kernel.name} serves without a compiler; the first call took {first:.3f} s")


if __name__ == "__main__":
    main()
