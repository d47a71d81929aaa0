"""A mutant is its original with exactly one named mistake, and equivalence is claimed only with evidence."""

from __future__ import annotations

import ast
import functools
import gc
import inspect
import linecache
import math
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from math import sin
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

from manual import nine_weight, nine_weight_stable
from oracles import Certificate, GradientError, Ruling, certify, check
from oracles.lifting import exact_code
from oracles.mutation import OPERATORS, Mutant, mutants, mutants_of_class
from oracles.mutation_equivalence import Ground, equivalent
from reference.datasets import housing

Array = Any
RNG = np.random.default_rng


# --- a small function for each operator -----------------------------------------------------------------------------

CASES: list[tuple[str, FunctionType, list[str]]] = []
RELATIVE = ("0.0001", "1e-06", "1e-08", "1e-10", "1e-12")


def makes(operator: str, *expected: str) -> Callable[[Any], Any]:
    """Note that an operator makes just these changes to a function, `before -> after` each."""

    def noted(function: Any) -> Any:
        CASES.append((operator, function, list(expected)))
        return function

    return noted


@makes(
    "swap-operator",
    "a + b * 2 -> a - b * 2",
    "b * 2 -> b / 2",
    "b * 2 -> b + 2",
    "a / b -> a * b",
    "c @ a -> c * a",
    "c -= a / b -> c += a / b",
)
def swapped_operator(a: Array, b: Array) -> Array:
    c = a + b * 2
    c -= a / b
    return c @ a


@makes(
    "swap-operands",
    "np.dot(a - b, a @ b) / a -> a / np.dot(a - b, a @ b)",
    "a - b -> b - a",
    "a @ b -> b @ a",
    "np.dot(a - b, a @ b) -> np.dot(a @ b, a - b)",
)
def swapped_operands(a: Array, b: Array) -> Array:
    return np.dot(a - b, a @ b) / a


@makes(
    "drop-factor",
    "a * b * (1 - b) / n -> a * b * (1 - b)",
    "a * b * (1 - b) -> a * b",
    "a * b -> a",
    "a * b -> b",
    "a / b -> a",
    "a / b -> 1 / b",
    "1 / n -> 1",
    "c /= n -> pass",
)
def dropped_factor(a: Array, b: Array, n: int) -> Array:
    c = a * b * (1 - b) / n
    c /= n
    return a / b + 1 / n


@makes(
    "drop-term",
    "a - b + c -> a - b",
    "a - b -> a",
    "a - b -> -b",
    "b - c -> b",
    "b - c -> -c",
    "d += b - c -> pass",
)
def dropped_term(a: Array, b: Array, c: Array) -> Array:
    d = a - b + c
    d += b - c
    return d


@makes(
    "flip-sign",
    "-a -> a",
    "-b -> b",
    "a * b -> -(a * b)",
    "np.exp(-b) -> -np.exp(-b)",
    "a.reshape(-1) -> -a.reshape(-1)",
)
def flipped_sign(a: Array, b: Array) -> Any:
    c = -a
    c += a * b
    return c, np.exp(-b), a.reshape(-1)


@makes(
    "extra-factor",
    "x.T @ dout -> 2 * (x.T @ dout)",
    "dout.sum(axis=0) -> 2 * dout.sum(axis=0)",
    "dout[0] -> 2 * dout[0]",
)
def extra_factor(dout: Array, x: Array) -> Any:
    dw, db = x.T @ dout, dout.sum(axis=0)
    dx = np.zeros_like(x)
    dx[0] += dout[0]
    return dx, dw, db


@makes("shift-constant", "1 -> 2", "1 -> 0", "2.0 -> 3.0", "2.0 -> 1.0")
def shifted_constant(x: Array) -> Array:
    y = 1 - 2.0 * x**2 + 0.5
    return y[0, 1].sum(axis=1).reshape(-1, 2)


@makes("scale-constant", *(f"0.044715 -> 0.044715 * (1 + {r})" for r in RELATIVE))
def scaled_constant(x: Array) -> Array:
    return 0.044715 * x


@makes("scale-constant", *(f"2 -> 2 * (1 + {r})" for r in RELATIVE))
def scaled_integer(x: Array) -> Array:
    return 2 * x[1] ** 2


@makes("scale-result", *(f"x * x -> x * x * (1 + {r})" for r in RELATIVE))
def scaled_result(x: Array) -> Array:
    y = x * x
    return y, y


@makes(
    "exponent",
    "t -> t + 1",
    "t -> t - 1",
    "(m + 1) ** 0.5 -> m + 1",
    "3 -> 4",
    "3 -> 2",
)
def exponents(m: Array, b: float, t: int) -> Array:
    return m / (1 - b**t) + np.power(m, 3) + (m + 1) ** 0.5


@makes(
    "exchange-function",
    "np.maximum -> np.minimum",
    "np.sin -> np.cos",
    "x.max -> x.min",
    "math.exp -> math.log",
    "min -> max",
)
def exchanged_function(x: Array) -> Array:
    return np.maximum(np.sin(x), x.max()) + math.exp(1) + sin(1) + min(1, 2)


