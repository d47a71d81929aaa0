"""torch.optim and optax are asked in one vocabulary, start as we do, answer in float64, and say where they differ."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from manual import nine_weight, optimizers, wrong_optimizers
from manual.training import Training
from manual.training import train as train_by_hand
from oracles import graphs, optax_optim, torch_autograd, torch_optim
from oracles.counterpart import NoCounterpartError, Run
from reference.datasets import housing
from tests.gate.configurations import CONFIGURATIONS, Configuration
from tests.gate.trajectories import initial_weights
from tests.meta.ulps import ulps

Array = np.ndarray[Any, Any]
FRAMEWORKS = [pytest.param(torch_optim, id="torch_optim"), pytest.param(optax_optim, id="optax_optim")]
ROWS = {row.id: row for row in CONFIGURATIONS}
RULES = dict.fromkeys(row.rule for row in CONFIGURATIONS)
OF_THE_DOCUMENTS = ["vanilla", "momentum", "averaged_momentum"]
STEPS = 6
GRADIENTS = np.random.default_rng(70).normal(size=(STEPS, 3))
PARAMS = np.array([0.3, -0.7, 1.1])


def dot(xp: Any, w: Any, x: Any, y: Any) -> Any:
    """A graph whose gradient is x."""
    return xp.sum(w * x) + 0 * y


# --- the vocabulary -------------------------------------------------------------------------------------------------


def options(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def in_our_words(rule: str) -> tuple[dict[str, Any], set[str]]:
    """The defaults of torch's class for a rule by our names, and its options that have none."""
    theirs = {**options(torch_optim._RULES[rule].optimizer)}
    ours: dict[str, Any] = {}
    for pair, words in torch_optim._PAIRS.items():
        ours |= dict(zip(words, theirs.pop(pair, ()), strict=False))
    translated = {theirs_name: ours_name for ours_name, theirs_name in torch_optim._WORDS.items()}
    named = inspect.signature(getattr(optimizers, rule)).parameters
    ours |= {translated.get(n, n): theirs[n] for n in [*theirs] if translated.get(n, n) in named}
    return ours, {n for n in theirs if translated.get(n, n) not in named}


def other_defaults(rule: str, function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """What a function's defaults are and torch's are, where they differ."""
    theirs, _ = in_our_words(rule)
    return {n: (mine, theirs.get(n)) for n, mine in options(function).items() if mine != theirs.get(n)}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in OF_THE_DOCUMENTS])
def test_our_defaults_are_those_of_torch_and_none_of_its_options_is_missing(rule: str) -> None:
    assert other_defaults(rule, getattr(optimizers, rule)) == {}
    _, unnamed = in_our_words(rule)
    how_it_runs = {"params", "foreach", "capturable", "differentiable", "fused"}
    elsewhere = {"adam": {"amsgrad"}, "adamw": {"amsgrad"}, "amsgrad": {"amsgrad"}}
    assert unnamed - how_it_runs == elsewhere.get(rule, set())


def test_other_defaults_are_noticed() -> None:
    shared = wrong_optimizers.adam_shared_state  # with the documents' β2
    assert other_defaults("adam", shared) == {"beta2": (0.99, 0.999)}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_rule_has_its_counterpart_in_torch_and_all_but_asgd_are_known_to_optax(framework: ModuleType) -> None:
    assert {*RULES} - {*framework._RULES} == (set() if framework is torch_optim else {"asgd"})


NEEDED: dict[str, dict[str, float]] = {
    "adagrad": {"epsilon": 0.0},
    "nadam": {"momentum_decay": 1000.0},
    "radam": {"epsilon": 0.0},
}


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """JAX runs operation by operation: for so few steps it takes longer to compile than to run."""
    with jax.disable_jit():
        yield


@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "adamax", "nadam", "radam"])
@pytest.mark.usefixtures("uncompiled")
def test_optax_is_given_the_same_defaults(rule: str) -> None:
    some = NEEDED.get(rule, {})
    arguments = one_state(ROWS.get(rule) or Configuration(rule, rule, ()))
    bare, spelled_out = (
        optax_optim.updates(rule, h, *arguments) for h in (some, options(getattr(optimizers, rule)) | some)
    )
    np.testing.assert_array_equal(bare[0], spelled_out[0])
    assert {*bare[1]} == {*spelled_out[1]}
    for name, value in bare[1].items():
        np.testing.assert_array_equal(value, spelled_out[1][name])


