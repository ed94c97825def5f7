"""Whether a run has solved its task, and what the trainer's last words say of it."""

import dataclasses
import json

import pytest
import torch

import tasks
from memnets import Stack
from tasks.solved import GAP
from training.compare import data, summary
from training.evaluate import evaluation, solved
from training.evaluate.solved import Moment, Outcome, outcome
from training.options.config import to_json
from training.options.recipes import recipe
from training.run import final, messages

COPY = tasks.make("copy").solved
SORT = tasks.make("priority_sort").solved
NGRAM = tasks.make("dynamic_ngram").solved


def rows(values, name="wrong_bits", every=400, **more):
    """Rows of metrics as a run writes them."""
    return [
        {"step": i, "sequences": every * i, name: value, "seconds": 2.0 * i, **more}
        for i, value in enumerate(values, 1)
    ]


def figures(wrong, cost, exact, chance, errors="wrong_bits", **more):
    return {
        "bits_per_sequence": cost,
        errors: wrong,
        "exact_match": exact,
        "chance_cost": chance,
        **more,
    }


FAULTLESS = figures(0.0, 0.05, 1.0, 84.0)


def said(task, found, training, model="ntm", beyond=None, **changes):
    config = dataclasses.replace(recipe(task, model), **changes)
    return messages.result(config, {"training": training, **(beyond or {})}, found).splitlines()


# When


def test_solved_is_the_first_row_below_the_limit():
    assert outcome(rows([3.0, 0.01, 0.0, 2.0]), COPY, "fixed") == Outcome(
        Moment(1200, 6.0), lowest=0.0, on_the_way=True
    )
    assert outcome(rows([3.0, 0.01, 0.02]), COPY, "fixed") == Outcome(None, 0.01, True)


def test_rows_of_few_sequences_are_joined_until_they_say_something():
    # One sequence a row: a short one that is right by luck solves nothing.
    lucky = rows([0.0] * 200 + [3.0] + [0.0] * 400, every=1)
    assert outcome(lucky, COPY, "fixed").first == Moment(201 + 256, 2.0 * (201 + 256))
    assert outcome(lucky[:255], COPY, "fixed") == Outcome(None, None, on_the_way=False)
    # The mean is over sequences, and rows may differ in how many they are about.
    last = [{"sequences": 100, "wrong_bits": 1.0}, {"sequences": 400, "wrong_bits": 0.0}]
    assert outcome(last, SORT._replace(metric="wrong_bits"), "fixed").lowest == 0.0
    last[1]["sequences"] = 300
    assert outcome(last, COPY, "fixed").lowest == pytest.approx(100 / 300)


def test_a_row_that_is_not_finite_solves_nothing():
    assert outcome(rows([float("nan"), float("inf")]), COPY, "fixed") == Outcome(None, None, True)


def test_with_a_curriculum_the_validations_decide_and_not_the_easy_levels():
    easy = rows([0.0, 0.0, 0.0])
    assert outcome(easy, COPY, "uniform") == Outcome(None, None, on_the_way=False)
    validated = [*easy, {"sequences": 1200, "validation/wrong_bits": 0.0}]
    assert outcome(validated, COPY, "uniform").first == Moment(1200, 6.0)
    assert outcome(validated, COPY, "fixed").first == Moment(400, 2.0)


def test_the_evaluation_at_the_end_is_the_last_measurement():
    assert outcome(rows([3.0]), COPY, "fixed", {"wrong_bits": 0.0}) == Outcome(
        Moment(400, 2.0), 0.0, True
    )
    assert outcome([], COPY, "fixed", {"wrong_bits": 0.0}).first == Moment(0, 0.0)
    assert outcome(rows([3.0]), COPY, "fixed", {"wrong_bits": 2.0}).first is None


def test_a_run_made_of_parts_is_solved_when_it_would_be_without_a_stop():
    whole = rows([5.0, 3.0, 0.0, 0.0])
    # A part that ends between two rows leaves one more, of what came before it.
    stopped = [*whole[:1], {**whole[1], "sequences": 600}, *whole[1:]]
    assert outcome(stopped, COPY, "fixed") == outcome(whole, COPY, "fixed")
    later = [*whole, *({**row, "sequences": row["sequences"] + 1600} for row in rows([9.0]))]
    assert outcome(later, COPY, "fixed").first == outcome(whole, COPY, "fixed").first


def test_the_best_possible_ngram_predictor_has_solved_it(tmp_path):
    class Best(torch.nn.Module):
        def forward(self, x):
            return task.solve(x.double()).logit().float(), None

    class Guess(torch.nn.Module):
        def forward(self, x):
            return torch.zeros_like(x), None

    task = tasks.make("dynamic_ngram")
    for layer, solves in ((Best(), True), (Guess(), False)):
        found = evaluation.evaluate(layer, task, 256, batch_size=32, seed=1)
        assert found[GAP] == pytest.approx(0 if solves else 66.7, abs=1e-4 if solves else 9)
        row = {"sequences": 4000, **{f"validation/{name}": v for name, v in found.items()}}
        assert (outcome([row], NGRAM, "fixed").first is not None) == solves


