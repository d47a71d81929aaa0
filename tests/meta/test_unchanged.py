"""A subject that changes its arguments, its cache or the gradient handed to it is told so, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oracles import GradientError, Verdict, check, check_layer
from oracles.unchanged import changes, snapshot

Array = Any


def arguments() -> dict[str, Any]:
    return {"W": np.ones((2, 2)), "layers": [np.zeros(2), np.arange(3)], "mode": "train", "count": 3, "nan": np.nan}


def changed(how: Callable[[dict[str, Any]], object], differentiated: bool) -> list[str]:
    given = arguments()
    before = snapshot(given)
    how(given)
    return changes(given, before, differentiated)


def rebind(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda given: given.update({name: value})


@pytest.mark.parametrize(
    ("how", "always", "differentiated"),
    [
        pytest.param(lambda given: None, [], [], id="nothing"),
        pytest.param(lambda given: given["W"].fill(2), ["['W']"], ["['W']"], id="written-into"),
        pytest.param(lambda g: g["layers"][1].sort(), [], [], id="written-with-what-was-there"),
        pytest.param(
            lambda g: g["layers"][1].fill(0), ["['layers'][1]"], ["['layers'][1]"], id="whole-numbers-written-into"
        ),
        pytest.param(lambda g: g["layers"][0].fill(np.nan), ["['layers'][0]"], ["['layers'][0]"], id="nan"),
        pytest.param(lambda g: g.pop("count"), ["['count'] (taken away)"], ["['count'] (taken away)"], id="popped"),
        pytest.param(
            lambda g: g["layers"].pop(),
            ["['layers'][1] (taken away)"],
            ["['layers'][1] (taken away)"],
            id="list-popped",
        ),
        pytest.param(rebind("W", np.zeros((2, 2))), [], ["['W']"], id="exchanged"),
        pytest.param(rebind("W", np.ones((2, 2))), [], [], id="exchanged-for-an-equal"),
        pytest.param(rebind("mode", "test"), [], ["['mode']"], id="text-exchanged"),
        pytest.param(rebind("running_mean", np.ones(2)), [], ["['running_mean'] (added)"], id="added"),
        pytest.param(lambda g: g["layers"].append(1.0), [], ["['layers'][2] (added)"], id="appended"),
    ],
)
def test_changes_are_named(
    how: Callable[[dict[str, Any]], object], always: list[str], differentiated: list[str]
) -> None:
    """State may be kept in a dict or a list that is not differentiated by, such as running means."""
    assert changed(how, False) == always
    assert changed(how, True) == differentiated


def test_an_object_array_is_judged_by_what_it_holds() -> None:
    first, second = object(), object()
    given = np.array([first, second])
    before = snapshot(given)
    assert changes(given, before, True) == []
    given[1] = first
    assert changes(given, before, True) == [""]


# --- in a check -------------------------------------------------------------------------------------------------------

X, Y, W = (
    np.random.default_rng(0).normal(size=(3, 2)),
    np.array([0, 1, 1]),
    np.random.default_rng(1).normal(size=(2, 2)),
)


def refused(run: Callable[[], Verdict]) -> str:
    with pytest.raises(GradientError) as error:
        run()
    return str(error.value)


def picked(x: Array, y: Array) -> Any:
    return np.sum(x[np.arange(len(y)), y] ** 2)


def picked_gradient(x: Array, y: Array) -> Array:
    dx = np.zeros(x.shape)
    dx[np.arange(len(y)), y] = 2 * x[np.arange(len(y)), y]
    return dx


def test_labels_written_into_are_an_error() -> None:
    def spoils(x: Array, y: Array) -> Array:
        dx = picked_gradient(x, y)
        y[:] = 0
        return dx

    assert check(picked, picked_gradient, X, Y).certified
    assert "inputs unchanged  WRONG  changed in place: args[1]" in refused(lambda: check(picked, spoils, X, Y))


def test_options_taken_away_are_an_error() -> None:
    def loss(x: Array, options: dict[str, float]) -> Any:
        return options["rate"] * np.sum(x * x)

    def spoils(x: Array, options: dict[str, float]) -> Array:
        return 2 * options.pop("rate") * x

    message = refused(lambda: check(loss, spoils, X, {"rate": 0.5}))
    assert "changed in place: args[1]['rate'] (taken away)" in message


def test_what_the_forward_takes_from_the_backward_is_told_as_that() -> None:
    def spoils(p: dict[str, Array]) -> Any:
        return np.sum(p.pop("W") ** 2)

    message = refused(lambda: check(spoils, lambda p: {"W": 2 * p["W"]}, {"W": X}))
    assert "changes its arguments (args[0]['W'] (taken away)), and raises KeyError: 'W'" in message


# --- a second backward ------------------------------------------------------------------------------------------------


def forward(x: Array, w: Array) -> Any:
    return x @ w, [x, w]


def backward(dout: Array, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout


def finding(run: Callable[[], Verdict]) -> str:
    (line,) = [f"{f.result.value}: {f.evidence}" for f in run().findings if f.what == "second backward"]
    return line


def test_a_layer_that_leaves_its_cache_alone_gives_the_same_again() -> None:
    assert finding(lambda: check_layer(forward, backward, X, W)) == "ok: the same"


def test_a_loss_has_no_second_backward() -> None:
    assert "second backward" not in str(check(picked, picked_gradient, X, Y))


def test_a_spoilt_cache_is_an_error_and_names_the_parameters() -> None:
    def spoils(dout: Array, cache: Any) -> Any:
        gradients = backward(dout, cache)
        cache[1] = 2 * cache[1]
        return gradients

    message = refused(lambda: check_layer(forward, spoils, X, W))
    assert "second backward   WRONG  another gradient from the same forward: x" in message


def test_an_object_that_adds_up_is_an_error() -> None:
    class Affine:
        dw: Array = 0.0

        def forward(self, x: Array, w: Array) -> Array:
            self.x, self.w, self.dw = x, w, 0.0
            return x @ w

        def backward(self, dout: Array) -> Any:
            self.dw = self.dw + self.x.T @ dout
            return dout @ self.w.T, self.dw

    layer = Affine()
    message = refused(lambda: check_layer(layer.forward, layer.backward, X, W))
    assert "another gradient from the same forward: w" in message
    assert "certificate       ok" in message


def test_an_upstream_gradient_written_into_is_an_error() -> None:
    """Where an output is used twice, both of its users hand their gradient to the same array."""

    def gated(x: Array) -> Any:
        return np.maximum(x, 0), x

    def spoils(dout: Array, x: Array) -> Array:
        dout[x <= 0] = 0
        return dout

    message = refused(lambda: check_layer(gated, spoils, X))
    assert "second backward   WRONG  backward changes the upstream gradient in place" in message


def test_a_cache_that_can_be_used_once_is_a_note() -> None:
    def pops(dout: Array, cache: Any) -> Any:
        w, x = cache.pop(), cache.pop()
        return dout @ w.T, x.T @ dout

    said = finding(lambda: check_layer(forward, pops, X, W))
    assert said == "note: not possible after one forward: IndexError: pop from empty list"


def test_a_tuple_of_one_is_not_a_gradient() -> None:
    def tuple_of_one(x: Array, y: Array) -> Any:
        return (picked_gradient(x, y),)

    assert "expected an array, got a tuple of one" in refused(lambda: check(picked, tuple_of_one, X, Y))
