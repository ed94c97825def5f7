"""TorchRL's module: the states that it begins from, its forms of batches, and training with it."""

import warnings

import pytest
import torch

import memnets

pytest.importorskip("torchrl", reason="memnets.rl.torchrl needs torchrl: pip install -e '.[rl]'")
pytestmark = pytest.mark.filterwarnings("default")  # what torchrl deprecates is its own to mend

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensordict import TensorDict
    from tensordict.nn import TensorDictModule, TensorDictSequential
    from torchrl.collectors import Collector
    from torchrl.data import LazyTensorStorage, SliceSampler, TensorDictReplayBuffer
    from torchrl.data.tensor_specs import Categorical, Composite, Unbounded
    from torchrl.envs import EnvBase, InitTracker, SerialEnv, TransformedEnv
    from torchrl.modules import (
        MLP,
        LSTMModule,
        ProbabilisticActor,
        ValueOperator,
        set_recurrent_mode,
    )
    from torchrl.modules.utils import get_primers_from_module
    from torchrl.objectives import ClipPPOLoss
    from torchrl.objectives.value import GAE

    from memnets.rl.torchrl import MemoryModule

LAYERS = {"ntm": memnets.NTM, "dnc": memnets.DNC}


def layer_of(name="ntm", output_size=2, **options):
    torch.manual_seed(0)
    return LAYERS[name](3, output_size, memory_size=8, word_size=4, hidden_size=16, **options)


class Recall(EnvBase):
    """One of two cues is shown at the first step; the action of the last step must name it."""

    def __init__(self, rows, steps=5, seed=0):
        super().__init__(batch_size=[rows])
        self.steps = steps
        self.observation_spec = Composite(observation=Unbounded((rows, 3)), shape=[rows])
        self.action_spec = Categorical(2, shape=(rows,))
        self.reward_spec = Unbounded((rows, 1))
        self._set_seed(seed)

    def _set_seed(self, seed):
        self.generator = torch.Generator().manual_seed(seed or 0)

    def _reset(self, tensordict):
        rows = self.batch_size[0]
        self.cue, self.time = torch.randint(2, (rows,), generator=self.generator), 0
        shown = torch.nn.functional.one_hot(self.cue, 3).float()
        return TensorDict({"observation": shown}, batch_size=[rows])

    def _step(self, tensordict):
        self.time += 1
        last = self.time == self.steps
        right = (tensordict["action"] == self.cue).float()[:, None]
        blank = torch.tensor([0.0, 0.0, 1.0]).expand(*self.batch_size, 3)
        done = torch.full_like(right, last, dtype=torch.bool)
        answer = {"observation": blank, "reward": right * last, "done": done, "terminated": done}
        return TensorDict(answer, batch_size=self.batch_size)


def played_by(module, env=None, steps=13):
    env = TransformedEnv(env or Recall(3), InitTracker())
    env.append_transform(module.make_tensordict_primer())
    policy = ProbabilisticActor(
        module,
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        default_interaction_type="random",
    )
    with torch.no_grad():
        return env.rollout(steps, policy, break_when_any_done=False)


def again(module, data):
    with set_recurrent_mode(True):
        return module(data.exclude("logits"))["logits"]


def test_rows_that_end_at_other_times_keep_their_states():
    module = MemoryModule(layer_of(), "observation", "logits")
    parts = [lambda: Recall(1, steps=3), lambda: Recall(1, steps=5)]
    played = played_by(module, SerialEnv(2, parts), steps=11)
    assert played["is_init"][0].flatten().nonzero().flatten().tolist() == [0, 3, 6, 9]
    assert played["is_init"][1].flatten().nonzero().flatten().tolist() == [0, 5, 10]
    wanted = played["logits"].log_softmax(-1)
    torch.testing.assert_close(again(module, played).log_softmax(-1), wanted)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_sequences_give_what_was_played_step_by_step(name, batch_first):
    module = MemoryModule(layer_of(name, batch_first=batch_first), "observation", "logits")
    played = played_by(module)
    assert played["is_init"].squeeze(-1).nonzero()[:, 1].tolist() == [0, 5, 10] * 3
    wanted = played["logits"].log_softmax(-1)
    torch.testing.assert_close(again(module, played).log_softmax(-1), wanted)
    # from the middle of an episode: the first step begins from the state that is stored there
    torch.testing.assert_close(again(module, played[:, 3:]).log_softmax(-1), wanted[:, 3:])
    # more axes, and one of time alone
    torch.testing.assert_close(again(module, played[None]).log_softmax(-1), wanted[None])
    torch.testing.assert_close(again(module, played[1]).log_softmax(-1), wanted[1])


