"""PPO with a memory in one file (Schulman et al. 2017, "Proximal policy optimization algorithms").

`python -m examples.ppo --environment RepeatPreviousEasy --memory ntm` trains a policy on a game of
POPGym; it needs `pip install popgym tyro`. What a memory adds to PPO is marked (1) to (4).

Axes: B batch (environments), T time, I input.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Categorical

import memnets

SIZES: dict[str, Any] = {"memory_size": 64, "word_size": 16, "hidden_size": 64, "read_heads": 1}
MEMORIES: dict[str, Callable[[int, int], nn.Module]] = {
    "ntm": lambda inputs, width: memnets.NTM(inputs, width, **SIZES),
    "dnc": lambda inputs, width: memnets.DNC(inputs, width, **SIZES),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of PPO."""

    environment: str = "RepeatPreviousEasy"  # of popgym.envs, with discrete spaces
    memory: Literal["ntm", "dnc"] = "ntm"  # the layer between observations and policy
    minutes: float = 1.0  # core-minutes of training
    seed: int = 0  # of the parameters, the environments and the actions
    rows: int = 64  # environments side by side (B)
    steps: int = 104  # of each environment between updates (T), the reach of gradients
    epochs: int = 4  # how often each rollout is learned from
    parts: int = 4  # minibatches of rows in an epoch
    learning_rate: float = 3e-3  # of Adam
    discount: float = 0.99  # gamma
    trace: float = 0.95  # lambda of the generalised advantage estimate
    clip: float = 0.2  # how far the ratio of probabilities may be from 1
    entropy: float = 0.01  # weight of the entropy in the loss
    width: int = 64  # outputs of the memory, which policy and value read


class Environments:
    """B environments with discrete observations: each step, x [B, I] in one-hot code.

    x also has the action before, as POPGym's paper has it. An environment that ends begins anew at
    once: `starts` [B] says that x is the first of an episode.
    """

    def __init__(self, make: Callable[[], Any], rows: int, seed: int) -> None:
        self.all = [make() for _ in range(rows)]
        first = self.all[0]
        self.actions = int(first.action_space.n)
        spaces = getattr(first.observation_space, "spaces", [first.observation_space])
        sizes = np.concatenate([np.ravel(getattr(s, "nvec", getattr(s, "n", 0))) for s in spaces])
        if not sizes.all():
            raise ValueError(f"observations must be discrete, such as Discrete(4); got {spaces}.")
        self.places = np.cumsum([0, *sizes.astype(int)])  # the last: where the actions begin
        self.size = int(self.places[-1]) + self.actions
        self.seen = np.stack([np.ravel(e.reset(seed=seed + i)[0]) for i, e in enumerate(self.all)])
        self.acted: np.ndarray | None = None
        self.starts = np.ones(rows, dtype=bool)
        self.sums = np.zeros(rows)
        self.returns: list[float] = []  # of all episodes that have ended

    def step(self, actions: np.ndarray) -> np.ndarray:
        """Act in each environment; return the rewards [B]."""
        rewards = np.zeros(len(self.all), dtype=np.float32)
        for row, environment in enumerate(self.all):
            seen, rewards[row], ended, cut, _ = environment.step(int(actions[row]))
            self.sums[row] += rewards[row]
            self.starts[row] = ended or cut
            if ended or cut:
                self.returns.append(float(self.sums[row]))
                self.sums[row] = 0.0
                seen, _ = environment.reset()
            self.seen[row] = np.ravel(seen)
        self.acted = actions
        return rewards

    def now(self) -> tuple[Tensor, Tensor]:
        """Return x [B, I] and starts [B]."""
        rows, x = np.arange(len(self.all)), np.zeros((len(self.all), self.size), dtype=np.float32)
        x[rows[:, None], self.places[:-1] + self.seen] = 1
        if self.acted is not None:
            x[rows, self.places[-1] + self.acted] = ~self.starts
        return torch.from_numpy(x), torch.from_numpy(self.starts.copy())


class Agent(nn.Module):
    """A memory, and a policy and a value that read its output."""

    def __init__(self, layer: Any, width: int, actions: int) -> None:
        super().__init__()
        self.layer: Any = layer
        self.policy, self.value = nn.Linear(width, actions), nn.Linear(width, 1)
        nn.init.orthogonal_(self.policy.weight, 0.01)

    def forward(self, x: Tensor, state: Any, starts: Tensor) -> tuple[Categorical, Tensor, Any]:
        """Return the policy, the values [T, B] and the state after x [T, B, I]."""
        y, state = self.layer(x, state, starts=starts)  # (1) rows begin anew where starts is set
        return Categorical(logits=self.policy(y.tanh())), self.value(y.tanh()).squeeze(-1), state


