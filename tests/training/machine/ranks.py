"""Several processes of one run, over loopback: forked from one that has imported everything once.

`python -m tests.training.machine.ranks [SCENARIO ...]` calls functions of this file, and ends by
itself.
"""

import multiprocessing
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import torch

import memnets
import train
from memnets.backends import cpu as fused
from tests.stress import kill_and_resume
from tests.training.tiny import arguments, assert_same_run, rows
from training.command_line.parser import parse
from training.machine import distributed
from training.run import loop
from training.run.state import start

SECONDS = 150


def together(count, work):
    """Call work(rank) in `count` processes; return their exit codes and the seconds it took."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    fork = multiprocessing.get_context("fork")
    started = [fork.Process(target=_as_rank, args=(work, r, count, port)) for r in range(count)]
    for process in started:
        process.start()
    for process in started:
        process.join(max(0.0, began + SECONDS - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
    return [process.exitcode for process in started], time.monotonic() - began


def _as_rank(work, rank, count, port):
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), GLOO_SOCKET_IFNAME="lo")
    sys.exit(work(rank))


def trained(*words):
    """What a rank does: the run of a command line."""
    return lambda rank: train.main(words)


def gradients():
    """Two processes with half a batch each have the gradients of one with the whole batch."""
    assert together(2, _gradients)[0] == [0, 0]


def _gradients(rank):
    cases = [("copy", "ntm"), ("copy", "dnc"), ("dyck", "lstm")]
    words = {case: arguments(*case, more=["--optimizer.clip-norm", "1e9"]) for case in cases}
    configs = {case: parse(words[case]) for case in cases}
    ranks = distributed.join(configs[cases[0]])
    assert (ranks.rank, ranks.count) == (rank, 2)
    for case, config in configs.items():
        assert config.streams == 2, "one stream for each process"
        shared, alone = start(config, ranks), start(config)
        assert len(shared.streams) == 1
        assert len(alone.streams) == 2
        for _ in range(3):
            found, expected = loop.train_step(config, shared), loop.train_step(config, alone)
            for name, value in expected.items():
                torch.testing.assert_close(found[name].float(), value.float(), atol=1e-6, rtol=1e-6)
            for own, whole in zip(shared.layer.parameters(), alone.layer.parameters(), strict=True):
                if whole.requires_grad:
                    torch.testing.assert_close(own.grad, whole.grad, atol=1e-6, rtol=0)
        assert not torch.equal(*(stream.get_state() for stream in alone.streams)), case
    _shares_of_several_sizes(ranks)
    _under_ddp(rank)
    ranks.leave()


def _shares_of_several_sizes(ranks):
    """The loss is a mean over answers: a share with more of them counts for more."""
    answers = torch.tensor([1.0, 3.0])
    gradient = torch.tensor([[8.0, 0.0], [0.0, 4.0]])[ranks.rank]
    means = {"loss": torch.tensor([8.0, 4.0])[ranks.rank], "wrong": torch.tensor(float(ranks.rank))}
    found = ranks.combine([gradient], means, answers[ranks.rank])
    assert gradient.tolist() == [2.0, 3.0]
    assert {name: float(value) for name, value in found.items()} == {"loss": 5.0, "wrong": 0.5}


def _under_ddp(rank):
    """The layers also work in DistributedDataParallel, for those who use that."""
    for backend in ("fused", "reference"):
        torch.manual_seed(0)
        layer = memnets.DNC(5, 3, memory_size=8, word_size=4, hidden_size=6, backend=backend)
        x = torch.rand(7, 8, 5)
        layer(x)[0].square().mean().backward()
        whole = [parameter.grad.clone() for parameter in layer.parameters()]
        layer.zero_grad()
        # Small buckets: several of them.
        wrapped = torch.nn.parallel.DistributedDataParallel(layer, bucket_cap_mb=0.001)
        assert backend == "reference" or fused.supports(layer, x, layer.initial_state(8)) is None
        wrapped(x[:, 4 * rank : 4 * rank + 4])[0].square().mean().backward()
        for parameter, expected in zip(layer.parameters(), whole, strict=True):
            torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=0)


def runs():
    """A run of two processes has the curve of one; killed, it goes on to the very same numbers."""
    curriculum = ["--curriculum", "incremental", "--curriculum.threshold", "2"]
    words = arguments(model="ntm", steps=14, more=["--task.max-items", "4", *curriculum])
    assert train.main([*words, "--streams", "2", "--name", "one"]) == 0
    assert together(2, trained(*words, "--name", "two"))[0] == [0, 0]
    for alone, shared in zip(rows(Path("runs/one")), rows(Path("runs/two")), strict=True):
        assert shared == pytest.approx(alone, rel=1e-5)

    codes, seconds = together(2, _killed_at(9, trained(*words, "--name", "killed")))
    assert codes == [1, -signal.SIGKILL]
    assert seconds < SECONDS / 2, "the other process did not notice"
    saved = torch.load("runs/killed/checkpoints/last.pt", weights_only=True)
    assert saved["step"] == 8
    Path("runs/killed/checkpoints/last.pt").write_bytes(b"damaged")  # the one before is taken
    assert together(2, trained("--resume", "runs/killed"))[0] == [0, 0]
    assert_same_run(Path("runs/two"), Path("runs/killed"))


def curves():
    """Over 200 steps, in which they learn, two processes have the losses of one."""
    sizes = ["--model.hidden-size", "16", "--optimizer.learning-rate", "0.01"]
    every = ["--run.log-every", "1", "--run.evaluate-every", "200"]
    words = arguments("copy", "ntm", steps=200, more=[*sizes, *every])
    assert train.main([*words, "--streams", "2", "--name", "curve_one"]) == 0
    assert together(2, trained(*words, "--name", "curve_two"))[0] == [0, 0]
    alone, shared = (_losses(Path("runs") / name) for name in ("curve_one", "curve_two"))
    assert len(alone) == len(shared) == 200
    assert sum(alone[-20:]) < 0.9 * sum(alone[:20])
    assert shared == pytest.approx(alone, rel=1e-5)


def _losses(run):
    return [row["loss"] for row in rows(run) if "loss" in row]


def _killed_at(step, work):
    """The second process is killed in this step."""

    def killed(rank):
        original = loop.train_step

        def dying(config, training):
            if rank == 1 and training.step == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(config, training)

        loop.train_step = dying
        return work(rank)

    return killed


def three():
    """With three processes too, a resumed run rounds as one that was never interrupted."""
    words = arguments(steps=6, more=["--run.batch-size", "6", "--run.sequences", "36"])
    assert together(3, trained(*words, "--name", "three"))[0] == [0, 0, 0]
    codes, _ = together(3, _killed_at(5, trained(*words, "--name", "three_killed")))
    assert codes[1] == -signal.SIGKILL
    Path("runs/three_killed/config.json").unlink()
    assert together(3, trained("--resume", "runs/three_killed"))[0] == [0, 0, 0]
    assert_same_run(Path("runs/three"), Path("runs/three_killed"))


def refusals():
    """What several processes cannot do, each says in a sentence, once; after `runs`."""
    words = arguments(steps=2)
    with pytest.raises(SystemExit):
        train.main(["--resume", "runs/two"])
    assert together(2, trained("--resume", "runs/one"))[0] == [2, 2]
    assert together(3, trained(*words))[0] == [2, 2, 2]
    assert together(2, trained(*words, "--streams", "3"))[0] == [2, 2]
    assert 2 in together(2, trained(*words, "--name", "one"))[0]


def stops():
    """A signal to one process stops all of them after the same step, saved."""

    def interrupted(rank):
        original = loop.train_step

        def signalled(config, training):
            if rank == 1 and training.step == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return original(config, training)

        loop.train_step = signalled
        return train.main([*arguments(), "--name", "stopped"])

    assert together(2, interrupted)[0] == [128 + signal.SIGTERM] * 2
    saved = torch.load("runs/stopped/checkpoints/last.pt", weights_only=True)
    assert saved["step"] == 6
    assert not Path("runs/stopped/evaluation.json").exists()


def kills():
    """A few kills of one process at random moments: the stress test has many."""
    words = ["--kills", "3", "--cases", "1", "--seed", "5", "--processes", "0"]
    kill_and_resume.main(words)


SCENARIOS = (gradients, runs, refusals, curves, three, stops, kills)

if __name__ == "__main__":
    torch.set_num_threads(1)
    for scenario in SCENARIOS:
        if scenario.__name__ in sys.argv[1:] or not sys.argv[1:]:
            scenario()
