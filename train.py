"""Train a memory-augmented network on an algorithmic task: `python train.py --task copy`.

The run lands in runs/NAME/: config.json, metrics.jsonl, checkpoints/, evaluation.json, pictures/.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack

if __name__ == "__main__" and sys.stderr.isatty():  # before torch, which takes seconds to load
    print("loading torch ...", end="\r", file=sys.stderr, flush=True)

from training.command_line import parser
from training.evaluate import evaluation, generalisation
from training.files import checkpoint, provenance
from training.machine import device, distributed, environment
from training.machine.distributed import LostError
from training.machine.signals import Stop, stop_on_signals
from training.options.config import to_json
from training.options.seeds import seeds
from training.report.console import Console, duration
from training.report.tracker import Tracker
from training.report.wandb_tracker import start_tracker
from training.run import final, messages
from training.run.folder import Run, open_run, save_start
from training.run.loop import train
from training.run.non_finite import NonFiniteError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(word.partition("=")[0] == "--evaluate" for word in arguments):
        return generalisation.main(arguments)

    # 1. What to do: the recipe of the task and the model (training/options/recipes.py), and flags.
    config = parser.parse(arguments)
    device.set_up(config)

    # 2. The run folder, and in it a training to begin or to continue; under torchrun, by several
    # processes, the first of which writes and speaks for all.
    with ExitStack() as stack:
        try:
            ranks = distributed.join(config)
            run = stack.enter_context(open_run(config, ranks))
            if ranks.first:
                provenance.note(run.folder)
        except (ValueError, OSError, LostError) as error:
            parser.fail(str(error))
        return carry_out(run)


def carry_out(run: Run) -> int:
    """Train, evaluate and draw; return the exit status."""
    try:
        # The kernel is compiled here if it has to be: Ctrl-C acts at once, as no step is waiting.
        backend = environment.backend_in_words(run.training.layer)
        # From here on SIGINT and SIGTERM finish the step first, and save; also while W&B starts.
        with stop_on_signals() as stop:
            run.training.ranks.listen(stop)
            tracker = introduce(run, backend)
            status = 1
            try:
                status = train_and_finish(run, tracker, stop)
            finally:
                tracker.finish(status)
            return status
    except KeyboardInterrupt:  # the second Ctrl-C
        again = f"{distributed.command()} --resume {run.folder}"
        print(f"stopped at once; to go on from the last checkpoint: {again}", file=sys.stderr)
        return 128 + signal.SIGINT


def introduce(run: Run, backend: str | None) -> Tracker:
    """Say what will run and on which backend, and start what keeps its curves."""
    config, training, folder = run.config, run.training, run.folder
    ranks = training.ranks
    weights = sum(p.numel() for p in training.layer.parameters() if p.requires_grad)

    # 3. Where the curves go beside metrics.jsonl: Weights & Biases, online or offline.
    tracker = start_tracker(
        config.wandb if ranks.first else "disabled",
        config={**to_json(config), "weights": weights},
        folder=folder,
        run_id=training.wandb_id,
        options=config.wandb_options,
    )
    watch = tracker.watch()
    sequences = training.step * config.run.batch_size
    text = messages.introduction(
        config, folder, weights=weights, sequences=sequences, backend=backend, watch=watch
    )
    ranks.say(text)
    for note in run.notes:
        ranks.say(note)
    return tracker


def train_and_finish(run: Run, tracker: Tracker, stop: Stop) -> int:
    """Train, evaluate and draw; return the exit status, whatever went wrong."""
    training, folder, ranks = run.training, run.folder, run.training.ranks
    again = f"{distributed.command()} --resume {folder}"

    # 4. Train, evaluate, draw.
    try:
        run_id = ranks.tell(tracker.run_id)
        if training.wandb_id != run_id:  # a run killed at any moment goes on under this id
            training.wandb_id = run_id
            save_start(run)
        learn(run, tracker, stop)
        ranks.leave()
        final.keep(run, tracker)
        if ranks.first and not stop.requested:
            finish(run, tracker, stop)
        if stop.requested:
            ranks.say(f"stopped and saved; to go on: {again}")
        return stop.status
    except (NonFiniteError, LostError) as error:
        if ranks.first or isinstance(error, LostError):
            last = folder / checkpoint.LAST
            print(f"train.py: error: {error}\nthe last checkpoint is {last}", file=sys.stderr)
    except OSError as error:  # a full disk, a folder that became read-only
        print(
            f"train.py: error: {error}\nwhat the last checkpoint holds is safe; when the cause is "
            f"mended, go on from it: {again}",
            file=sys.stderr,
        )
    return 1


def learn(run: Run, tracker: Tracker, stop: Stop) -> None:
    """Train up to the configured number of sequences."""
    config, training = run.config, run.training
    size, quiet = config.run.batch_size, not training.ranks.first
    console = Console(config.steps * size, training.step * size, quiet=quiet)
    try:
        train(config, training, run.folder, tracker=tracker, console=console, stop=stop)
    finally:
        console.close()


def finish(run: Run, tracker: Tracker, stop: Stop) -> None:
    """Evaluate at the paper's settings, draw pictures, and sum up."""
    config, training = run.config, run.training
    sequences = training.step * config.run.batch_size
    print(f"trained on {sequences:,} sequences in {duration(training.seconds)}; evaluating")
    seed = seeds(config.seed)[2]
    results = evaluation.evaluate_all(
        training.layer,
        training.task,
        config.run.evaluation_sequences,
        batch_size=config.run.batch_size,
        seed=seed,
        device=config.device,
        stopped=lambda: stop.requested,
    )
    if stop.requested:
        return
    print(evaluation.said(training.task, results))
    evaluation.write_results(run.folder, results, training.step, sequences)
    figures = {f"evaluation/{n}/{m}": x for n, row in results.items() for m, x in row.items()}
    tracker.summary(figures)
    tracker.summary({f"final/{m}": x for m, x in results["training"].items()})
    outcome = final.outcome(run, results[training.task.solved.setting])
    final.note_solved(tracker, outcome)
    final.show_examples(run, tracker)
    if config.run.pictures:
        paths = evaluation.draw_pictures(
            training.layer,
            training.task,
            config.task,
            run.folder,
            seed=seed,
            step=training.step,
            tracker=tracker,
            device=config.device,
            stopped=lambda: stop.requested,
        )
        print("\n".join(["pictures:", *(f"  {path}" for path in paths)]))
    print(messages.result(config, results, outcome))


if __name__ == "__main__":
    sys.exit(main())