@makes(
    "drop-function",
    "np.sqrt(np.abs(x) + np.exp(x, dtype=float)) -> np.abs(x) + np.exp(x, dtype=float)",
    "np.abs(x) -> x",
)
def dropped_function(x: Array) -> Array:
    return np.sqrt(np.abs(x) + np.exp(x, dtype=float))


@makes(
    "epsilon",
    "np.sqrt(v + 1e-08) -> np.sqrt(v) + 1e-08",
    "np.sqrt(v) + eps -> np.sqrt(v + eps)",
    "(v + eps) ** 0.5 -> v ** 0.5 + eps",
)
def moved_epsilon(m: Array, v: Array, eps: float) -> Array:
    step = m / (np.sqrt(v) + eps)
    return step / np.sqrt(v + 1e-8) + (v + eps) ** 0.5 + np.sqrt(v + 1)


@makes(
    "exchange-name",
    "cache -> dout",
    "dout -> cache",
    "dout -> x",
    "x -> dout",
    "x -> cache",
    "dx -> dout",
    "dx -> cache",
    "dx -> x",
)
def exchanged_name(dout: Array, cache: Any) -> Array:
    x, _ = cache
    dx = dout * x
    return -dx


@makes(
    "exchange-name",
    "cache -> dout",
    "cache -> dout",
    "dout -> cache",
    "cache['x'] -> cache['y']",
    "cache['y'] -> cache['x']",
)
def exchanged_key(dout: Array, cache: Any) -> Array:
    return cache["x"] * cache["y"] * dout.real


@makes(
    "shift-index",
    "w[..., 8] -> w[..., 9]",
    "w[..., 8] -> w[..., 7]",
    "w[t] -> w[t + 1]",
    "w[t] -> w[t - 1]",
    "w[1:-1] -> w[2:-1]",
    "w[1:-1] -> w[0:-1]",
    "w[1:-1] -> w[1:-2]",
    "w[0] -> w[1]",
)
def shifted_index(w: Array, t: int) -> Array:
    return w[..., 8] + w[t] + w[1:-1] + w["k"] + w[0]


@makes("swap-indices", "a[i, :, 0] -> a[:, i, 0]", "a[i, :, 0] -> a[i, 0, :]")
def swapped_indices(a: Array, i: int) -> Array:
    a[i, i] = a[i, :, 0]
    return a


@makes(
    "axis",
    "x.sum(axis=0) -> x.sum(axis=1)",
    "x.sum(axis=0) -> x.sum()",
    "np.mean(x, 1) -> np.mean(x, 0)",
    "np.mean(x, 1) -> np.mean(x)",
    "x.max(axis=(0, 2), keepdims=True) -> x.max(axis=(2,), keepdims=True)",
    "x.max(axis=(0, 2), keepdims=True) -> x.max(axis=(0,), keepdims=True)",
    "x.max(axis=(0, 2), keepdims=True) -> x.max(keepdims=True)",
    "np.stack([x], axis=-1) -> np.stack([x], axis=0)",
    "np.stack([x], axis=-1) -> np.stack([x])",
)
def other_axis(x: Array) -> Array:
    return x.sum(axis=0) + np.mean(x, 1) + x.max(axis=(0, 2), keepdims=True) + np.stack([x], axis=-1)


@makes(
    "keepdims",
    "x.sum(axis=0) -> x.sum(axis=0, keepdims=True)",
    "np.mean(x, axis=1, keepdims=True) -> np.mean(x, axis=1)",
)
def kept_axes(x: Array) -> Array:
    return x.sum(axis=0) + np.mean(x, axis=1, keepdims=True) + x.max()


@makes(
    "transpose",
    "x.T -> x",
    "w.T -> w",
    "x.transpose(1, 0) -> x",
    "w -> w.T",
    "x -> x.T",
)
def transposed(x: Array, w: Array) -> Array:
    return x.T @ w + np.dot(x, w.T) + x.transpose(1, 0)


@makes("sum-for-mean", "np.sum -> np.mean", "x.mean -> x.sum")
def summed_for_mean(x: Array) -> Array:
    return np.sum(x) + x.mean(axis=0) + sum(x)


@makes("drop-sum", "np.sum(x, axis=0) -> x", "x.mean(axis=0) -> x")
def dropped_sum(x: Array) -> Array:
    return np.sum(x, axis=0) + x.mean(axis=0)


@makes("float32", "x * 2 -> np.float64(np.float32(x * 2))")
def narrowed(x: Array) -> Array:
    return x * 2


@makes("ignore-upstream", "dout -> dout ** 0", "dout -> dout ** 0", "dout -> dout ** 0")
def ignored_upstream(dout: Array, x: Array) -> Array:
    return dout * x + dout.sum()


@makes(
    "assign-for-accumulate",
    "dw[i] += v -> dw[i] = v",
    "dw -= v * 2 -> dw = -(v * 2)",
    "np.add.at(dw, i, v) -> dw[i] += v",
)
def assigned(dw: Array, i: Array, v: Array) -> Array:
    dw[i] += v
    dw -= v * 2
    np.add.at(dw, i, v)
    return dw