def test_trainer_comparison_and_summary_agree(tmp_path):
    config = to_json(recipe("priority_sort", "ntm"))
    (tmp_path / "config.json").write_text(json.dumps(config))
    written = rows([60.0, 17.9, 19.0], "bits_per_sequence", wrong_bits=8.0)
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in written))
    final = {"bits_per_sequence": 3.3, "wrong_bits": 1.25, "exact_match": 0.4}
    (tmp_path / "evaluation.json").write_text(json.dumps({"settings": {"training": final}}))
    assert data.read(tmp_path).solved == Moment(800, 4.0)
    assert summary.read_finished(tmp_path).solved == Moment(800, 4.0)
    assert "| below 18 bits a sequence | 800 |" in summary.table([summary.read_finished(tmp_path)])
    assert solved.outcome_of(config, written, {"training": final}).first == Moment(800, 4.0)


def test_the_limit_follows_the_sizes_of_the_run():
    config = {"task": "priority_sort", "task_options": {"bits": 1, "length": 5, "answer_length": 4}}
    half = rows([2.0], "bits_per_sequence")  # of 4 bits
    assert solved.outcome_of(config, half, {}) == Outcome(None, 2.0, True)
    assert solved.outcome_of({"task": "priority_sort"}, half, {}).first is not None


def test_wandb_is_told_when_it_was_solved_and_nothing_else():
    told = []

    class Tracker:
        def summary(self, values):
            told.append(values)

    final.note_solved(Tracker(), Outcome(None, 3.0, True))
    assert told == []
    final.note_solved(Tracker(), Outcome(Moment(800, 4.0), 0.0, True))
    assert told == [{"solved/sequences": 800, "solved/seconds": 4.0}]


# The last words


def test_priority_sort_better_than_the_papers_is_solved():
    lines = said(
        "priority_sort",
        Outcome(Moment(153_600, 300.0), 3.3, True),
        figures(1.25, 3.3, 0.4, 128.0),
        beyond={"length_30": figures(79.0, 250.0, 0.0, 192.0)},
    )
    assert lines == [
        "Solved after 153,600 sequences, in 5 min 00 s: below 18 bits a sequence.",
        "As it was trained, 40.0% of sequences are exact, with 1.25 wrong bits on average; the "
        "cost is 3.3 bits, and guessing costs 128 on average.",
        "Wrong bits a sequence: 79 at length 30.",
        "Worse than guessing: 250 bits a sequence at length 30 (guessing: 192).",
        "The paper's NTM: ~18 bits at 1,000,000 sequences (Graves et al. 2014, figure 18).",
    ]


def test_not_solved_says_how_near_it_came():
    lines = said("priority_sort", Outcome(None, 21.25, True), figures(9.0, 21.5, 0.0, 128.0))
    assert lines[0] == ("Not solved: 21.2 bits a sequence at best; solved is below 18.")
    lines = said("copy", Outcome(None, None, True), figures(9.0, float("nan"), 0.0, 84.0))
    assert lines[0] == "Not solved: never finite; solved is below 0.01."


def test_a_run_that_unlearned_what_it_had_solved_says_so():
    lines = said(
        "copy", Outcome(Moment(9200, 30.0), 0.0, True), figures(3.0, 40.0, 0.5, 84.0), seed=3
    )
    assert lines[0] == (
        "Solved after 9,200 sequences, in 30 s: below 0.01 wrong bits a sequence. At the end it is "
        "not: 3 wrong bits a sequence."
    )


def test_a_run_that_ends_in_nan_is_not_solved_any_more():
    found = Outcome(Moment(9200, 30.0), 0.0, True)
    row = figures(float("nan"), float("nan"), 0.0, 84.0)
    assert said("copy", found, row)[0].endswith("At the end it is not: nan wrong bits a sequence.")


def test_an_ngram_is_held_against_the_best_possible_predictor():
    row = figures(52.0, 133.4, 0.0, 200.0, gap_to_optimum=0.11)
    lines = said(
        "dynamic_ngram",
        Outcome(Moment(40_000, 90.0), 0.1, True),
        row,
        beyond={"length_200": {**row, "gap_to_optimum": 0.125}},
    )
    assert lines == [
        "Solved after 40,000 sequences, in 1 min 30 s: below 0.4 bits a sequence above the best "
        "possible predictor.",
        "As it was trained, it pays 133.4 bits a sequence, 0.11 above the best possible predictor; "
        "guessing pays 200.",
        "Bits a sequence above the best possible predictor: 0.125 at length 200.",
        "The paper's NTM: ~133.5 bits (Graves et al. 2014, figure 13, where the optimum is at "
        "~133).",
    ]


