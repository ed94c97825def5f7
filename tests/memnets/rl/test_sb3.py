"""The policy of RecurrentPPO: its packed state, what it plays and learns from, and its files."""

import functools
import warnings

import numpy as np
import pytest
import torch

import memnets

pytest.importorskip(
    "sb3_contrib", reason="memnets.rl.sb3 needs sb3-contrib: pip install -e '.[rl]'"
)
pytestmark = pytest.mark.filterwarnings("default")  # what others deprecate is theirs to mend

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import gymnasium
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.vec_env import DummyVecEnv

    from memnets.rl.sb3 import MemoryPolicy, Packed

SIZES = {"memory_size": 8, "word_size": 4, "hidden_size": 16}
MEMORIES = {
    "ntm": functools.partial(memnets.NTM, **SIZES),
    "dnc": functools.partial(memnets.DNC, **SIZES),
    "learned": functools.partial(memnets.NTM, **SIZES, start=memnets.Start(learned=True)),
}


class Recall(gymnasium.Env):
    """One of two cues is shown at the first step; the action of the last step must name it."""

    observation_space = gymnasium.spaces.Box(0, 1, (3,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, steps=5):
        self.steps = steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cue, self.time = int(self.np_random.integers(2)), 0
        return np.eye(3, dtype=np.float32)[self.cue], {}

    def step(self, action):
        self.time += 1
        last = self.time == self.steps
        return np.eye(3, dtype=np.float32)[2], float(last and action == self.cue), last, False, {}


def learner(memory="ntm", lengths=(5, 3, 4), **options):
    envs = DummyVecEnv([functools.partial(Recall, steps) for steps in lengths])
    policy = {"memory": MEMORIES[memory], "net_arch": [], **options.pop("policy_kwargs", {})}
    settings = {"n_steps": 7, "batch_size": 11, "seed": 0, "device": "cpu", **options}
    return RecurrentPPO(MemoryPolicy, envs, policy_kwargs=policy, **settings)


@pytest.mark.parametrize("name", MEMORIES)
def test_a_state_is_packed_into_two_tensors_and_comes_back(name):
    torch.manual_seed(0)
    packed = Packed(MEMORIES[name](3, 2))
    _, state = packed.layer(torch.randn(4, 5, 3))
    h, c = packed.pack(state)
    assert h.shape == c.shape == (1, 5, packed.hidden_size)
    again = memnets.flatten(packed.unpack((h, c)))
    for key, value in memnets.flatten(state).items():
        assert torch.equal(again[key], value), key
    numbers = sum(value[0].numel() for value in memnets.flatten(state).values())
    assert numbers + 1 <= 2 * packed.hidden_size <= numbers + 2
    # zeros are the initial state, row by row
    h[:, 2], c[:, 2] = 0, 0
    mixed, start = memnets.flatten(packed.unpack((h, c))), packed.layer.initial_state(5)
    for key, value in memnets.flatten(state).items():
        assert torch.equal(mixed[key][2], memnets.flatten(start)[key][2]), key
        assert torch.equal(mixed[key][3], value[3]), key


@pytest.mark.parametrize("critic", ["own", "shared", "none"])
@pytest.mark.parametrize("name", MEMORIES)
def test_training_sees_the_probabilities_and_values_that_were_played(name, critic):
    """Episodes begin and end inside of the rollouts, which begin inside of episodes."""
    flags = {"shared_lstm": critic == "shared", "enable_critic_lstm": critic == "own"}
    model = learner(name, policy_kwargs=flags)
    _, callback = model._setup_learn(0)
    for _ in range(2):
        model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    assert model.rollout_buffer.episode_starts.sum() > 3
    assert not model.rollout_buffer.episode_starts[0].all()
    found = 0
    for part in model.rollout_buffer.get(11):
        real = part.mask > 0
        values, probabilities, _ = model.policy.evaluate_actions(
            part.observations, part.actions.flatten(), part.lstm_states, part.episode_starts
        )
        torch.testing.assert_close(probabilities[real], part.old_log_prob[real])
        torch.testing.assert_close(values.flatten()[real], part.old_values[real])
        found += int(real.sum())
    assert found == 7 * 3


def test_starts_inside_of_a_sequence_begin_anew():
    torch.manual_seed(0)
    packed = Packed(MEMORIES["ntm"](3, 2))
    features = torch.randn(2 * 6, 3)
    starts = torch.zeros(2, 6)
    starts[1, 4] = 1
    _, state = packed.layer(torch.randn(3, 2, 3))
    y, _ = MemoryPolicy._process_sequence(features, packed.pack(state), starts.flatten(), packed)
    rows, (whole, cut) = features.view(2, 6, 3), y.view(2, 6, 2)
    wanted, _ = packed.layer(rows.transpose(0, 1), state)
    torch.testing.assert_close(whole, wanted[:, 0])
    torch.testing.assert_close(cut[:4], wanted[:4, 1])
    torch.testing.assert_close(cut[4:], packed.layer(rows[1, 4:, None])[0][:, 0])


def test_predict_begins_from_the_initial_state_and_carries_on():
    model = learner()
    layer = model.policy.lstm_actor.layer
    seen = [np.eye(3, dtype=np.float32)[i] for i in (0, 2, 2)]
    state = None
    for observation in seen:
        _, state = model.predict(observation, state=state, deterministic=True)
    packed = model.policy.lstm_actor
    found = packed.unpack(tuple(torch.tensor(part) for part in state))
    _, wanted = layer(torch.tensor(np.stack(seen))[:, None])
    torch.testing.assert_close(found.memory.memory, wanted.memory.memory)
    _, state = model.predict(seen[0], state=state, episode_start=np.array([True]))
    found = packed.unpack(tuple(torch.tensor(part) for part in state))
    _, wanted = layer(torch.tensor(seen[0])[None, None])
    torch.testing.assert_close(found.memory.memory, wanted.memory.memory)


def test_a_model_and_a_policy_are_saved_and_loaded(tmp_path):
    model = learner("dnc").learn(21)
    model.save(tmp_path / "model")
    model.policy.save(tmp_path / "policy")
    again = RecurrentPPO.load(tmp_path / "model", device="cpu").policy
    alone = MemoryPolicy.load(tmp_path / "policy", device="cpu")
    for policy in (again, alone):
        assert isinstance(policy.lstm_critic.layer, memnets.DNC)
        wanted = model.policy.state_dict()
        assert list(policy.state_dict()) == list(wanted)
        assert all(torch.equal(value, wanted[key]) for key, value in policy.state_dict().items())


def test_every_parameter_of_the_memories_is_trained():
    model = learner("learned", policy_kwargs={"optimizer_kwargs": {"eps": 1e-5}})
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    model.learn(42)
    same = [
        name for name, value in model.policy.named_parameters() if torch.equal(value, before[name])
    ]
    assert not same


def test_errors():
    with pytest.raises(TypeError, match=r"such as memnets\.NTM; it made LSTM\."):
        learner(policy_kwargs={"memory": torch.nn.LSTM})
    with pytest.raises(ValueError, match="make it without batch_first"):
        learner(policy_kwargs={"memory": functools.partial(memnets.NTM, batch_first=True)})


def test_recurrent_ppo_learns_a_task_that_needs_the_memory():
    options = {"n_steps": 20, "batch_size": 80, "n_epochs": 5, "learning_rate": 5e-3, "gamma": 0.9}
    model = learner(lengths=(5,) * 8, **options)
    model.learn(20 * 8 * 15)
    right = []
    for cue in (0, 1):
        state = None
        for observation in (cue, 2, 2, 2, 2):
            x = np.eye(3, dtype=np.float32)[observation]
            action, state = model.predict(x, state=state, deterministic=True)
        right.append(int(action) == cue)
    assert right == [True, True]