def test_a_step_of_one_environment_has_no_batch():
    module = MemoryModule(layer_of(), "observation", "logits")
    primer = module.make_tensordict_primer()
    one = primer(TensorDict(observation=torch.ones(3), is_init=torch.tensor([True])))
    y, state = module.layer(torch.ones(1, 3))
    module(one)
    torch.testing.assert_close(one["logits"], y[0])
    for name, value in memnets.flatten(state).items():
        torch.testing.assert_close(one["next", "memory", name], value, msg=name)


def by_hand(module, data):
    """The layer step by step over rows [B, T], begun anew from the state stored at each start."""
    found = []
    like = module.layer.initial_state(1)
    for row in data.unbind(0):
        state = None
        for step in row.unbind(0):
            if state is None or step["is_init"]:
                stored = {name: value[None] for name, value in step["memory"].items()}
                state = memnets.unflatten(stored, like=like)
            y, state = module.layer.step(step["observation"][None], state)
            found.append(y[0])
    return torch.stack(found).view(*data.shape, -1)


def invented(module, rows=3, steps=7, seed=0):
    """Data whose starts store states of their own, which no restart of a row would hold."""
    generator = torch.Generator().manual_seed(seed)
    start = memnets.flatten(module.layer.initial_state(rows * steps))
    stored = {
        name: value + 0.1 * torch.rand(value.shape, generator=generator)
        for name, value in start.items()
    }
    begins = torch.rand(rows, steps, 1, generator=generator) < 0.4
    return TensorDict(
        observation=torch.randn(rows, steps, 3, generator=generator),
        is_init=begins,
        memory=TensorDict(stored, batch_size=[rows * steps]).reshape(rows, steps),
        batch_size=[rows, steps],
    )


@pytest.mark.parametrize("one_of_a_row", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_each_start_begins_from_the_state_stored_at_its_position(name, one_of_a_row):
    module = MemoryModule(layer_of(name), "observation", "logits")
    data = invented(module)
    if one_of_a_row:
        data["memory"] = data["memory"][:, 3:4].expand(3, 7).clone()
    assert data["is_init"][:, 1:].any()
    wanted = by_hand(module, data)
    torch.testing.assert_close(again(module, data), wanted)
    fresh = MemoryModule(layer_of(name), "observation", "logits")
    assert (again(fresh, data.exclude("memory")) - wanted).abs().max() > 1e-3


def test_gradients_of_sequences_are_those_of_steps_and_stored_states_get_none():
    module = MemoryModule(layer_of().double(), "observation", "logits")
    data = invented(module).apply(lambda t: t.double() if t.is_floating_point() else t)
    data["memory"].apply_(lambda t: t.requires_grad_())
    weights = torch.randn(3, 7, 2, dtype=torch.float64)
    parameters = list(module.parameters())
    found = torch.autograd.grad((again(module, data) * weights).sum(), parameters)
    wanted = torch.autograd.grad((by_hand(module, data.detach()) * weights).sum(), parameters)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)
    loss = (again(module, data) * weights).sum()
    stored = list(data["memory"].values())
    assert torch.autograd.grad(loss, stored, allow_unused=True) == (None,) * len(stored)


def test_slices_of_a_replay_buffer_lie_one_after_the_other_in_one_row():
    module = MemoryModule(layer_of(), "observation", "logits")
    played = played_by(module, Recall(2), steps=20)
    played["trajectory"] = played["is_init"].squeeze(-1).flatten().cumsum(0).view(2, 20)
    sampler = SliceSampler(slice_len=3, traj_key="trajectory")
    buffer = TensorDictReplayBuffer(storage=LazyTensorStorage(40), sampler=sampler, batch_size=12)
    buffer.extend(played.reshape(-1))
    torch.manual_seed(0)
    data = buffer.sample()
    assert data.shape == (12,)
    begins = data["is_init"].flatten().nonzero().flatten().tolist()
    assert begins == [0, 3, 6, 9]
    blank = data["observation"][begins][:, 2]
    assert 0 < blank.sum() < 4, "some slices begin inside of an episode, and some with it"
    wanted = data["logits"].log_softmax(-1)
    torch.testing.assert_close(again(module, data).log_softmax(-1), wanted)