def one_state(row: Configuration) -> tuple[Array, dict[str, Array], Array]:
    """Gradients, states and params of one step, the third of a run by hand."""
    params, state = PARAMS, row.optimizer.init(PARAMS)
    for gradient in GRADIENTS[:2]:
        params, state = row.optimizer.update(gradient, state, params)
    return GRADIENTS[2:3], {n: np.asarray(v)[None] for n, v in state._asdict().items()}, params[None]


# --- states ---------------------------------------------------------------------------------------------------------

# With every option on that makes the framework keep something.
RICHEST = {
    "torch_optim": [
        *("vanilla-published", "momentum-published", "averaged_momentum", "sgd-dampening-decay", "sgd-nesterov-decay"),
        *("adagrad-rate-decay", "adadelta-epsilon-decay", "rmsprop-all", "adam-decay", "adam-decoupled", "adamw-decay"),
        *("amsgrad-epsilon-decay", "adamax-decay", "nadam-epsilon-decay", "radam-epsilon-decay", "asgd-decay"),
        "rprop-gentle",
    ],
    "optax_optim": [
        *("vanilla-published", "momentum-published", "averaged_momentum", "sgd-nesterov-decay", "adagrad-epsilon0"),
        *("adadelta-epsilon-decay", "rmsprop-all", "adam-decay", "adam-decoupled", "adamw-decay", "adamax-decay"),
        *("nadam-constant", "radam-epsilon0"),
    ],
}
PAIRS = [
    pytest.param(framework, ROWS[row], id=f"{name}-{row}")
    for name, framework in (("torch_optim", torch_optim), ("optax_optim", optax_optim))
    for row in RICHEST[name]
]
UNKEPT = {("optax_optim", "nadam"): {"product"}}
"""optax has no schedule of momenta."""


def chained(framework: ModuleType, row: Configuration) -> tuple[Array, dict[str, Array]]:
    """The params after each of some steps, each step taken from what the one before gave back, and the last state."""
    states = {n: np.asarray(v)[None] for n, v in row.optimizer.init(PARAMS)._asdict().items()}
    params, after = PARAMS[None], []
    for t, gradient in enumerate(GRADIENTS):
        params, kept = framework.updates(row.rule, row.hyperparameters, gradient[None], states, params)
        states = {**states, **kept, "step": np.array([t + 1])}
        after.append(params[0])
    return np.array(after), kept


@pytest.mark.parametrize(("framework", "row"), PAIRS)
@pytest.mark.usefixtures("uncompiled")
def test_states_handed_back_and_forth_make_the_framework_s_own_run(framework: ModuleType, row: Configuration) -> None:
    """From our first state, and through our names: nothing is lost on the way, and the framework starts as we do."""
    after, kept = chained(framework, row)
    x, y = GRADIENTS, np.zeros(STEPS)
    own = framework.train(row.rule, row.hyperparameters, dot, PARAMS, x, y, 1, range(1, STEPS + 1)).recorded
    # Every step ends with a sum, which either side rounds by half an ulp. What goes into it is smaller.
    np.testing.assert_allclose(after, own, rtol=ulps(STEPS))
    everything = {*row.optimizer.init(PARAMS)._fields} - {"step"}
    assert {*kept} == everything - UNKEPT.get((framework.__name__.removeprefix("oracles."), row.rule), set())