@makes("accumulate-for-assign", "dx[0] = v -> dx[0] += v", "dx = dx * 2 -> dx += dx * 2")
def accumulated(x: Array, v: Array) -> Array:
    dx = np.zeros_like(x)
    dx[0] = v
    dx = dx * 2
    return dx, x


@makes(
    "swap-statements",
    "y[0] = 1; y += x -> y += x; y[0] = 1",
    "y += x; z = y + 1 -> z = y + 1; y += x",
)
def swapped_statements(x: Array) -> Array:
    y = x * 2
    y[0] = 1
    y += x
    z = y + 1
    a = 3
    return y + z * a


@makes("stale-cache", "u = np.exp(x) -> u = _first_call.setdefault('u', np.exp(x))")
def stale(x: Array, n: int = 2) -> Array:
    u = np.exp(x)
    v = np.zeros(n)
    return u + v


@makes(
    "in-place",
    "a = dout * gate -> dout *= gate; a = dout",
    "b = a + 1 -> a += 1; b = a",
    "dout.copy() -> dout",
    "return -> dout *= 2; return",
    "return -> x *= 2; return",
    "return -> gate *= 2; return",
)
def written_in_place(dout: Array, cache: Any) -> Array:
    x, gate = cache
    a = dout * gate
    b = a + 1
    c = dout.copy()
    return a + b + c, x


@makes("comparison", "x == 0 -> x != 0", "x > 0 -> x >= 0", "x > 0 -> x < 0")
def compared(x: Array) -> Array:
    if x == 0:
        return x
    return x * (x > 0) + (0 <= x < 1)


@makes(
    "branch",
    "train -> not train",
    "~(x > 1) -> x > 1",
    "np.where(x > 0, 1, x) -> np.where(x > 0, x, 1)",
)
def branched(x: Array, train: bool) -> Array:
    if train:
        x = x[~(x > 1)]
    return np.where(x > 0, 1, x)


@makes(
    "short-loop",
    "range(n) -> range(n)[:-1]",
    "range(n) -> range(n)[1:]",
    "x -> list(x)[:-1]",
    "x -> list(x)[1:]",
)
def looped(x: Array, n: int) -> Array:
    total = 0.0
    for i in reversed(range(n)):
        total += x[i]
    for row in x:
        total += row
    return total


@makes(
    "swap-returns",
    "{'W': a, 'b': b} -> {'W': b, 'b': a}",
    "np.stack([a, b, b]) -> np.stack([b, a, b])",
)
def returned(a: Array, b: Array) -> Any:
    if a is None:
        return {"W": a, "b": b}
    return np.stack([a, b, b])


SUBJECTS: list[Any] = [*(function for _, function, _ in CASES), nine_weight.backward]


@pytest.mark.parametrize(
    ("operator", "function", "expected"), [pytest.param(*case, id=f"{case[0]}-{case[1].__name__}") for case in CASES]
)
def test_an_operator_makes_its_mistake_wherever_it_can_and_nowhere_else(
    operator: str, function: FunctionType, expected: list[str]
) -> None:
    found = list(mutants(function, [operator]))
    assert [f"{m.before} -> {m.after}" for m in found] == expected
    assert {m.operator for m in found} == {operator}
    for mutant in found:
        assert only_change(function, mutant), mutant.id


def only_change(function: Callable[..., Any], mutant: Mutant) -> bool:
    """Whether the lines that differ are those of one statement, or of two that were swapped, or the new argument."""
    pairs = zip(source_lines(function), source_lines(mutant.build()), strict=True)
    changed = [i for i, (old, new) in enumerate(pairs) if old != new]
    spread = {"swap-statements": 2, "stale-cache": 2}.get(mutant.operator, 1)
    return 1 <= len(changed) <= spread


def source_lines(function: Callable[..., Any]) -> list[str]:
    return inspect.getsource(function).rstrip().split("\n")


def test_every_operator_has_a_case_a_sentence_and_threads_that_can_be_looked_up() -> None:
    assert {operator for operator, _, _ in CASES} == set(OPERATORS)
    for name, operator in OPERATORS.items():
        assert operator.name == name
        assert operator.mistake.endswith("."), name
        assert all(len(t.split("#")) == 2 and t.split("#")[1].isdigit() for t in operator.seen_in), name


# --- what a mutant is -----------------------------------------------------------------------------------------------


def test_ids_read_as_facts() -> None:
    ids = [m.id for m in mutants(nine_weight.backward, ["drop-factor", "scale-result", "shift-index"])]
    line = {m.id: m for m in mutants(nine_weight.backward, ["drop-factor"])}
    first = nine_weight.backward.__code__.co_firstlineno
    offset = source_lines(nine_weight.backward).index("    dw8 = dprediction * w9 * s * (1 - s)")
    name = f"backward:L{first + offset}:drop-factor w9"
    assert name in ids
    assert line[name].line == first + offset
    assert line[name].source_line == "dw8 = dprediction * w9 * s * (1 - s)"
    assert (line[name].before, line[name].after) == ("dprediction * w9", "dprediction")
    assert line[name].filename == nine_weight.__file__
    assert str(line[name]) == f"{name}\n  nine_weight.py:{first + offset}: dprediction * w9  ->  dprediction"


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in SUBJECTS])
def test_mutants_are_different_programs_with_ids_of_their_own_in_every_run(function: FunctionType) -> None:
    code = function.__code__
    found = list(mutants(function))
    assert len({m.id for m in found}) == len(found)
    assert [m.id for m in mutants(function)] == [m.id for m in found]
    some = [m.build() for m in mutants(function, limit=25)]
    assert len({ast.dump(ast.parse(inspect.getsource(f))) for f in (function, *some)}) == len(some) + 1
    assert function.__code__ is code


