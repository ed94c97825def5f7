"""The string tasks of Deletang et al.: against plain loops, by hand, and how they are drawn."""

import itertools
import math
from collections import Counter

import pytest
import torch

import tasks
from tasks import BinaryMultiplication, ModularArithmeticBrackets, SolveEquation
from tasks.levels import at_level

BRACKETS, EQUATION, SIMPLE = "01234+-*()x", "01234+-()x=", "01234+-*"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(batch: tasks.Batch) -> list[tuple[list[int], list[int]]]:
    """The tokens and the symbols of the answer of each row, each step checked to be one-hot."""
    answer = batch.mask[:, 0] == 1
    empty = batch.inputs[..., -1] == 1
    assert torch.equal(empty, answer.unsqueeze(1).expand_as(empty))
    assert (batch.inputs.sum(-1) == 1).all()
    tokens = batch.inputs[~answer].argmax(-1).T.tolist()
    return list(zip(tokens, batch.targets[answer].argmax(-1).T.tolist(), strict=True))


def value(tokens: list[int], alphabet: str) -> int:
    return eval("".join(alphabet[token] for token in tokens)) % 5


def even_pairs(bits):
    pairs = 0
    for one, two in itertools.pairwise(bits):
        if (one, two) in ((0, 1), (1, 0)):
            pairs += 1
    return [pairs % 2]


def equation(tokens):
    if len(tokens) < 3:
        return [0]
    text = "".join(EQUATION[token] for token in tokens)
    left, right = text.split("=")
    found = [digit for digit in range(5) if eval(left.replace("x", str(digit))) % 5 == int(right)]
    assert len(found) == 1
    return found


