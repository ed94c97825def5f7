"""The tensors of steps of a sparse memory that the kernel does, by the names of `SparseStep`.

Axes: B batch, T time, N memory slots, W word, R read heads, H write heads; K words that a
head reads, L links of a word.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from memnets.backends.cpu.library import load
from memnets.backends.cpu.scanning import serves, sketch_of
from memnets.backends.cpu.sparse_plan import SparseStep
from memnets.parts.buffer import Undo
from memnets.parts.search import reach
from memnets.parts.sparse import Sparse
from memnets.parts.store import InPlace

HEADS = (
    "read_keys",
    "read_strengths",
    "write_gates",
    "reuse_gates",
    "write_vectors",
    "read_modes",
)
"""What the heads receive; a SAM has no modes."""
TABLES = ("before_slots", "before_weights", "after_slots", "after_weights")
PRECEDENCE = ("precedence_slots", "precedence_weights")
INTEGERS = frozenset(
    ("accessed", "steps", "written", "read_slots", "before_slots", "after_slots", PRECEDENCE[0])
)


class Sizes(NamedTuple):
    """The sizes of a step, in the order of `SparseStep`, which has K as `count`."""

    batch: int
    slots: int
    word: int
    read_heads: int
    write_heads: int
    top_k: int
    links: int

    @property
    def reads(self) -> int:
        """How many words a row reads."""
        return self.read_heads * self.top_k

    @property
    def writes(self) -> int:
        """How many words a row writes."""
        return self.write_heads * (self.top_k + 1)

    @property
    def carried(self) -> tuple[str, ...]:
        """What of a state a step makes anew, without a gradient; the rest changes in place."""
        return ("steps", "written", "read_slots", *(PRECEDENCE if self.links else ()))

    def of_state(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the state before a step."""
        rows, slots, word, readers, _, count, links = self
        found = {
            "memory": (rows, slots, word),
            "accessed": (rows, slots),
            "steps": (rows,),
            "written": (rows,),
            "read_slots": (rows, readers, count),
            "read_weights": (rows, readers, count),
        }
        if links:
            found |= dict.fromkeys(TABLES, (rows, slots, links))
            found |= dict.fromkeys(PRECEDENCE, (rows, links))
        return found

    def of_heads(self) -> dict[str, tuple[int, ...]]:
        """The shapes of what the heads receive."""
        rows, _, word, readers, writers, _, links = self
        read, written = (rows, readers), (rows, writers)
        shapes = ((*read, word), read, written, written, (*written, word), (*read, 3))
        return dict(zip(HEADS if links else HEADS[:-1], shapes, strict=False))


def sizes_of(state: Any, settings: Sparse, write_heads: int) -> Sizes | None:
    """The sizes of a step from a state that the kernel knows; None of one that it does not."""
    words = state.memory
    if not isinstance(words, InPlace) or type(settings) is not Sparse:
        return None
    values, readers = words.values, state.read_slots.shape[1]
    rows, slots, word = values.shape
    links = state.before_slots.shape[-1] if hasattr(state, "before_slots") else 0
    sizes = Sizes(rows, slots, word, readers, write_heads, settings.top_k, links)
    tensors = {**state._asdict(), "memory": values}
    known = are_known(tensors, sizes.of_state(), values.dtype)
    return sizes if known and all(one.is_contiguous() for one in in_place(state).values()) else None


def are_known(
    tensors: dict[str, Tensor], shapes: dict[str, tuple[int, ...]], dtype: torch.dtype
) -> bool:
    """Whether tensors have these shapes, and the kernel knows them and their dtypes."""
    for name, shape in shapes.items():
        one = tensors[name]
        if one.shape != shape or one.dtype != (torch.int64 if name in INTEGERS else dtype):
            return False
    return serves(dtype, *(tensors[name] for name in shapes))


def addresses(tensors: dict[str, Tensor]) -> dict[str, int]:
    """Where tensors lie."""
    return {name: tensor.data_ptr() for name, tensor in tensors.items()}


def set_addresses(problem: ctypes.Structure, tensors: dict[str, Tensor]) -> None:
    """Set where tensors lie."""
    for name, tensor in tensors.items():
        setattr(problem, name, tensor.data_ptr())


def in_place(state: Any) -> dict[str, Tensor]:
    """The tensors of a state that a step changes in place."""
    names = ("accessed", *TABLES) if hasattr(state, "before_slots") else ("accessed",)
    return {"memory": state.memory.values} | {name: getattr(state, name) for name in names}


def records(sizes: Sizes, time: int, state: Any) -> dict[str, Tensor]:
    """Where the kernel puts what a backward needs of some steps: [T, ...]."""
    values, steps = state.memory.values, state.steps
    looked_at = sizes.batch * (sizes.reads * (2 if sizes.links else 1) + sizes.writes)
    kept = load(values.dtype).memnets_sparse_kept(ctypes.byref(SparseStep(*sizes)))
    found = {
        "rows": steps.new_empty(time, looked_at),
        "kept": values.new_empty(time, sizes.batch, kept),
    }
    if sizes.links:
        candidates = sizes.reads * (2 * sizes.links + 1)
        found["merged"] = steps.new_empty(time, sizes.batch, candidates, dtype=torch.int32)
    return found


def undo(sizes: Sizes, state: Any, rows: Tensor) -> tuple[dict[str, Tensor], list[list[Undo]]]:
    """Where the kernel puts what some steps overwrite; and of each step, what puts it back.

    `rows` are those of `records`, [T, ...].
    """
    values, time = state.memory.values, len(rows)
    writes, linked = sizes.batch * sizes.writes, sizes.batch * sizes.links
    accesses = writes + sizes.batch * sizes.reads
    parts = [
        (values.view(-1, sizes.word), rows[:, -writes:], "old_words"),
        (state.accessed.view(-1), rows[:, -accesses:], "old_accessed"),
    ]
    places = {}
    if sizes.links:
        places["link_rows"] = near = rows.new_empty(time, writes * (1 + 2 * sizes.links) + linked)
        tables = [(getattr(state, name).view(-1, sizes.links), name) for name in TABLES]
        parts += [(table, near, f"old_{name}") for table, name in tables]
    each: list[Iterable[Undo]] = []
    for flat, changed, name in parts:
        places[name] = old = flat.new_empty(*changed.shape, *flat.shape[1:])
        pairs = zip(changed.unbind(0), old.unbind(0), strict=True)
        each.append([Undo(flat, *pair) for pair in pairs])
    return places, [list(step) for step in zip(*each, strict=True)]


def sketch(words: InPlace, written: Tensor, more: int) -> dict[str, int]:
    """The sketch of the words, where there is one; it has those that were written, and `more`."""
    place, _ = sketch_of(words, reach(written, words.values.shape[1], more))
    index = words.buffer.index
    if index is None:
        return {}
    return {"sketch": index.place, "sketch_row": index.row, "sketched": place is not None}


def first_step(
    sizes: Sizes, settings: Sparse, state: Any, time: int, tensors: dict[str, Tensor]
) -> SparseStep:
    """The first of so many steps from a state, which is given the tensors by their names."""
    words = state.memory
    return SparseStep(
        *sizes,
        settings.read_first,
        settings.threshold,
        settings.similarity_epsilon,
        **sketch(words, state.written, time * sizes.write_heads + sizes.top_k),
        **addresses({**in_place(state), **tensors}),
    )


def no_such_slots(slots: int) -> ValueError:
    """What is raised where a state names slots that there are not."""
    return ValueError(
        f"The slots of a state must be in [0, {slots}), and those that were written at most "
        f"{slots}; this state names others: begin with one of initial_state."
    )