@pytest.mark.parametrize("function", [pytest.param(f, id=f.__name__) for f in SUBJECTS])
def test_mutants_keep_what_their_text_does_not_say_and_can_run_on_balls(function: FunctionType) -> None:
    for mutant in mutants(function, limit=3):
        made = mutant.build()
        assert made is not function
        assert (made.__name__, made.__qualname__, made.__module__) == (
            function.__name__,
            function.__qualname__,
            function.__module__,
        )
        assert made.__globals__ is function.__globals__
        assert made.__defaults__ is function.__defaults__
        assert made.__doc__ == function.__doc__
        assert made.__code__.co_firstlineno == function.__code__.co_firstlineno
        assert len(source_lines(made)) == len(source_lines(function))
        assert exact_code(made.__code__) is not None, mutant.id


def test_mutants_compute_with_the_mistake() -> None:
    a, b = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    found = {(m.before, m.after): m.build() for m in mutants(dropped_factor, ["drop-factor"])}
    assert np.array_equal(found["a / b", "1 / b"](a, b, 2), 1 / b + 0.5)
    assert np.array_equal(found["1 / n", "1"](a, b, 2), a / b + 1)
    assert np.array_equal(dropped_factor(a, b, 2), a / b + 0.5)


def test_repeated_indices_lose_their_contributions() -> None:
    lost = next(m for m in mutants(assigned) if m.before == "np.add.at(dw, i, v)").build()
    i, v = np.array([0, 0, 1]), np.ones(3)
    assert np.array_equal(assigned(np.zeros(3), i, v), [1.0, 0.0, -2.0])
    assert np.array_equal(lost(np.zeros(3), i, v), [0.0, 0.0, -2.0])


def test_a_stale_mutant_remembers_its_own_first_call() -> None:
    (mutant,) = mutants(stale, ["stale-cache"])
    one, other = mutant.build(), mutant.build()
    at = np.zeros(2)
    assert np.array_equal(one(at), [1.0, 1.0])
    assert np.array_equal(one(at + 1), [1.0, 1.0])
    assert np.array_equal(other(at + 1), np.exp([1.0, 1.0]))
    assert stale.__kwdefaults__ is None


def test_an_in_place_mutant_changes_what_it_was_given() -> None:
    found = {m.after: m.build() for m in mutants(written_in_place, ["in-place"])}
    dout, cache = np.ones(2), (np.ones(2), np.full(2, 3.0))
    found["gate *= 2; return"](dout, cache)
    assert np.array_equal(cache[1], [6.0, 6.0])
    found["dout *= gate; a = dout"](dout, cache)
    assert np.array_equal(dout, [6.0, 6.0])


def scaled_by(factor: float) -> Callable[..., Any]:
    def inner(x: Array, power: int = 2, *, shift: float = 1.0) -> Array:
        return factor * x**power + shift * np.exp(x) * TENTH

    return inner


TENTH = 0.1


