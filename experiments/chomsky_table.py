"""The tasks of docs/chomsky.md, the networks, and the figures of the paper beside them."""

from __future__ import annotations

from typing import Any, NamedTuple

from experiments.family_table import Lesson, Member
from tasks.curriculum import Doubling

LONGEST, FARTHEST = 40, 500
"""symbols in training, and in the test"""
TESTED = tuple(range(LONGEST + 1, FARTHEST, 50))
"""lengths of the test; odd ones, as the simple modular arithmetic has no others"""
SHORT = tuple(range(3, LONGEST, 4))
"""lengths of training that are measured as well"""
SEQUENCES = {False: 16, True: 32}
"""of each length, by whether one symbol is the answer"""

OPTIMIZER: dict[str, Any] = {
    "learning_rate": 3e-3,
    "beta2": 0.99,
    "epsilon": 1e-6,
    "clip_norm": 0.3,
}
"""of all networks and tasks"""
BATCH = 16
CURRICULUM = Doubling(threshold=0.1, window=20)
SLOTS = 64  # in training: one for each symbol, and some to spare


class Figures(NamedTuple):
    """Of the paper's Table 1: percent of symbols right at lengths 41 to 500, the best seed's."""

    rnn: float
    stack_rnn: float
    tape_rnn: float
    transformer: float
    lstm: float


LEVELS = {
    "regular": ("even_pairs", "modular_arithmetic", "parity_check", "cycle_navigation"),
    "deterministic context-free": (
        "stack_manipulation",
        "reverse",
        "modular_arithmetic_brackets",
        "solve_equation",
    ),
    "context-sensitive": (
        "duplicate_string",
        "missing_duplicate_string",
        "odds_first",
        "binary_sum",
        "binary_multiplication",
        "compute_sqrt",
        "bucket_sort",
    ),
}
"""the level of the languages that each task stands for"""

PAPER = {
    "even_pairs": Figures(100, 100, 100, 96.4, 100),
    "modular_arithmetic": Figures(100, 100, 100, 24.2, 100),
    "parity_check": Figures(100, 100, 100, 52.0, 100),
    "cycle_navigation": Figures(100, 100, 100, 61.9, 100),
    "stack_manipulation": Figures(56.0, 100, 100, 57.5, 59.1),
    "reverse": Figures(62.0, 100, 100, 62.3, 60.9),
    "modular_arithmetic_brackets": Figures(41.3, 96.1, 95.4, 32.5, 59.2),
    "solve_equation": Figures(51.0, 56.2, 64.4, 25.7, 67.8),
    "duplicate_string": Figures(50.3, 52.8, 100, 52.8, 57.6),
    "missing_duplicate_string": Figures(52.3, 55.2, 100, 56.4, 54.3),
    "odds_first": Figures(51.0, 51.9, 100, 52.8, 55.6),
    "binary_sum": Figures(50.3, 52.7, 100, 54.3, 55.5),
    "binary_multiplication": Figures(50.0, 52.7, 58.5, 52.2, 53.1),
    "compute_sqrt": Figures(54.3, 56.5, 57.8, 52.4, 57.5),
    "bucket_sort": Figures(27.9, 78.1, 70.7, 91.9, 99.3),
}

LESSONS = tuple(
    Lesson(
        task.replace("_", " "),
        task,
        {"min_length": 1, "max_length": LONGEST},
        {"min_length": LONGEST + 1, "max_length": FARTHEST},
        f"1 to {LONGEST} symbols; longer: to {FARTHEST}",
    )
    for tasks in LEVELS.values()
    for task in tasks
)

NTM: dict[str, Any] = {
    "memory_size": SLOTS,
    "word_size": 16,
    "controller.hidden_size": 64,
    "heads.read.gate_bias": -2.0,
    "heads.read.sharpening_bias": -4.0,
    "writing.add_range": "bounded",
}
DNC: dict[str, Any] = {
    "memory_size": SLOTS,
    "word_size": 16,
    "read_heads": 2,
    "controller.hidden_size": 64,
}
MEMBERS = (
    Member("NTM", "ntm", NTM),
    Member("DNC", "dnc", DNC),
    Member("LSTM", "lstm", {"hidden_size": 256, "num_layers": 1}),
    Member("NTM, computation steps", "ntm", NTM, computation=1),
)
