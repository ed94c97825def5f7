"""Drawings for the few-shot task: folders of pictures, such as those of Omniglot."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

TURNS = 4
"""quarter turns, each of which makes another class of a character"""


class Drawings(NamedTuple):
    """The pictures of all characters, those of one character after the other."""

    pictures: Tensor
    """[pictures, side, side], from 0, paper, to 1, ink"""
    starts: Tensor
    """the first picture of each character"""
    counts: Tensor
    """the pictures of each character"""


@lru_cache(maxsize=8)  # a run has those to train on and those that it never sees
def read(folder: str, side: int) -> Drawings:
    """The pictures below a folder: each folder that has PNG files is a character.

    Raises:
        ValueError: there are no such files, or Pillow, which reads them, is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            "drawings are read by Pillow, which is not installed: pip install pillow"
        ) from None
    characters: dict[Path, list[Tensor]] = {}
    for path in sorted(Path(folder).rglob("*.png")):
        with Image.open(path) as picture:
            small = picture.convert("L").resize((side, side), Image.Resampling.BOX)
        paper = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8)
        characters.setdefault(path.parent, []).append(1 - paper.view(side, side) / 255)
    if not characters:
        raise ValueError(
            f"there are no pictures below {folder}: pass as --task.folder a folder that has, at "
            "any depth, a folder of PNG files for each character (images_background of Omniglot)"
        )
    counts = torch.tensor([len(drawn) for drawn in characters.values()])
    pictures = torch.stack([one for drawn in characters.values() for one in drawn])
    return Drawings(pictures, counts.cumsum(0) - counts, counts)


def drawn(drawings: Drawings, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw characters and turns for the classes of each row, and a picture for each of its steps.

    Args:
        drawings: the characters there are.
        labels: the class of each step, [T, B]; of each class as many steps.
        generator: of the random numbers.

    Returns:
        Pictures [T, B, side * side]; no two classes of a row are of one character, and no picture
        comes twice in a row.

    Raises:
        ValueError: there are fewer characters than classes, or a character has too few pictures.
    """
    (steps, rows), classes = labels.shape, int(labels.max()) + 1
    shots, fewest = steps // classes, int(drawings.counts.min())
    if len(drawings.counts) < classes or fewest < shots:
        raise ValueError(
            f"{classes} classes with {shots} shots need as many characters with as many pictures, "
            f"but there are {len(drawings.counts)} characters, one with {fewest} pictures: lower "
            "classes or shots"
        )
    options = {"generator": generator, "device": generator.device}
    characters = torch.rand(rows, len(drawings.counts), **options).argsort(-1)[:, :classes].cpu()
    turns = torch.randint(TURNS, (rows, classes), **options).cpu()
    keys = torch.rand(rows, classes, int(drawings.counts.max()), **options).cpu()
    missing = torch.arange(keys.shape[-1]) >= drawings.counts[characters][..., None]
    order = keys.masked_fill(missing, 2.0).argsort(-1)  # what is missing comes last
    kinds, row = labels.cpu(), torch.arange(rows)
    shot = (one_hot(kinds, classes).cumsum(0) - 1).gather(-1, kinds[..., None])[..., 0]
    chosen = drawings.starts[characters][row, kinds] + order[row, kinds, shot]
    upright = drawings.pictures[chosen]  # [T, B, side, side]
    turned = torch.stack([upright.rot90(turn, (-2, -1)) for turn in range(TURNS)])
    found = turned[turns[row, kinds], torch.arange(steps)[:, None], row]
    return found.flatten(-2).to(generator.device)