def test_closures_defaults_and_globals_are_the_original_s(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = scaled_by(3.0)
    named = {m.after: m for m in mutants(inner, ["drop-factor", "exponent"])}
    assert "inner:L" in named["x ** power"].id
    without_factor = named["x ** power"].build()  # no longer needs the closure
    assert without_factor(2.0) == 4.0 + math.exp(2.0) * TENTH
    higher = named["power + 1"].build()
    assert higher(2.0, shift=0.0) == 24.0
    assert higher.__kwdefaults__ == {"shift": 1.0}
    assert higher.__closure__ == inner.__closure__
    monkeypatch.setitem(globals(), "TENTH", 0.0)
    assert without_factor(2.0) == 4.0


def test_a_mutant_has_mutants() -> None:
    once = next(m for m in mutants(scaled_result, ["exchange-function", "swap-operator"])).build()
    twice = [m.build()(3.0)[0] for m in mutants(once, ["swap-operator"])]
    assert once(3.0)[0] == 1.0
    assert twice == [9.0]


def test_tracebacks_show_the_mutant_at_the_line_of_the_original() -> None:
    mutant = next(m for m in mutants(shifted_index, ["shift-index"]) if m.after == "w[..., 9]")
    with pytest.raises(IndexError) as caught:
        mutant.build()(np.zeros(9), 0)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert last.lineno == mutant.line
    assert last.line == 'return w[..., (9)] + w[t] + w[1:-1] + w["k"] + w[0]'
    assert mutant.id in last.filename


def test_the_text_of_a_mutant_lives_as_long_as_it_does() -> None:
    mutant = next(mutants(Affine.twice, ["shift-constant"]))
    first, second = mutant.build(), mutant.build()
    name = first.__code__.co_filename
    del first
    gc.collect()
    assert "return (3) * x" in inspect.getsource(second)
    del second
    gc.collect()
    assert name not in linecache.cache


AWKWARD = '''
"""A module that is hard on positions."""
from __future__ import annotations

import numpy as np; import math

@(lambda f: f)
def füße(größe, *args, scale=(1.0), b={"k": ")"}, ):  # ) not yet
    "Docstring with \\d."
    α = größe * 2; β = α - 1  # two at once
    γ = (α +  # a comment (
         β * np.sin(
             größe)
         - scale)
    δ = γ \\
        / 2
    γ += f"{größe - 1}" and (
        α
        * β)  ; ε = γ - δ
    if größe > 0: γ = γ * δ; ε -= 1
    elif größe < -1:
        γ = -γ
    else:
        γ *= 2
    for i in range(
            2,
    ):
        γ = γ + (
            i)
    return (γ,
            ε - 1)
'''


def test_text_that_is_hard_on_positions(tmp_path: Path) -> None:
    path = tmp_path / "awkward.py"
    path.write_text(AWKWARD, encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "awkward"}
    with pytest.warns((DeprecationWarning, SyntaxWarning), match="invalid escape"):
        exec(compile(AWKWARD, str(path), "exec", dont_inherit=True), namespace)
    function = namespace["füße"]
    found = list(mutants(function))
    assert len(found) > 150
    whole = len(source_lines(function))
    values = Counter[bool]()
    for mutant in found:
        made = mutant.build()
        assert len(source_lines(made)) == whole, mutant.id
        try:
            values[made(0.7) == function(0.7)] += 1
        except (ArithmeticError, TypeError, ValueError, UnboundLocalError):
            values[False] += 1
    assert values[False] > 0.7 * len(found)
    assert {"stale-cache", "drop-term", "swap-returns", "short-loop", "branch"} - {m.operator for m in found} == {
        "branch"
    }


# --- choosing -------------------------------------------------------------------------------------------------------


def test_operators_can_be_chosen() -> None:
    everything = list(mutants(nine_weight.backward))
    chosen = list(mutants(nine_weight.backward, ["flip-sign", "drop-term"]))
    assert [m.id for m in chosen] == [m.id for m in everything if m.operator in ("flip-sign", "drop-term")]


def test_a_limit_draws_from_each_operator_by_seed() -> None:
    everything = [m.id for m in mutants(nine_weight.backward)]
    counts = Counter(m.operator for m in mutants(nine_weight.backward))
    drawn = list(mutants(nine_weight.backward, limit=5))
    assert Counter(m.operator for m in drawn) == {name: min(5, count) for name, count in counts.items()}
    assert [m.id for m in drawn] == [id for id in everything if id in {m.id for m in drawn}]
    assert [m.id for m in drawn] == [m.id for m in mutants(nine_weight.backward, limit=5)]
    assert [m.id for m in drawn] != [m.id for m in mutants(nine_weight.backward, limit=5, seed=1)]


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        pytest.param(
            {"operators": ["flip-sing"]}, ValueError, r"operators: .*flip-sign.*got \['flip-sing'\]", id="name"
        ),
        pytest.param({"operators": []}, ValueError, "operators: .*got none", id="none"),
        pytest.param({"operators": "axis"}, TypeError, "operators: .*put it in a list", id="text"),
        pytest.param({"limit": 0}, ValueError, "limit: .*1 or more, got 0", id="limit"),
    ],
)
def test_arguments_that_choose_nothing_are_refused(arguments: Any, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        mutants(narrowed, **arguments)


# --- methods and classes --------------------------------------------------------------------------------------------


class Affine:
    """A layer that keeps its cache, with members of every kind."""

    rate = 0.5

    def __init__(self, w: Array) -> None:
        self.w = w

    def forward(self, x: Array) -> Array:
        self.x = x
        return self.twice(x * self.w)

    __call__ = forward

    def backward(self, dout: Array) -> Array:
        return self.step * dout * self.x

    @staticmethod
    def twice(x: Array) -> Array:
        return 2 * x

    @classmethod
    def halved(cls, x: Array) -> Array:
        return cls.rate * x

    @property
    def step(self) -> float:
        return 4 * self.rate


class Wide(Affine):
    """Calls its base's method."""

    def backward(self, dout: Array) -> Array:
        return super().backward(dout) * 1


def test_a_bound_method_s_mutants_are_bound_to_the_same_object() -> None:
    layer = Affine(np.array([3.0]))
    layer.forward(np.array([5.0]))
    found = {m.after: m for m in mutants(layer.backward, ["drop-factor"])}
    made = found["self.step * dout"].build()
    assert made.__self__ is layer
    assert made(7.0) == 14.0
    assert layer.backward(7.0) == 70.0
    assert found["self.step * dout"].id.startswith("Affine.backward:L")


def test_fields_of_an_object_are_exchanged() -> None:
    found = [(m.before, m.after) for m in mutants(Affine.backward, ["exchange-name"])]
    assert found == [("self.step", "self.x"), ("self.x", "self.step")]


def test_a_class_has_mutants_of_every_method_and_is_left_alone() -> None:
    found = list(mutants_of_class(Affine, ["drop-factor"]))
    assert [(m.id.split(":")[0], m.after) for m in found] == [
        ("Affine.forward", "x"),
        ("Affine.forward", "self.w"),
        ("Affine.backward", "self.step * dout"),
        ("Affine.backward", "self.step"),
        ("Affine.backward", "dout"),
        ("Affine.twice", "2"),
        ("Affine.twice", "x"),
        ("Affine.halved", "cls.rate"),
        ("Affine.halved", "x"),
        ("Affine.step", "4"),
        ("Affine.step", "self.rate"),
    ]
    made = {f"{m.id.split(':')[0]} {m.after}": m.build() for m in found}
    for name, cls in made.items():
        assert issubclass(cls, Affine), name
        assert cls.__qualname__ == "Affine"
    assert made["Affine.forward x"](np.array(3.0))(5.0) == 10.0  # under both its names
    assert made["Affine.twice x"](np.array(3.0))(5.0) == 15.0
    assert made["Affine.halved x"].halved(5.0) == 5.0
    assert made["Affine.step self.rate"](np.array(3.0)).step == 0.5
    assert Affine(np.array(3.0))(5.0) == 30.0


def test_a_method_still_finds_its_base() -> None:
    (made,) = (m.build() for m in mutants_of_class(Wide, ["shift-constant"]) if m.after == "2")
    layer = made(np.array(3.0))
    layer.forward(np.array(5.0))
    assert layer.backward(1.0) == 20.0


# --- what cannot be mutated -----------------------------------------------------------------------------------------


def generator(x: Array) -> Iterator[Array]:
    yield x * 2


async def coroutine(x: Array) -> Array:
    return x * 2


@functools.wraps(narrowed)
def wrapped(x: Array) -> Array:
    return narrowed(x) * 2


def without_source() -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec("def f(x): return x * 2", namespace)
    return namespace["f"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("thing", "error", "complaint"),
    [
        pytest.param(lambda x: x * 2, TypeError, "got the lambda .*give it a name", id="lambda"),
        pytest.param(generator, TypeError, r"got a generator \(generator\)", id="generator"),
        pytest.param(coroutine, TypeError, r"got a coroutine \(coroutine\)", id="coroutine"),
        pytest.param(len, TypeError, "got builtin_function_or_method; only what is written in Python", id="builtin"),
        pytest.param(np.sin, TypeError, "got ufunc; only what is written in Python", id="ufunc"),
        pytest.param(Affine, TypeError, r"got the class Affine; see mutants_of_class", id="class"),
        pytest.param(functools.partial(narrowed), TypeError, r"got partial; pass its \.func", id="partial"),
        pytest.param(functools.lru_cache(narrowed), TypeError, r"pass its \.__wrapped__", id="lru-cache"),
        pytest.param(wrapped, TypeError, r"wrapped by a decorator; pass narrowed\.__wrapped__", id="wrapped"),
        pytest.param(vars(Affine)["twice"], TypeError, r"got staticmethod; pass its \.__func__", id="staticmethod"),
        pytest.param(Affine(1.0), TypeError, r"got Affine; pass its \.__call__", id="callable-object"),
        pytest.param(without_source(), ValueError, "source is at hand, got f, made in '<string>'", id="no-source"),
    ],
)
def test_what_cannot_be_mutated_is_refused(thing: Any, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        mutants(thing)


def test_a_class_without_methods_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cls: expected a class with methods of its own .*got int"):
        mutants_of_class(int)
    with pytest.raises(TypeError, match="cls: expected a class, got function"):
        mutants_of_class(narrowed)


def test_a_source_that_was_edited_since_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "edited.py"
    text = "def f(x):\n    return x * 2\n"
    path.write_text(text)
    namespace: dict[str, Any] = {}
    exec(compile(text, str(path), "exec", dont_inherit=True), namespace)
    assert len(list(mutants(namespace["f"], ["shift-constant"]))) == 2
    path.write_text(text.replace("2", "2.5"))
    with pytest.raises(ValueError, match=r"is not what f was compiled from \(line 1\); import it again"):
        mutants(namespace["f"])


# --- the nine-weight gradient: does the certificate refuse every one of them? --------------------------------------

FEATURES, TARGETS = (array[:4] for array in housing())
WEIGHTS, ELSEWHERE = RNG(0).normal(size=(2, 4, 9))
APPLICABLE = [
    *("swap-operator", "swap-operands", "drop-factor", "drop-term", "flip-sign", "extra-factor", "shift-constant"),
    *("scale-constant", "scale-result", "exchange-function", "drop-function", "exchange-name", "shift-index"),
    *("swap-indices", "axis", "float32", "ignore-upstream", "stale-cache", "in-place", "swap-returns"),
]


def loss(w: Array, x: Array, y: Array) -> Array:
    return nine_weight.forward(w, x, y)[0]


def gradient_with(backward: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient by a backward that has run elsewhere before, and runs twice on the same cache."""

    def gradient(w: Array, x: Array, y: Array) -> Array:
        cache = nine_weight.forward(w, x, y)[1]
        backward(w, x, cache)
        return backward(w, x, cache)

    gradient(ELSEWHERE.copy(), FEATURES.copy(), TARGETS)
    return gradient


def judged(backward: Callable[..., Any]) -> Certificate:
    return certify(loss, gradient_with(backward), WEIGHTS, FEATURES, TARGETS)


def test_the_nine_weight_gradient_has_hundreds_of_mutants() -> None:
    counts = Counter(m.operator for m in mutants(nine_weight.backward))
    assert set(counts) == set(APPLICABLE)
    assert counts.total() - counts["exchange-name"] > 250
    assert counts["exchange-name"] > 800


def test_the_gradient_itself_is_certified_in_the_same_way() -> None:
    assert judged(nine_weight.backward).ruling is Ruling.CERTIFIED


@pytest.mark.parametrize("operator", APPLICABLE)
def test_the_certificate_refuses_every_mutant_of_the_nine_weight_gradient(operator: str) -> None:
    survivors = []
    for mutant in mutants(nine_weight.backward, [operator], limit=8):
        try:
            ruling = judged(mutant.build()).ruling
        except (IndexError, TypeError, ValueError):
            continue
        if ruling is not (Ruling.NOT_CERTIFIABLE if operator == "float32" else Ruling.WRONG):
            survivors.append(f"{mutant}: {ruling.value}")
    assert survivors == []


def test_float32_is_found_by_differences_where_balls_cannot_run() -> None:
    for mutant in mutants(nine_weight.backward, ["float32"], limit=2):
        with pytest.raises(GradientError, match=r"differences +WRONG"):
            check(loss, gradient_with(mutant.build()), WEIGHTS, FEATURES, TARGETS)


@pytest.mark.parametrize(("operator", "least", "most"), [("stale-cache", 0, 0), ("in-place", 4, 8)])
def test_what_takes_a_second_call_to_see(operator: str, least: int, most: int) -> None:
    """`certify` runs a gradient elsewhere first, and so proves wrong what remembers that. What writes into its
    arguments is right at one point: that takes a look at them."""
    survivors = 0
    for mutant in mutants(nine_weight.backward, [operator], limit=8):
        backward = mutant.build()

        def gradient(w: Array, x: Array, y: Array, backward: Callable[..., Any] = backward) -> Array:
            return backward(w, x, nine_weight.forward(w, x, y)[1])

        survivors += certify(loss, gradient, WEIGHTS, FEATURES, TARGETS).ok
    assert least <= survivors <= most


# --- equivalence ----------------------------------------------------------------------------------------------------


def product(a: Array, b: Array) -> Array:
    """One order."""
    return a * b + 1


def product_reversed(a: Array, b: Array) -> Array:
    return 1 + b * a


def joined(a: Any, b: Any) -> Any:
    return a + b


def joined_reversed(a: Any, b: Any) -> Any:
    return b + a


def doubled(x: Array) -> Array:
    return x * 2


def added_twice(x: Array) -> Array:
    return x + x


def slope(t: Array) -> Array:
    return 1 - t * t


def slope_factored(t: Array) -> Array:
    return (1 - t) * (1 + t)


def slope_off(t: Array) -> Array:
    return (1 - t) * (1 + t) * (1 + 1e-20)


def rectified(x: Array) -> Array:
    return x * (x > 0)


def rectified_with_tie(x: Array) -> Array:
    return np.where(x >= 0, x, 0.0)


def step(x: Array) -> Array:
    return np.where(x > 0, 1.0, 0.0)


def step_with_tie(x: Array) -> Array:
    return np.where(x >= 0, 1.0, 0.0)


def different_at_one_point(x: Array) -> Array:
    return np.where(x == 0.5, x + x + 1e-25, x * 2)


def nothing(x: Array) -> Array:
    return x - x


def zeros(x: Array) -> Array:
    return np.zeros_like(x)


def circle(x: Array) -> Array:
    return np.sin(x) ** 2 + np.cos(x) ** 2


def ones(x: Array) -> Array:
    return np.ones_like(x)


def rounded(x: Array) -> Array:
    return np.float64(np.float32(x)) * 2


def rounded_twice(x: Array) -> Array:
    return np.float64(np.float32(np.float32(x))) * 2


def doubled_in_place(x: Array) -> Array:
    x *= 2
    return x


def row(x: Array) -> Array:
    return (x * 2)[None]


def otherwise_on_balls(x: Array) -> Array:
    return x * 2 if not isinstance(x, np.ndarray) else x * 2.5


POINTS = [(x,) for x in RNG(1).normal(size=(4, 5))]
PAIRS = [(a, b) for a, b in RNG(2).normal(size=(4, 2, 5))]


@pytest.mark.parametrize(
    ("first", "second", "calls", "ground", "looked_at"),
    [
        pytest.param(product, product_reversed, PAIRS, Ground.PROGRAM, "equal syntax trees", id="order-of-factors"),
        pytest.param(doubled, added_twice, POINTS, Ground.BALLS, "40 numbers that 4 call", id="doubled"),
        pytest.param(slope, slope_factored, POINTS, Ground.BALLS, "at 256 bits", id="factored"),
        pytest.param(circle, ones, POINTS, Ground.BALLS, "agree to 76 digits or more", id="identity"),
        pytest.param(nothing, zeros, POINTS, Ground.BALLS, "agree exactly", id="zero"),
        pytest.param(rectified, rectified_with_tie, [*POINTS, (np.zeros(1),)], Ground.BALLS, "5 call", id="rectified"),
        pytest.param(step, step_with_tie, POINTS, Ground.BALLS, "40 numbers", id="no-tie-among-the-points"),
        pytest.param(rounded, rounded_twice, POINTS, Ground.FLOATS, "on balls: balls were written into", id="float32"),
    ],
)
def test_what_is_equivalent_is_shown_with_what_was_looked_at(
    first: Any, second: Any, calls: Any, ground: Ground, looked_at: str
) -> None:
    before = [tuple(a.copy() for a in call) for call in calls]
    evidence = equivalent(first, second, calls)
    assert evidence is not None
    assert evidence.ground is ground
    assert looked_at in evidence.looked_at
    assert str(evidence) == f"{ground.value}: {evidence.looked_at}"
    assert all(np.array_equal(a, b) for c, d in zip(calls, before, strict=True) for a, b in zip(c, d, strict=True))


@pytest.mark.parametrize(
    ("first", "second", "calls"),
    [
        pytest.param(doubled, slope, POINTS, id="other-function"),
        pytest.param(slope, slope_off, POINTS, id="off-by-1e-20"),
        pytest.param(doubled, different_at_one_point, [*POINTS, (np.array([0.5]),)], id="differs-at-one-point"),
        pytest.param(step, step_with_tie, [*POINTS, (np.zeros(1),)], id="differs-at-the-tie"),
        pytest.param(rounded, doubled, POINTS, id="float32-for-float64"),
        pytest.param(doubled, doubled_in_place, POINTS, id="writes-into-its-argument"),
        pytest.param(doubled, row, POINTS, id="other-shape"),
        pytest.param(doubled, otherwise_on_balls, POINTS, id="other-code-on-balls"),
        pytest.param(joined, joined_reversed, [("a", "b")], id="text"),
        pytest.param(joined, joined_reversed, [([1.0], [2.0])], id="lists"),
        pytest.param(doubled, lambda x: x[99], POINTS, id="raises"),
        pytest.param(doubled, lambda x: None, POINTS, id="none"),
    ],
)
def test_what_differs_is_never_called_equivalent(first: Any, second: Any, calls: Any) -> None:
    assert equivalent(first, second, calls) is None
    assert equivalent(first, first, calls) is not None


def test_a_point_that_is_not_tried_is_not_seen() -> None:
    """What the evidence cannot say: that is why it tells how much was looked at."""
    evidence = equivalent(doubled, different_at_one_point, POINTS)
    assert evidence is not None
    assert evidence.looked_at.startswith("40 numbers that 4 call(s)")


def test_what_is_remembered_is_a_difference_between_two_points() -> None:
    (mutant,) = mutants(stale, ["stale-cache"])
    points = [(np.array([0.0, 1.0]),), (np.array([2.0, 3.0]),)]
    assert equivalent(stale, mutant.build(), points) is None
    assert stale(points[0][0])[0] == 1.0


def test_the_same_text_in_other_surroundings_is_another_function() -> None:
    assert equivalent(scaled_by(2.0), scaled_by(3.0), POINTS) is None
    evidence = equivalent(scaled_by(2.0), scaled_by(2.0), POINTS)
    assert evidence is not None
    assert evidence.ground is Ground.BALLS  # each call of scaled_by makes a closure of its own


def test_no_calls_and_an_original_that_raises_are_errors() -> None:
    with pytest.raises(ValueError, match="calls: expected at least one"):
        equivalent(doubled, slope, [])
    with pytest.raises(IndexError):
        equivalent(lambda x: x[99], doubled, POINTS)


def test_a_sign_that_is_squared_makes_an_equivalent_mutant_of_the_stable_gradient() -> None:
    module = nine_weight_stable
    calls = [(w, FEATURES, module.forward(w, FEATURES, TARGETS)[1]) for w in (WEIGHTS, ELSEWHERE)]
    found = [m for m in mutants(module.backward, ["flip-sign"]) if equivalent(module.backward, m.build(), calls)]
    assert [m.id.partition("flip-sign ")[2] for m in found] == ["of sech", "of slope"]


def test_none_of_the_nine_weight_mutants_is_equivalent() -> None:
    calls = [(w, FEATURES, nine_weight.forward(w, FEATURES, TARGETS)[1]) for w in (WEIGHTS, ELSEWHERE)]
    for mutant in mutants(nine_weight.backward, limit=3):
        assert equivalent(nine_weight.backward, mutant.build(), calls) is None, mutant.id