@pytest.mark.parametrize("start", [memnets.Start(), memnets.Start(learned=True)])
def test_the_primer_has_the_initial_state_and_torchrl_finds_it(start):
    layer = layer_of(start=start)
    module = MemoryModule(layer, "observation", "logits", state_key="kept")
    env = TransformedEnv(SerialEnv(2, lambda: Recall(3)), InitTracker())
    env.append_transform(get_primers_from_module(TensorDictSequential(module)))
    reset = env.reset()
    assert set(reset["kept"].keys()) == set(memnets.flatten(layer.initial_state()))
    for name, value in memnets.flatten(layer.initial_state()).items():
        assert torch.equal(reset["kept", name], value.expand(2, 3, *value.shape)), name
    assert not any(value.requires_grad for value in reset["kept"].values())


def test_keys_are_those_of_torchrls_own_module():
    own = LSTMModule(3, 4, in_key="observation", out_key="y")
    module = MemoryModule(layer_of(), ("agent", "observation"), "y", state_key="kept")
    assert "is_init" in own.in_keys
    assert module.in_keys[:2] == [("agent", "observation"), "is_init"]
    assert [("next", *key) for key in module.in_keys[2:]] == module.out_keys[1:]


def test_errors():
    with pytest.raises(TypeError, match=r"layer must be a layer of memnets; got LSTM\."):
        MemoryModule(torch.nn.LSTM(3, 2), "observation", "logits")
    module = MemoryModule(layer_of(), "observation", "logits")
    with pytest.raises(KeyError, match=r"under 'is_init': append torchrl's InitTracker\(\)"):
        module(TensorDict(observation=torch.zeros(2, 3), batch_size=[2]))
    begun = TensorDict(observation=torch.zeros(2, 3), is_init=torch.ones(2, 1) > 0, batch_size=[2])
    with pytest.raises(KeyError, match="under 'memory': append make_tensordict_primer"):
        module(begun)
    with set_recurrent_mode(True), pytest.raises(ValueError, match="last axis of the batch is the"):
        module(begun[0])


def test_a_collector_and_ppo_learn_a_task_that_needs_the_memory():
    torch.manual_seed(0)
    memory = MemoryModule(layer_of(output_size=16), "observation", "seen")
    head = TensorDictModule(MLP(16, 2, num_cells=[]), in_keys=["seen"], out_keys=["logits"])
    policy = ProbabilisticActor(
        TensorDictSequential(memory, head),
        in_keys=["logits"],
        distribution_class=torch.distributions.Categorical,
        return_log_prob=True,
        default_interaction_type="random",
    )
    critic = TensorDictSequential(memory, ValueOperator(MLP(16, 1, num_cells=[]), ["seen"]))
    env = TransformedEnv(Recall(rows=16), InitTracker())
    env.append_transform(memory.make_tensordict_primer())
    collector = Collector(env, policy, frames_per_batch=16 * 12, total_frames=16 * 12 * 35)
    advantage = GAE(gamma=0.9, lmbda=0.9, value_network=critic, deactivate_vmap=True)
    loss = ClipPPOLoss(policy, critic, entropy_coeff=0.01)
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-2)
    right = []
    for data in collector:
        with torch.no_grad(), set_recurrent_mode(True):
            advantage(data)
        for _ in range(4):
            with set_recurrent_mode(True):
                losses = loss(data)
            optimizer.zero_grad()
            sum(value for key, value in losses.items() if key.startswith("loss_")).backward()
            optimizer.step()
        ended = data["next", "done"]
        right.append(data["next", "reward"][ended].mean().item())
    assert sum(right[:3]) / 3 < 0.7
    assert sum(right[-5:]) / 5 > 0.95