@pytest.mark.parametrize("every", [0, 500])
def test_no_validation_happened(every):
    run = dataclasses.replace(recipe("copy", "ntm").run, evaluate_every=every)
    changes = {"run": run, "curriculum": "uniform"}
    why = f"no validation measured it (--run.evaluate-every {every})."
    found = outcome(rows([0.0]), COPY, "uniform", FAULTLESS)
    assert said("copy", found, FAULTLESS, **changes)[0] == (
        "Solved at the end: 0 wrong bits a sequence; solved is below 0.01. "
        f"Since when is not known: {why}"
    )
    final = figures(4.0, 9.0, 0.1, 84.0)
    found = outcome(rows([0.0]), COPY, "uniform", final)
    assert said("copy", found, final, **changes)[0] == (
        "Not solved at the end: 4 wrong bits a sequence; solved is below 0.01. "
        f"Whether it was before is not known: {why}"
    )


def test_a_run_too_short_to_say():
    final = figures(30.0, 84.0, 0.0, 84.0)
    found = outcome(rows([40.0], every=48), COPY, "fixed", final)
    assert said("copy", found, final)[0] == (
        "Not solved at the end: 30 wrong bits a sequence; solved is below 0.01. "
        "Whether it was before is not known: training on fewer than 256 sequences does "
        "not say."
    )


def test_an_unseen_length_that_is_no_better_than_guessing_is_not_worse_for_rounding():
    found = Outcome(Moment(400, 1.0), 0.0, True)
    beyond = {
        "length_10": figures(0.0, 0.1, 1.0, 80.0),
        "length_50": figures(199.0, 401.0, 0.0, 400.0),
        "length_120": figures(481.0, 2412.5, 0.0, 960.0),
    }
    lines = said("copy", found, FAULTLESS, beyond=beyond)
    assert lines[1:5] == [
        "As it was trained, every sequence is answered without a fault.",
        "Beyond that, no fault at length 10.",
        "Wrong bits a sequence: 199 at length 50, 481 at length 120.",
        "Worse than guessing: 2,412 bits a sequence at length 120 (guessing: 960).",
    ]
    beyond["length_50"]["bits_per_sequence"] = float("nan")
    (worse,) = [line for line in said("copy", found, FAULTLESS, beyond=beyond) if "Worse" in line]
    assert worse == (
        "Worse than guessing: nan bits a sequence at length 50 (guessing: 400), 2,412 bits a "
        "sequence at length 120 (guessing: 960)."
    )


def test_a_task_of_numbers_has_no_bits():
    row = {"squared_error": 0.052, "wrong_answers": 0.9, "exact_match": 0.1, "chance_cost": 0.04}
    lines = said("adding", Outcome(None, 0.5, True), row, beyond={"length_500": row})
    assert lines == [
        "Not solved: 0.5 wrong answers a sequence at best; solved is below 0.01.",
        "As it was trained, 10.0% of sequences are exact, with 0.9 wrong answers on average; the "
        "cost is 0.052, and guessing costs 0.04 on average.",
        "Wrong answers a sequence: 0.9 at length 500.",
        "Worse than guessing: 0.052 at length 500 (guessing: 0.04).",
        "The paper's LSTM: 1 of 2,560 wrong after 74,000 sequences of 100 to 110 pairs (Hochreiter "
        "and Schmidhuber 1997, table 7).",
    ]


@pytest.mark.parametrize(
    ("model", "options", "label"),
    [
        ("ntm", {}, "NTM"),
        ("ntm", {"controller": Stack(cell="feedforward_tanh")}, "NTM, feed-forward"),
        ("lstm", {}, "LSTM"),
        ("dnc", {}, "NTM"),  # the paper has no DNC
    ],
)
def test_the_papers_figure_is_that_of_the_same_model(model, options, label):
    chosen = recipe("copy", model)
    changed = dataclasses.replace(chosen.model_options, **options)
    lines = said("copy", Outcome(None, 1.0, True), FAULTLESS, model, model_options=changed)
    assert COPY.paper is not None
    assert lines[-1] == f"The paper's {label}: {COPY.paper.figures[label]} ({COPY.paper.place})."


def test_the_papers_figure_is_left_out_at_other_sizes_than_the_papers():
    config = {"task_options": tasks.make("copy", max_length=5)}
    lines = said("copy", Outcome(None, 1.0, True), FAULTLESS, **config)
    assert not any("paper" in line for line in lines)
    assert not any("paper" in line for line in said("dyck", Outcome(None, 1.0, True), DYCK))


DYCK = figures(1.0, 3.0, 0.5, 10.5, "wrong_symbols")