def missing(tokens):
    if tokens == [1]:
        return [1]
    string = [token for token in tokens if token != 3]
    assert len(tokens) - len(string) == len(tokens) % 2
    place = string.index(2)
    found = []
    for bit in (0, 1):
        string[place] = bit
        if string[: len(string) // 2] == string[len(string) // 2 :]:
            found.append(bit)
    assert len(found) == 1
    return found


def product(tokens):
    text = "".join(map(str, tokens))
    if len(text) < 3:
        return [[2], [0, 2]][len(text) - 1]
    one, two = (int(number[::-1], 2) for number in text.split("2"))
    answer = f"{one * two:b}"[::-1] + "2"
    return [int(symbol) for symbol in answer.ljust(len(text), "0")]


def total(tokens):
    text = "".join(map(str, tokens))
    number = sum(int(part[::-1], 2) for part in text.split("2"))
    return [int(symbol) for symbol in (f"{number:b}"[::-1] + "2").ljust(len(text) + 1, "0")]


def root(bits):
    number, found = int("".join(map(str, bits)), 2), 0
    while (found + 1) * (found + 1) <= number:
        found += 1
    return [int(bit) for bit in f"{found:0{math.ceil(len(bits) / 2)}b}"]


ORACLES = {
    "even_pairs": even_pairs,
    "parity_check": lambda bits: [bits.count(1) % 2],
    "cycle_navigation": lambda steps: [(steps.count(2) - steps.count(0)) % 5],
    "modular_arithmetic": lambda tokens: [value(tokens, SIMPLE)],
    "modular_arithmetic_brackets": lambda tokens: [value(tokens, BRACKETS)],
    "solve_equation": equation,
    "missing_duplicate_string": missing,
    "duplicate_string": lambda bits: [*bits, *bits],
    "binary_sum": total,
    "binary_multiplication": product,
    "compute_sqrt": root,
    "bucket_sort": sorted,
}
EVERY = pytest.mark.parametrize("name", ORACLES)


@EVERY
def test_the_answers_are_those_of_a_plain_loop(name):
    seen, draws = set(), generator(1)
    short = tasks.make(name, max_length=12)
    for task in [short] * 150 + [tasks.make(name, min_length=19, max_length=20)]:
        for tokens, answer in read(task.sample(16, draws)):
            assert answer == ORACLES[name](tokens)
            seen.add(len(tokens))
    lengths = range(1, 13, 2) if name == "modular_arithmetic" else range(1, 13)
    assert set(lengths) <= seen


@pytest.mark.parametrize(
    ("name", "shown", "answer"),
    [
        ("even_pairs", "001110", "0"),
        ("even_pairs", "0101001", "1"),
        ("parity_check", "1010100", "1"),
        ("parity_check", "01111", "0"),
        ("cycle_navigation", "20100", "3"),  # +1 -1 0 -1 -1
        ("cycle_navigation", "2220", "2"),
        ("missing_duplicate_string", "01100210", "1"),
        ("missing_duplicate_string", "1011213", "0"),
        ("binary_multiplication", "001201101", "000110120"),  # 4 * 22
        ("binary_multiplication", "10012000001", "00000100120"),  # 9 * 32
        ("binary_sum", "001201101", "0101120000"),  # 4 + 22
        ("binary_sum", "10012000001", "100101200000"),  # 9 + 32
        ("binary_sum", "11", "112"),
        ("duplicate_string", "01100", "0110001100"),
        ("compute_sqrt", "100101", "110"),  # of 37
        ("compute_sqrt", "111", "10"),
        ("bucket_sort", "10204112", "00111224"),
    ],
)
def test_strings_by_hand(name, shown, answer):
    check_by_hand(name, [int(token) for token in shown], [int(symbol) for symbol in answer])


@pytest.mark.parametrize(
    ("name", "alphabet", "shown", "answer"),
    [
        ("modular_arithmetic", SIMPLE, "1+2*3", 2),
        ("modular_arithmetic", SIMPLE, "1-1-1", 4),
        ("modular_arithmetic", SIMPLE, "0*1+4*3-2", 0),
        ("modular_arithmetic_brackets", BRACKETS, "(-3)", 2),
        ("modular_arithmetic_brackets", BRACKETS, "((2+-1)*((-3)-4))", 3),
        ("solve_equation", EQUATION, "x=4", 4),
        ("solve_equation", EQUATION, "(2-(x+-1))=1", 2),
    ],
)
def test_expressions_by_hand(name, alphabet, shown, answer):
    check_by_hand(name, [alphabet.index(token) for token in shown], [answer])


def check_by_hand(name, tokens, answer):
    task = tasks.make(name)
    inputs = torch.zeros(len(tokens) + len(answer), 1, task.input_size)
    for step in range(len(inputs)):
        inputs[step, 0, tokens[step] if step < len(tokens) else -1] = 1
    targets = task.solve(inputs)
    assert targets[: len(tokens)].abs().sum() == 0
    assert targets[len(tokens) :].argmax(-1).flatten().tolist() == answer
    assert (targets[len(tokens) :].sum(-1) == 1).all()


@EVERY
def test_they_are_trained_on_1_to_40_and_measured_to_500(name):
    task = tasks.make(name)
    assert (task.min_length, task.max_length) == (1, 40)
    (sizes,) = task.grid
    assert min(sizes.values) <= 40
    assert max(sizes.values) == (499 if name == "modular_arithmetic" else 500)
    assert sum(length > 40 for length in sizes.values) >= 4


@EVERY
def test_the_easiest_level_has_something_to_work_out(name):
    assert at_level(tasks.make(name), 1).chance_errors() > 0.02


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("even_pairs", 2),
        ("missing_duplicate_string", 2),
        ("solve_equation", 3),
        ("compute_sqrt", 3),
        ("binary_multiplication", 4),
        ("binary_sum", 4),
    ],
)
def test_lengths_without_anything_to_work_out_are_refused(name, least):
    message = rf"max_length must be a whole number of at least {least}, got max_length={least - 1}"
    with pytest.raises(ValueError, match=message):
        tasks.make(name, max_length=least - 1)
    assert tasks.make(name, max_length=least).chance_cost() > 0


