"""What the kernel is told about a step of a sparse memory: see csrc/sparse_problem.h.

Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads,
L links of a word.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_double, c_int64, c_void_p


class SparseStep(ctypes.Structure):
    """Everything that one step is given, forward and backward; an address of None is null."""

    _fields_ = [
        *((n, c_int64) for n in ("batch", "slots", "word", "read_heads", "write_heads")),
        *((n, c_int64) for n in ("count", "links", "read_first")),
        *((n, c_double) for n in ("threshold", "epsilon")),
        *((n, c_void_p) for n in ("memory", "accessed", "before_slots", "before_weights")),
        *((n, c_void_p) for n in ("after_slots", "after_weights", "sketch")),
        *((n, c_int64) for n in ("sketch_row", "sketched")),
        *((n, c_void_p) for n in ("resting", "steps", "written", "read_slots", "read_weights")),
        *((n, c_void_p) for n in ("precedence_slots", "precedence_weights")),
        *(
            (n, c_void_p)
            for n in ("next_steps", "next_written", "next_read_slots", "next_read_weights")
        ),
        *((n, c_void_p) for n in ("next_write_slots", "next_write_weights")),
        *((n, c_void_p) for n in ("next_precedence_slots", "next_precedence_weights")),
        ("heads_row", c_int64),
        *((n, c_void_p) for n in ("read_keys", "read_strengths", "write_gates", "reuse_gates")),
        *((n, c_void_p) for n in ("write_vectors", "read_modes", "read_vectors")),
        *((n, c_void_p) for n in ("rows", "kept", "merged")),
        *((n, c_void_p) for n in ("old_words", "old_accessed", "link_rows")),
        *((n, c_void_p) for n in ("old_before_slots", "old_before_weights")),
        *((n, c_void_p) for n in ("old_after_slots", "old_after_weights")),
        *((n, c_void_p) for n in ("gradient", "d_read_vectors", "d_next_read_weights")),
        *((n, c_void_p) for n in ("d_next_write_weights", "d_read_weights", "d_read_keys")),
        *((n, c_void_p) for n in ("d_read_strengths", "d_write_gates", "d_reuse_gates")),
        *((n, c_void_p) for n in ("d_write_vectors", "d_read_modes")),
    ]


class SparseSequence(ctypes.Structure):
    """Several steps of a layer whose controller is one LSTM."""

    _fields_ = [
        *((n, c_int64) for n in ("time", "hidden", "numbers", "fields_count")),
        ("fields", c_void_p),
        ("first", POINTER(SparseStep)),
        ("input_stride", c_int64),
        *((n, c_void_p) for n in ("input_weights", "own_weights", "interface_weights")),
        *((n, c_void_p) for n in ("interface_bias", "gates", "cell", "h", "read_vectors")),
        *((n, c_void_p) for n in ("raw", "values", "d_h", "d_read_vectors", "d_cell")),
        *((n, c_void_p) for n in ("d_gates", "d_raw", "d_values", "d_start_h")),
        *((n, c_void_p) for n in ("d_start_reads", "d_weights")),
    ]