@pytest.mark.parametrize("row", [pytest.param(ROWS[row], id=row) for row in ("asgd-decay", "adagrad-rate-decay")])
def test_what_moves_no_weight_starts_as_in_torch_too(row: Configuration) -> None:
    """The whole state after the first step of torch's own optimizer: ASGD's average has no other judge."""
    leaf = torch.tensor(PARAMS, requires_grad=True)
    with torch_autograd.settings(torch.float64):
        stock = torch_optim._optimizer(torch_optim._RULES[row.rule], row.hyperparameters, leaf)
        leaf.grad = torch.tensor(GRADIENTS[0])
        stock.step()
    params, state = row.optimizer.update(GRADIENTS[0], row.optimizer.init(PARAMS), PARAMS)
    # No number here is the result of more than four roundings on either side, with two for a power.
    np.testing.assert_allclose(params, leaf.detach().numpy(), rtol=ulps(4))
    for ours, theirs in torch_optim._RULES[row.rule].state.items():
        np.testing.assert_allclose(getattr(state, ours), stock.state[leaf][theirs].numpy(), rtol=ulps(4))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.usefixtures("uncompiled")
def test_arguments_are_left_alone(framework: ModuleType) -> None:
    row = ROWS["adam-decay"]
    gradients, states, params = one_state(row)
    weights, x, y = PARAMS.copy(), GRADIENTS.copy(), np.zeros(STEPS)
    given = [gradients, *states.values(), params, weights, x, y]
    before = [np.copy(array) for array in given]
    for array in given:
        array.flags.writeable = False
    moved, kept = framework.updates(row.rule, row.hyperparameters, gradients, states, params)
    run = framework.train(row.rule, row.hyperparameters, dot, weights, x, y, 1, [STEPS])
    for array, kept_as in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, kept_as)
        assert not any(np.shares_memory(array, found) for found in (moved, *kept.values(), *run))


# --- rules that are not there ---------------------------------------------------------------------------------------

ABSENT = [
    ("sgd", {"momentum": 0.9, "dampening": 0.5}, "dampening: optax has none; leave it at 0"),
    ("adagrad", {}, "epsilon: optax puts it under the root of Adagrad, torch beside it; compare at 0"),
    ("adagrad", {"epsilon": 0.0, "learning_rate_decay": 0.1}, "learning_rate_decay: optax has none; leave it at 0"),
    ("nadam", {}, "momentum_decay: optax has no schedule; one of 1000 makes torch's constant"),
    ("nadam", {"momentum_decay": 800.0}, "momentum_decay: optax has no schedule; one of 1000 makes torch's constant"),
    ("amsgrad", {}, "amsgrad: optax takes the maximum of the corrected v̂, torch that of v"),
    ("radam", {}, "epsilon: optax adds it to √v̂, torch to √v; compare at 0"),
    ("rprop", {}, r"rprop: optax applies every step of Rprop one step late \(google-deepmind/optax#1725\)"),
    ("asgd", {}, "rule: optax has no asgd"),
    ("adan", {}, "rule: optax has no adan"),
]
CALLS = {
    "updates": lambda framework, *rule: framework.updates(*rule, PARAMS[None], {"step": np.array([0])}, PARAMS[None]),
    "train": lambda framework, *rule: framework.train(*rule, dot, PARAMS, GRADIENTS, np.zeros(STEPS), 1, ()),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("rule", "settings", "message"), [pytest.param(*a, id=f"{a[0]}-{'-'.join(a[1])}") for a in ABSENT]
)
def test_what_optax_has_not_it_says(rule: str, settings: dict[str, float], message: str, call: str) -> None:
    with pytest.raises(NoCounterpartError, match=f"^{message}$"):
        CALLS[call](optax_optim, rule, settings)


@pytest.mark.parametrize("call", CALLS)
def test_a_rule_that_torch_has_not_is_refused_with_a_list_of_those_it_has(call: str) -> None:
    with pytest.raises(
        NoCounterpartError, match=r"^rule: torch\.optim has no 'adan'; it has vanilla, momentum, .*, rprop$"
    ):
        CALLS[call](torch_optim, "adan", {})


def by_optax(transformation: optax.GradientTransformation, gradients: list[float]) -> Array:
    """The change of a weight in each step."""
    with jax.disable_jit():
        state, changes = transformation.init(jnp.zeros(1)), []
        for gradient in gradients:
            change, state = transformation.update(jnp.array([gradient]), state)
            changes.append(float(change[0]))
    return np.array(changes)


