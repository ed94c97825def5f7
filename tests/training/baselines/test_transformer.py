"""The Transformer baseline: its equations, its positions, causality, and the call contract."""

import cmath
import math
import re
from pathlib import Path

import pytest
import torch

import train
from tests.training.tiny import arguments, assert_same_run, rows
from training.baselines.transformer import POSITIONS, Transformer, rotated, sinusoidal, slopes
from training.command_line.parser import parse

HEADS, SIZE = 2, 8


def small(positions="rotary", **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": SIZE, "attention_heads": HEADS, "feedforward_size": 5, "max_length": 9}
    return Transformer(
        3, 2, **{**sizes, **options}, num_layers=2, positions=positions, dtype=torch.float64
    )


def inputs(time=6, batch=3):
    return torch.randn(
        time, batch, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


def position_vector(layer, step):
    """What is added to the input of a step, number by number."""
    if layer.positions == "learned":
        return layer.learned[step]
    added = [0.0] * SIZE
    if layer.positions == "sinusoidal":
        for i in range(SIZE // 2):
            angle = step / 10000 ** (2 * i / SIZE)
            added[2 * i], added[2 * i + 1] = math.sin(angle), math.cos(angle)
    return torch.tensor(added, dtype=torch.float64)


def turned(vector, step):
    """A query or key of one head, its pairs as complex numbers times e^(i angle)."""
    found = vector.tolist()
    for i in range(len(found) // 2):
        angle = step / 10000 ** (2 * i / len(found))
        pair = complex(found[2 * i], found[2 * i + 1]) * cmath.exp(1j * angle)
        found[2 * i], found[2 * i + 1] = pair.real, pair.imag
    return torch.tensor(found, dtype=torch.float64)


def normalised(norm, h):
    centred = h - h.mean()
    return norm.weight * centred / (centred.square().mean() + norm.eps).sqrt() + norm.bias


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def attended(layer, block, hs):
    """Every step's read of the steps up to it, head by head."""
    size = SIZE // HEADS
    split = [block.attention.weight @ normalised(block.attention_norm, h) for h in hs]
    split = [(part + block.attention.bias).chunk(3) for part in split]
    found = []
    for step in range(len(hs)):
        reads = []
        for head in range(HEADS):
            place = slice(head * size, (head + 1) * size)
            query, scores = split[step][0][place], []
            for other in range(step + 1):
                key = split[other][1][place]
                score = query @ key
                if layer.positions == "rotary":
                    score = turned(query, step) @ turned(key, other)
                score = score / math.sqrt(size)
                if layer.positions == "alibi":
                    score = score - 2 ** (-8 * (head + 1) / HEADS) * (step - other)
                scores.append(score)
            weights = [math.exp(score) for score in scores]
            read = sum(w * split[other][2][place] for other, w in enumerate(weights)) / sum(weights)
            reads.append(read)
        found.append(block.attention_output(torch.cat(reads)))
    return found


@torch.no_grad()
def by_hand(layer, x):
    """One row [T, I], step by step."""
    hs = [layer.input(x[step]) + position_vector(layer, step) for step in range(len(x))]
    for block in layer.blocks:
        hs = [h + read for h, read in zip(hs, attended(layer, block, hs), strict=True)]
        inner = [gelu(block.feedforward(normalised(block.feedforward_norm, h))) for h in hs]
        hs = [h + block.feedforward_output(i) for h, i in zip(hs, inner, strict=True)]
    return torch.stack([layer.readout(normalised(layer.norm, h)) for h in hs])


@pytest.mark.parametrize("lengths", [None, [6, 1, 4]])
@pytest.mark.parametrize("positions", POSITIONS)
def test_equations(positions, lengths):
    layer, x = small(positions), inputs()
    y, _ = layer(x, lengths=lengths)
    for row, length in enumerate(lengths or [6] * 3):
        torch.testing.assert_close(y[:length, row], by_hand(layer, x[:length, row]))
        assert not y[length:, row].any()


@pytest.mark.parametrize("positions", POSITIONS)
def test_later_inputs_change_no_earlier_output(positions):
    layer, x = small(positions), inputs()
    y, _ = layer(x)
    for step in range(1, 6):
        later = x.clone()
        later[step:] = 1e3 * torch.randn(6 - step, 3, 3, dtype=torch.float64)
        other, _ = layer(later)
        assert torch.equal(other[:step], y[:step])
        assert not torch.equal(other[step], y[step])
    gradient = torch.autograd.grad(layer(x.requires_grad_())[0][2].sum(), x)[0]
    assert gradient[:3].all()
    assert not gradient[3:].any()


@pytest.mark.parametrize("positions", POSITIONS)
def test_rows_of_a_batch_are_independent(positions):
    layer, x = small(positions), inputs()
    y, _ = layer(x)
    other = x.clone()
    other[:, 1] = 7.0
    changed, _ = layer(other)
    assert torch.equal(changed[:, [0, 2]], y[:, [0, 2]])
    assert not torch.equal(changed[:, 1], y[:, 1])


@pytest.mark.parametrize("positions", POSITIONS)
def test_what_follows_the_end_of_a_row_changes_nothing(positions):
    layer, x = small(positions), inputs()
    y, state = layer(x, lengths=[6, 1, 4])
    changed = x.clone()
    changed[1:, 1], changed[4:, 2] = torch.nan, 1e9
    other, after = layer(changed, lengths=[6, 1, 4])
    assert torch.equal(other, y)
    assert torch.equal(layer(x[:2], after)[0], layer(x[:2], state)[0])
    other.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_state_carries_on_from_the_end_of_each_row(positions):
    layer, x = small(positions), inputs()
    y, state = layer(x)
    first, middle = layer(x[:2])
    second, last = layer(x[2:], middle)
    torch.testing.assert_close(torch.cat([first, second]), y)
    torch.testing.assert_close(last, state)
    lengths = [4, 1, 3]
    _, state = layer(x[:4], lengths=lengths)
    assert state.positions.tolist() == [[0, 1, 2, 3], [0, -1, -1, -1], [0, 1, 2, -1]]
    after, last = layer(x[4:], state)
    third, _ = layer(x[:1], last)
    for row, length in enumerate(lengths):
        alone = torch.cat([x[:length, row], x[4:, row], x[:1, row]])
        wanted = by_hand(layer, alone)[length:]
        torch.testing.assert_close(torch.cat([after[:, row], third[:, row]]), wanted)


def test_the_forms_of_input():
    layer, x = small(), inputs()
    y, state = layer(x)
    alone, alone_state = layer(x[:, 1])
    torch.testing.assert_close(alone, y[:, 1])
    assert alone_state.keys[0].shape == (6, HEADS, SIZE // HEADS)
    torch.testing.assert_close(layer(x[:1, 1], alone_state)[0], layer(x[:1], state)[0][:, 1])
    batch_first = small(batch_first=True)
    torch.testing.assert_close(batch_first(x.transpose(0, 1))[0].transpose(0, 1), y)


def test_a_product_of_rotated_vectors_depends_on_their_distance():
    query, key = torch.randn(2, 1, 1, 1, 6, dtype=torch.float64)
    for place in (0, 5, 1000):
        at = [torch.tensor([[place + offset]]) for offset in (7, 3)]
        product = (rotated(query, at[0]) * rotated(key, at[1])).sum()
        torch.testing.assert_close(product, turned(query.flatten(), 7) @ turned(key.flatten(), 3))


def test_the_slopes_and_sines_of_the_papers():
    like = torch.zeros(1, dtype=torch.float64)
    # Press et al. 2022, section 3: for 8 heads, 1/2 to 1/256.
    assert slopes(8, like).tolist() == [2.0**-h for h in range(1, 9)]
    found = sinusoidal(torch.tensor([0, 3]), 4, like)
    wanted = [[0.0, 1.0, 0.0, 1.0], [math.sin(3), math.cos(3), math.sin(0.03), math.cos(0.03)]]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))


def test_gradients_reach_every_parameter():
    for positions in POSITIONS:
        layer = small(positions)
        layer(inputs(9))[0].square().sum().backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad.any(), (positions, name)


def test_gradients_by_finite_differences():
    layer, x = small("alibi"), inputs(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x, lengths=[4, 2])[0], x)


def test_no_positions_but_the_causal_mask_tell_order():
    """Without positions, the last step sees a set of steps; with them, a sequence."""
    x = inputs(4, 1)
    swapped = x[[1, 0, 2, 3]]
    for positions in POSITIONS:
        torch.manual_seed(0)
        layer = Transformer(
            3, 2, num_layers=1, hidden_size=8, attention_heads=2, positions=positions
        ).double()
        same = torch.allclose(layer(x)[0][-1], layer(swapped)[0][-1])
        assert same == (positions == "none"), positions
    assert not torch.allclose(small("none")(x)[0][-1], small("none")(swapped)[0][-1])


def test_config_rebuilds_the_layer():
    layer, x = small("learned"), inputs()
    assert layer.config["name"] == "Transformer"
    rebuilt = Transformer(**layer.config["arguments"], dtype=torch.float64)
    rebuilt.load_state_dict(layer.state_dict())
    assert torch.equal(rebuilt(x)[0], layer(x)[0])


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_run_resumes_to_the_same_numbers(positions):
    more = ["--model.positions", positions, "--optimizer.cooldown", "0", "--name"]
    assert train.main(arguments("copy", "transformer", steps=9, more=[*more, "whole"])) == 0
    assert train.main(arguments("copy", "transformer", steps=6, more=[*more, "parts"])) == 0
    resume = ["--resume", "runs/parts", "--run.sequences", "36", "--wandb", "disabled"]
    assert train.main(resume) == 0
    assert_same_run(Path("runs/whole"), Path("runs/parts"))
    assert len(rows(Path("runs/whole"))) > 2


def test_learned_positions_end():
    layer = small("learned")
    assert layer(inputs(9))[0].isfinite().all()
    said = r"may have at most max_length=9 steps where positions are learned; got 10: train with a"
    with pytest.raises(ValueError, match=said):
        layer(inputs(10))
    _, state = layer(inputs(6), lengths=[6, 2, 3])
    with pytest.raises(ValueError, match="got 10"):
        layer(inputs(4), state)
    layer(inputs(3), state)
    layer(inputs(12), lengths=[9, 5, 1])
    for positions in ("sinusoidal", "rotary", "alibi", "none"):
        assert small(positions)(inputs(30))[0].isfinite().all()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--model.hidden-size 9", "hidden_size must be a multiple of attention_heads=4; got 9"),
        (
            "--model.positions rotary --model.attention-heads 64",
            r"attention_heads must be even .* got 64 / 64 = 1",
        ),
        (
            "--model.positions sinusoidal --model.hidden-size 9 --model.attention-heads 3",
            "hidden_size must be even with sinusoidal positions; got 9",
        ),
        ("--model.num-layers 0", "num_layers must be a whole number of at least 1; got 0"),
        ("--model.max-length 0", "max_length must be a whole number of at least 1; got 0"),
        ("--model.positions relative", "invalid choice"),
    ],
)
def test_errors_of_flags(flags, message, capsys):
    with pytest.raises(SystemExit):
        parse(["--model", "transformer", *flags.split()])
    error = re.sub(r"[│\s]+", " ", capsys.readouterr().err)
    assert re.search(message, error), error


def test_errors_of_calls():
    layer, x = small(), inputs()
    with pytest.raises(ValueError, match=r"x must have input_size=3 .* got the shape \(4, 2, 5\)"):
        layer(torch.zeros(4, 2, 5, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"The state is not of this layer and batch: state.keys\["):
        layer(x, layer(x[:, :2])[1])
    with pytest.raises(ValueError, match="state must be a TransformerState, and is a tuple"):
        layer(x, ())
    with pytest.raises(ValueError, match="positions must be one of sinusoidal, learned, rotary"):
        small("relative")