class Rollout(NamedTuple):
    """What was seen and done, each [T, B] or [T, B, I]."""

    x: Tensor
    starts: Tensor
    actions: Tensor
    probabilities: Tensor  # logarithms, of the actions
    values: Tensor
    rewards: Tensor


@torch.no_grad()
def play(agent: Agent, environments: Environments, state: Any, steps: int) -> tuple:
    """Play T steps; return them, the values after the last [B], and the state."""
    found = []
    for _ in range(steps):
        x, starts = environments.now()
        policy, value, state = agent(x[None], state, starts[None])  # (2) the state is carried on
        action = policy.sample()
        rewards = torch.from_numpy(environments.step(action[0].numpy()))
        found.append((x, starts, action[0], policy.log_prob(action)[0], value[0], rewards))
    x, starts = environments.now()
    _, value, _ = agent(x[None], state, starts[None])
    return Rollout(*map(torch.stack, zip(*found, strict=True))), value[0], state


def advantages(played: Rollout, last: Tensor, ended: Tensor, options: Options) -> Tensor:
    """The generalised advantage estimate [T, B] (Schulman et al. 2016, eq. 16)."""
    values = torch.cat([played.values, last[None]])
    goes_on = (~torch.cat([played.starts[1:], ended[None]])).to(values.dtype)
    result, ahead = torch.zeros_like(played.rewards), torch.zeros_like(last)
    for t in reversed(range(len(result))):
        after = options.discount * goes_on[t]
        error = played.rewards[t] + after * values[t + 1] - values[t]
        result[t] = ahead = error + after * options.trace * ahead
    return result


def learn(
    agent: Agent, optimizer: Any, played: Rollout, gains: Tensor, state: Any, options: Options
) -> None:
    """Take the steps of PPO on a rollout that began with `state`."""
    targets = gains + played.values
    gains = (gains - gains.mean()) / (gains.std() + 1e-8)
    for _ in range(options.epochs):
        for rows in torch.randperm(options.rows).chunk(options.parts):  # (3) whole rows, in order
            part = Rollout(*(tensor[:, rows] for tensor in played))
            begin = memnets.map_tensors(lambda tensor, rows=rows: tensor[rows], state)  # (4)
            policy, values, _ = agent(part.x, begin, part.starts)
            ratio = (policy.log_prob(part.actions) - part.probabilities).exp()
            clipped = ratio.clamp(1 - options.clip, 1 + options.clip)
            gain = torch.min(ratio * gains[:, rows], clipped * gains[:, rows]).mean()
            error = (values - targets[:, rows]).square().mean() / 2
            optimizer.zero_grad()
            (error - gain - options.entropy * policy.entropy().mean()).backward()
            nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
            optimizer.step()


def train(make: Callable[[], Any], memory: Callable[[int, int], Any], options: Options) -> Iterator:
    """Train on environments that `make` makes; yield steps, core-seconds and return so far."""
    torch.manual_seed(options.seed)
    environments = Environments(make, options.rows, 1000 * options.seed)
    agent = Agent(memory(environments.size, options.width), options.width, environments.actions)
    optimizer = torch.optim.Adam(agent.parameters(), lr=options.learning_rate, eps=1e-5)
    state, steps, begin = agent.layer.initial_state(options.rows), 0, time.process_time()
    while time.process_time() - begin < 60 * options.minutes:
        played, last, after = play(agent, environments, state, options.steps)
        gains = advantages(played, last, environments.now()[1], options)
        learn(agent, optimizer, played, gains, state, options)
        state, steps = after, steps + options.steps * options.rows
        seconds, recent = time.process_time() - begin, environments.returns[-2 * options.rows :]
        yield {"steps": steps, "seconds": seconds, "return": float(np.mean(recent or [np.nan]))}


def main(options: Options) -> None:
    """Train, and print how it goes."""
    import popgym.envs  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    game = getattr(popgym.envs, options.environment)
    for row in train(game, MEMORIES[options.memory], options):
        print(f"{row['steps']:>9,} steps {row['seconds']:6.1f} s  return {row['return']:+.3f}")


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Options, prog="python -m examples.ppo", description=__doc__))