def by_hand(optimizer: optimizers.Optimizer, gradients: list[float]) -> Array:
    params, changes = np.zeros(1), []
    state = optimizer.init(params)
    for gradient in gradients:
        moved, state = optimizer.update(np.array([gradient]), state, params)
        changes.append(float((moved - params)[0]))
        params = moved
    return np.array(changes)


def test_optax_still_applies_every_step_of_rprop_one_step_late() -> None:
    """google-deepmind/optax#1725. When this fails, it has been mended: give rprop a row in `oracles.optax_optim`."""
    gradients = [1.0] * 5
    right, late = (
        by_hand(optimizers.rprop(0.5, grow=2.0), gradients),
        by_optax(optax.rprop(0.5, eta_plus=2.0), gradients),
    )
    np.testing.assert_array_equal(right, [-0.5, -1, -2, -4, -8])
    np.testing.assert_array_equal(late, [0, *right[:-1]])


def test_optax_s_amsgrad_parts_from_torch_s_where_v_rises_and_the_corrected_v_falls() -> None:
    def both(gradients: list[float]) -> tuple[Array, Array]:
        theirs = optax.chain(optax.scale_by_amsgrad(b1=0.9, b2=0.999, eps=1e-8), optax.scale(-0.001))
        return by_hand(optimizers.amsgrad(), gradients), by_optax(theirs, gradients)

    rising, falling = both([1.0, 2.0, 3.0, 4.0]), both([2.0, 1.0, 1.0, 1.0])
    # An ulp of β2^t, half an ulp of 1, is 500 ulps of 1 - β2 and 250 of its root, on either side. The rest is a dozen.
    rounding = ulps(512)
    np.testing.assert_allclose(*rising, rtol=rounding)
    mine, theirs = falling
    assert mine[0] == pytest.approx(theirs[0], rel=rounding, abs=0)
    # torch: v2 / (1 - β2²) is a mean of 4 and 1, about 5/2. optax: it stays at 4.
    mean = (0.999 * 4 + 1) / (0.999 + 1)
    assert mine[1] / theirs[1] == pytest.approx((2 + 1e-8) / (np.sqrt(mean) + 1e-8), rel=rounding, abs=0)


# --- float64 --------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch_float32() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    yield
    assert torch.get_default_dtype() is torch.float32, "left changed"
    torch.set_default_dtype(before)


@pytest.mark.usefixtures("torch_float32")
@pytest.mark.parametrize("call", CALLS)
def test_torch_s_default_dtype_is_put_back_also_after_an_error(call: str) -> None:
    CALLS[call](torch_optim, "vanilla", {"learning_rate": 0.1})
    assert torch.get_default_dtype() is torch.float32
    for wrong in ({"learning_rate": -1.0}, {"learning_rates": 0.1}):
        with pytest.raises((ValueError, TypeError), match=r"Invalid learning rate: -1\.0|'learning_rates'"):
            CALLS[call](torch_optim, "vanilla", wrong)
        assert torch.get_default_dtype() is torch.float32


@pytest.mark.usefixtures("torch_float32")
def test_torch_alone_keeps_nadam_s_product_in_float32_and_the_oracle_does_not() -> None:
    row = ROWS["nadam"]
    leaf = torch.tensor(PARAMS, requires_grad=True)
    stock = torch.optim.NAdam([leaf], foreach=False)
    params, state = PARAMS, row.optimizer.init(PARAMS)
    for gradient in GRADIENTS:
        leaf.grad = torch.tensor(gradient)
        stock.step()
        params, state = row.optimizer.update(gradient, state, params)
    assert leaf.dtype is torch.float64
    assert stock.state[leaf]["mu_product"].dtype is torch.float32
    assert 1e-12 < np.abs(leaf.detach().numpy() - params).max() < 1e-8
    after, kept = chained(torch_optim, row)
    assert kept["product"].dtype == np.float64
    # Six sums could be six ulps apart at the worst. Float32 is some thousand off at the least, as seen above.
    np.testing.assert_allclose(kept["product"], [state.product], rtol=ulps(4))
    np.testing.assert_allclose(after[-1], params, rtol=ulps(4))


