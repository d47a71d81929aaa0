"""Arguments given by shape and by range are what they say, and vary as a trial has to: sizes, zeros, ties, repeats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oracles import Indices, Subject, Uniform
from oracles.arguments import SIZES, Spec, drawn

Array = np.ndarray[Any, Any]
DRAWS = 400


def many(*specs: Spec, scale: float = 1.0) -> list[tuple[Any, ...]]:
    """What `specs` give in DRAWS draws."""
    random, draw = np.random.default_rng(5), drawn(specs)
    return [draw(random, scale) for _ in range(DRAWS)]


def share(holds: Callable[[Array], Any], values: list[Array]) -> float:
    return float(np.mean([bool(holds(v)) for v in values]))


def test_a_named_size_is_the_same_everywhere_and_takes_every_small_value() -> None:
    made = many(("N", 3), (3, "M"), ("M",), Indices("N", ("N",)))
    assert all(x.shape[0] == len(i) and w.shape == (3, len(b)) for x, w, b, i in made)
    assert {(len(x), len(b)) for x, _, b, _ in made} == {(n, m) for n in SIZES for m in SIZES}
    assert 0.28 < share(lambda x: len(x) == 1, [x for x, *_ in made]) < 0.39
    assert all(i.max() < len(x) for x, _, _, i in made)


def test_a_shape_is_normal_of_the_draws_scale() -> None:
    ((x,),) = many((4000,), scale=30.0)[:1]
    assert x.dtype == np.float64
    assert 29 < x.std() < 31
    assert abs(x.mean()) < 1.5


def test_zeros_and_ties_are_each_in_one_draw_out_of_four() -> None:
    values = [x for (x,) in many((2, 3))]
    assert 0.2 < share(lambda x: (x == 0).any(), values) < 0.3
    assert 0.2 < share(lambda x: x[0, 0] == x[-1, -1], values) < 0.3
    assert not any((x == 0).any() for (x,) in many((1,)))


def test_uniform_keeps_its_range_at_every_scale() -> None:
    values = np.array([p for (p,) in many(Uniform(0.1, 0.9, (5,)), scale=30.0)])
    assert values.shape == (DRAWS, 5)
    assert 0.1 <= values.min() < 0.11
    assert 0.89 < values.max() < 0.9


def test_indices_stay_below_and_repeat_in_every_other_draw_or_more() -> None:
    values = [i for (i,) in many(Indices(1000, (4,)))]
    assert all(i.min() >= 0 and i.max() < 1000 and i.dtype.kind == "i" for i in values)
    assert 0.45 < share(lambda i: len(set(i)) < 4, values) < 0.55


def test_numbers_are_numbers_arrays_are_copies_and_containers_hold_them() -> None:
    given = np.arange(3.0)
    number, rate, index, fixed, half, layers, copy = drawn(
        [(), Uniform(1, 2), Indices(3), 0.5, np.float64(0.5), {"W": [(2, 3), (3,)], "eps": 1e-5}, given]
    )(np.random.default_rng(0), 1.0)
    assert [type(v) for v in (number, rate, index, fixed)] == [float, float, int, float]
    assert half == fixed == 0.5
    assert [w.shape for w in layers["W"]] == [(2, 3), (3,)]
    assert layers["eps"] == 1e-5
    copy += 1
    assert given.tolist() == [0, 1, 2]


def test_the_same_generator_gives_the_same_arguments() -> None:
    draw = drawn([("N", "M"), Indices(4, ("N",))])
    one, two = (draw(np.random.default_rng(3), 1.0) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(lambda: drawn([(2,), 3]), r"arguments\[1\]: expected a shape such as", id="bare-integer"),
        pytest.param(lambda: drawn([(0, 3)]), r"arguments\[0\]: expected a shape .* got \(0, 3\)", id="size-zero"),
        pytest.param(lambda: drawn([{"W": ["x"]}]), r"arguments\[0\]\['W'\]\[0\]: expected", id="inside-a-dict"),
        pytest.param(lambda: Indices(0), "expected `below` to be a size of at least 1", id="no-indices"),
        pytest.param(lambda: Uniform(1, 1), "expected low < high, got 1 and 1", id="empty-range"),
    ],
)
def test_anything_else_is_refused(make: Callable[[], object], complaint: str) -> None:
    with pytest.raises((TypeError, ValueError), match=complaint):
        make()


# --- rows of the registry ---------------------------------------------------------------------------------------------


def loss(x: Array) -> Any:
    return np.sum(x * x)


def gradient(x: Array) -> Array:
    return 2 * x


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        pytest.param({"id": 3}, "expected a name in one line as its id, got 3", id="id"),
        pytest.param({"id": "a\nb"}, "expected a name in one line", id="id-of-two-lines"),
        pytest.param({"gradient": 2.0}, "Subject s: gradient: expected a function, got float", id="gradient"),
        pytest.param({"arguments": None}, "Subject s: arguments: expected a function .* got None", id="no-arguments"),
        pytest.param({"arguments": []}, "Subject s: arguments: expected", id="empty-arguments"),
        pytest.param({"draws": 0}, "Subject s: draws: expected at least 1, got 0", id="no-draws"),
        pytest.param({"graph": loss, "layer": True}, "Subject s: graph: .* leave the graph out", id="graph-of-a-layer"),
        pytest.param({"graph": loss, "wrt": 1}, r"Subject s: graph: .* by args\[0\]", id="graph-of-another-argument"),
    ],
)
def test_a_row_that_cannot_be_tried_is_refused_at_once(row: dict[str, Any], complaint: str) -> None:
    good: dict[str, Any] = {"id": "s", "loss": loss, "gradient": gradient, "arguments": [(3,)]}
    assert Subject(**good).drawn(np.random.default_rng(0), 1.0)[0].shape == (3,)
    with pytest.raises((TypeError, ValueError), match=complaint):
        Subject(**good | row)


def test_a_draw_function_has_to_return_a_tuple() -> None:
    """The rows of a bare array would be taken for arguments."""

    def bare(random: np.random.Generator, scale: float) -> Any:
        return random.normal(0, scale, (1, 3))

    subject = Subject("s", loss, gradient, bare)
    with pytest.raises(TypeError, match=r"arguments: expected a tuple of all arguments, got ndarray; write `return"):
        subject.drawn(np.random.default_rng(0), 1.0)


def test_a_row_may_be_a_key() -> None:
    subject = Subject("s", lambda a, b: np.sum(a * b), lambda a, b: (b, a), [(3,), (3,)], wrt=[0, 1])
    assert {subject: 1}[subject] == 1
    assert subject.trial((np.ones(3), np.ones(3))).wrt == (0, 1)