def test_what_comes_after_the_product_has_a_cost_but_is_not_wrong():
    task = BinaryMultiplication(min_length=9, max_length=9)
    batch = task.sample(40, generator(2))
    logits = torch.randn(batch.targets.shape, generator=generator(3))
    cost, wrong, counted = [0.0] * 40, [0] * 40, [0] * 40
    for row, (_, answer) in enumerate(read(batch)):
        for place, symbol in enumerate(answer):
            says = logits[9 + place, row].tolist()
            cost[row] -= math.log2(math.exp(says[symbol]) / sum(map(math.exp, says)))
            if place <= answer.index(2):
                counted[row] += 1
                wrong[row] += says.index(max(says)) != symbol
    assert min(counted) < 9
    found = task.cost.measure(logits, batch)
    assert found["bits_per_sequence"].tolist() == pytest.approx(cost, rel=1e-5)
    assert found["wrong_symbols"].tolist() == wrong
    shares = [1 - one / two for one, two in zip(wrong, counted, strict=True)]
    assert found["accuracy"].tolist() == pytest.approx(shares)
    # The loss is the mean over all symbols of the answer, in nats.
    loss = float(task.cost.loss(found["bits_per_sequence"], batch))
    assert loss == pytest.approx(sum(cost) * math.log(2) / (40 * 9), rel=1e-5)


def test_the_accuracy_is_the_share_of_right_symbols():
    batch = tasks.BucketSort(min_length=3, max_length=3).sample(2, generator())
    logits = batch.targets.clone()
    logits[4, 1] = batch.targets[4, 1].roll(1)
    assert batch_accuracy(tasks.BucketSort(), logits, batch) == pytest.approx([1, 2 / 3])
    logits[3, 0] = torch.nan
    assert batch_accuracy(tasks.BucketSort(), logits, batch) == pytest.approx([2 / 3, 2 / 3])


def batch_accuracy(task, logits, batch):
    return task.cost.measure(logits, batch)["accuracy"].tolist()


def check_even(counts: Counter, kinds: int) -> None:
    """Pearson's statistic, within 5 deviations."""
    expected = sum(counts.values()) / kinds
    assert len(counts) == kinds
    statistic = sum((count - expected) ** 2 / expected for count in counts.values())
    assert statistic < kinds - 1 + 5 * math.sqrt(2 * (kinds - 1))


def test_the_numbers_of_a_product_have_all_lengths_and_are_not_zero():
    batch = BinaryMultiplication(min_length=6, max_length=6).sample(8000, generator(4))
    shown = [tokens for tokens, _ in read(batch)]
    check_even(Counter(tokens.index(2) for tokens in shown), 4)
    pairs = Counter(tuple(tokens) for tokens in shown if tokens.index(2) == 2)
    check_even(pairs, 3 * 7)  # 2 and 3 bits, neither 0


def test_the_numbers_under_a_root_are_not_zero():
    batch = tasks.ComputeSqrt(min_length=5, max_length=5).sample(8000, generator(5))
    check_even(Counter(tuple(tokens) for tokens, _ in read(batch)), 31)


def test_an_expression_is_parted_at_every_place():
    batch = ModularArithmeticBrackets(min_length=8, max_length=8).sample(6000, generator(6))
    left = Counter()
    for tokens, _ in read(batch):
        text = "".join(BRACKETS[token] for token in tokens)[1:-1]
        # The left part is d, -d, (d) or (-d).
        left[text.index(")") + 1 if text[0] == "(" else 2 if text[0] == "-" else 1] += 1
    check_even(left, 4)
    simple = ModularArithmeticBrackets(min_length=5, max_length=5).sample(9000, generator(7))
    check_even(Counter(tuple(tokens) for tokens, _ in read(simple)), 5 * 3 * 5)


def test_the_unknown_is_the_first_digit_from_a_random_token_on():
    # Of (a+b) it is a from tokens 0, 1 and 4 on, and b from tokens 2 and 3.
    batch = SolveEquation(min_length=7, max_length=7).sample(5000, generator(8))
    unknown = EQUATION.index("x")
    first = sum(tokens[1] == unknown for tokens, _ in read(batch)) / 5000
    assert first == pytest.approx(0.6, abs=5 * math.sqrt(0.24 / 5000))


def test_the_hidden_bit_is_any_of_all():
    batch = tasks.MissingDuplicateString(min_length=7, max_length=7).sample(6000, generator(9))
    check_even(Counter(tokens.index(2) for tokens, _ in read(batch)), 6)
    check_even(Counter(tuple(tokens) for tokens, _ in read(batch)), 6 * 8)