def test_optax_works_in_float64_whatever_jax_is_set_to_and_leaves_the_settings() -> None:
    with jax.enable_x64(False), jax.numpy_dtype_promotion("strict"), jax.disable_jit():
        moved, kept = optax_optim.updates("adam", {}, *one_state(ROWS["adam"]))
        run = optax_optim.train("adam", {}, dot, PARAMS, GRADIENTS, np.zeros(STEPS), 1, [STEPS])
        assert {part.dtype for part in (moved, *kept.values(), *run)} == {np.dtype(np.float64)}
        with pytest.raises(NoCounterpartError):
            optax_optim.updates("radam", {}, *one_state(ROWS["radam"]))
        assert jnp.zeros(1).dtype == jnp.float32
        with pytest.raises(ValueError, match="no available implicit dtype promotion path"):
            jnp.zeros(1, dtype=jnp.int32) + jnp.zeros(1)


# --- whole runs -----------------------------------------------------------------------------------------------------

X, Y = (part[:15] for part in housing())
EPOCHS = 2
RECORD = [30, 1, 16, 16]
WEIGHTS = initial_weights(0, 4)


def whole_runs(framework: ModuleType, row: Configuration, graph: Any = graphs.nine_weight) -> tuple[Run, Training]:
    theirs = framework.train(row.rule, row.hyperparameters, graph, WEIGHTS, X, Y, EPOCHS, RECORD)
    return theirs, train_by_hand(nine_weight.loss_and_gradient, row.optimizer, WEIGHTS, X, Y, EPOCHS, RECORD)


def apart(theirs: Run, mine: Training) -> float:
    """The largest difference in losses and recorded weights."""
    return max(float(np.abs(a - b).max()) for a, b in ((theirs.losses, mine.losses), (theirs.recorded, mine.recorded)))


RUNS = [
    *(pytest.param(torch_optim, ROWS[row], id=f"torch_optim-{row}") for row in RICHEST["torch_optim"]),
    *(pytest.param(optax_optim, ROWS[row], id=f"optax_optim-{row}") for row in ("momentum-published", "adam-decay")),
]


@pytest.mark.parametrize(("framework", "row"), RUNS)
def test_thirty_steps_on_the_samples_are_those_by_hand(framework: ModuleType, row: Configuration) -> None:
    theirs, mine = whole_runs(framework, row)
    assert theirs.losses.shape == (EPOCHS, 4)
    assert theirs.recorded.shape == (3, 4, 9)
    assert theirs.losses.dtype == theirs.recorded.dtype == np.float64
    assert apart(theirs, mine) < 1e-12


def off_by_a_millionth(xp: Any, w: Any, x: Any, y: Any) -> Any:
    return graphs.nine_weight(xp, w, x, y) * (1 + 1e-6)


def other_target(xp: Any, w: Any, x: Any, y: Any) -> Any:
    return graphs.nine_weight(xp, w, x, y + 1e-6)


@pytest.mark.parametrize("graph", [off_by_a_millionth, other_target])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_fault_in_the_graph_shows(framework: ModuleType, graph: Any) -> None:
    assert 1e-9 < apart(*whole_runs(framework, ROWS["momentum-published"], graph)) < 1e-3


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.usefixtures("uncompiled")
def test_weights_are_recorded_once_in_the_order_of_the_steps_and_losses_are_means(framework: ModuleType) -> None:
    def distance(xp: Any, w: Any, x: Any, y: Any) -> Any:
        return (w[..., 0] - y) ** 2

    def halving(record: Any) -> Run:
        # The rate of 1/4 halves the distance in every step: 8, 4, 2 and then 1, 1/2, 1/4.
        run: Run = framework.train(
            "vanilla", {"learning_rate": 0.25}, distance, np.array([8.0]), np.zeros((3, 1)), np.zeros(3), 2, record
        )
        return run

    run = halving([6, 2, 3, 3])
    np.testing.assert_array_equal(run.recorded[:, 0], [2, 1, 1 / 8])
    np.testing.assert_array_equal(run.losses, [(64 + 16 + 4) / 3, (1 + 1 / 4 + 1 / 16) / 3])
    assert halving(()).recorded.shape == (0, 1)
