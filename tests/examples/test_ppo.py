"""PPO with a memory in one file: what it sees, its advantages, what it learns from, and a game."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import memnets
from examples import ppo

SMALL = {"memory_size": 8, "word_size": 4, "hidden_size": 16}


class Recall:
    """One of two cues is shown at the first step; the action of the last step must name it."""

    observation_space = SimpleNamespace(n=3)
    action_space = SimpleNamespace(n=2)

    def __init__(self, steps=5):
        self.steps = steps

    def reset(self, *, seed=None):
        if seed is not None:
            self.generator = np.random.default_rng(seed)
        self.cue, self.time = int(self.generator.integers(2)), 0
        return self.cue, {}

    def step(self, action):
        self.time += 1
        last = self.time == self.steps
        return 2, float(last and action == self.cue), False, last, {}


def lengths(*steps):
    made = iter(steps)
    return lambda: Recall(next(made))


def small(kind):
    return lambda inputs, width: kind(inputs, width, **SMALL)


def test_it_is_short_enough_to_read():
    assert len(Path(ppo.__file__).read_text().splitlines()) <= 200


def test_observations_are_one_hot_with_the_action_before():
    environments = ppo.Environments(lengths(2, 3), 2, seed=0)
    assert (environments.size, environments.actions) == (5, 2)
    cues = [environment.cue for environment in environments.all]
    x, starts = environments.now()
    assert x.tolist() == [[1.0 - cue, cue, 0, 0, 0] for cue in cues]
    assert starts.tolist() == [True, True]
    assert environments.step(np.array([1, 0])).tolist() == [0, 0]
    x, starts = environments.now()
    assert x.tolist() == [[0, 0, 1, 0, 1], [0, 0, 1, 1, 0]]
    assert starts.tolist() == [False, False]
    # the first ends, is right, and begins anew: it sees a cue, and no action
    assert environments.step(np.array([cues[0], 0])).tolist() == [1, 0]
    x, starts = environments.now()
    cue = environments.all[0].cue
    assert x.tolist() == [[1.0 - cue, cue, 0, 0, 0], [0, 0, 1, 1, 0]]
    assert starts.tolist() == [True, False]
    assert environments.returns == [1.0]


def test_an_observation_of_several_numbers_has_a_place_for_each():
    class Two(Recall):
        observation_space = SimpleNamespace(spaces=[SimpleNamespace(n=2), SimpleNamespace(n=4)])

        def reset(self, *, seed=None):
            return (1, 3), {}

    x, _ = ppo.Environments(Two, 1, seed=0).now()
    assert x.tolist() == [[0, 1, 0, 0, 0, 1, 0, 0]]


def test_spaces_must_be_discrete():
    class Continuous(Recall):
        observation_space = SimpleNamespace(shape=(3,))

    with pytest.raises(ValueError, match="observations must be discrete, such as Discrete"):
        ppo.Environments(Continuous, 1, seed=0)


def test_advantages_are_discounted_sums_of_errors_up_to_the_end_of_an_episode():
    generator = torch.Generator().manual_seed(0)
    T, B, gamma, trace = 6, 3, 0.9, 0.8
    values, rewards = torch.randn(2, T, B, generator=generator, dtype=torch.float64)
    last = torch.randn(B, generator=generator, dtype=torch.float64)
    starts = torch.zeros(T, B, dtype=torch.bool)
    starts[3, 0] = starts[2, 1] = starts[4, 1] = True
    ended = torch.tensor([False, False, True])
    played = ppo.Rollout(values, starts, values, values, values, rewards)
    options = ppo.Options(discount=gamma, trace=trace)
    found = ppo.advantages(played, last, ended, options)
    for b in range(B):
        ends = [*(bool(starts[t + 1, b]) for t in range(T - 1)), bool(ended[b])]
        after = [*values[1:, b].tolist(), last[b].item()]
        for t in range(T):
            wanted, weight = 0.0, 1.0
            for s in range(t, T):
                value = 0.0 if ends[s] else after[s]
                wanted += weight * (rewards[s, b].item() + gamma * value - values[s, b].item())
                weight *= gamma * trace
                if ends[s]:
                    break
            assert found[t, b].item() == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("kind", [memnets.NTM, memnets.DNC])
def test_learning_sees_what_was_played(kind):
    """The second rollout begins inside of episodes, and others begin inside of it."""
    torch.manual_seed(0)
    environments = ppo.Environments(lengths(3, 4, 5), 3, seed=0)
    agent = ppo.Agent(kind(environments.size, 8, **SMALL), 8, 2)
    state = agent.layer.initial_state(3)
    _, _, state = ppo.play(agent, environments, state, 4)
    played, last, after = ppo.play(agent, environments, state, 7)
    assert played.starts[1:].any(0).all()
    assert not played.starts[0].all()
    policy, values, end = agent(played.x, state, played.starts)
    torch.testing.assert_close(policy.log_prob(played.actions), played.probabilities)
    torch.testing.assert_close(values, played.values)
    wanted = memnets.flatten(after)
    for name, value in memnets.flatten(end).items():
        torch.testing.assert_close(value, wanted[name], msg=name)
    x, starts = environments.now()
    torch.testing.assert_close(agent(x[None], after, starts[None])[1][0], last)


def test_a_step_makes_good_actions_more_probable():
    torch.manual_seed(0)
    options = ppo.Options(rows=4, steps=10, epochs=1, parts=2, entropy=0.0)
    environments = ppo.Environments(Recall, 4, seed=0)
    agent = ppo.Agent(small(memnets.NTM)(environments.size, 8), 8, 2)
    optimizer = torch.optim.SGD(agent.parameters(), lr=1e-2)
    state = agent.layer.initial_state(4)
    played, _, _ = ppo.play(agent, environments, state, 10)
    gains = torch.where(played.actions == 1, 1.0, -1.0)
    ppo.learn(agent, optimizer, played, gains, state, options)
    policy, _, _ = agent(played.x, state, played.starts)
    more = policy.log_prob(torch.ones_like(played.actions))
    before = torch.where(
        played.actions == 1, played.probabilities, torch.log1p(-played.probabilities.exp())
    )
    assert (more > before).all()


def test_it_learns_a_game_that_needs_the_memory():
    options = ppo.Options(rows=32, steps=10, width=16, learning_rate=1e-2, discount=0.9)
    found = []
    for row, _ in zip(ppo.train(Recall, small(memnets.NTM), options), range(25), strict=False):
        found.append(row["return"])
    assert row["steps"] == 25 * 32 * 10
    assert found[0] < 0.7
    assert found[-1] > 0.95
