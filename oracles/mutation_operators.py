"""The mutation operators by name: a new one is one row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from oracles import mutation_arithmetic as arithmetic
from oracles import mutation_arrays as arrays
from oracles import mutation_flow as flow
from oracles.mutation_body import Body, Edit


@dataclass(frozen=True)
class Operator:
    """One kind of mistake."""

    name: str
    edits: Callable[[Body], Iterator[Edit]]
    """Every place in a body where it can be made."""
    seen_in: tuple[str, ...] = ()
    """Public threads about a gradient or optimizer with this mistake, as owner/repository#number."""

    @property
    def mistake(self) -> str:
        """In one sentence."""
        return (self.edits.__doc__ or "").strip()


_ROWS = (
    Operator("swap-operator", arithmetic.swap_operator, ("chainer/chainer#261",)),
    Operator("swap-operands", arithmetic.swap_operands),
    Operator("drop-factor", arithmetic.drop_factor, ("qixianbiao/RNN#2", "jxgu1016/MNIST_center_loss_pytorch#9")),
    Operator("drop-term", arithmetic.drop_term, ("NervanaSystems/neon#169", "ml-explore/mlx#473")),
    Operator("flip-sign", arithmetic.flip_sign, ("jax-ml/jax#3213", "chainer/chainer#261")),
    Operator(
        "extra-factor",
        arithmetic.extra_factor,
        ("bighuang624/Andrew-Ng-Deep-Learning-notes#10", "karpathy/micrograd#2", "tinygrad/tinygrad#9597"),
    ),
    Operator("shift-constant", arithmetic.shift_constant),
    Operator("scale-constant", arithmetic.scale_constant),
    Operator("scale-result", arithmetic.scale_result),
    Operator("exponent", arithmetic.exponent, ("eriklindernoren/ML-From-Scratch#35", "kozistr/AdaBound-tensorflow#3")),
    Operator("exchange-function", arithmetic.exchange_function),
    Operator("drop-function", arithmetic.drop_function, ("JuliaStats/Distributions.jl#1221",)),
    Operator("epsilon", arithmetic.epsilon, ("tensorflow/tensorflow#58412",)),
    Operator("exchange-name", flow.exchange_name, ("apache/mxnet#16938",)),
    Operator("shift-index", arrays.shift_index),
    Operator("swap-indices", arrays.swap_indices),
    Operator("axis", arrays.axis),
    Operator("keepdims", arrays.keepdims),
    Operator("transpose", arrays.transpose),
    Operator("sum-for-mean", arrays.sum_for_mean, ("jxgu1016/MNIST_center_loss_pytorch#9",)),
    Operator("drop-sum", arrays.drop_sum, ("deeplearning4j/nd4j#2424",)),
    Operator("float32", arrays.float32),
    Operator("ignore-upstream", flow.ignore_upstream, ("chainer/chainer#1178",)),
    Operator("assign-for-accumulate", flow.assign_for_accumulate, ("apache/mxnet#9497",)),
    Operator("accumulate-for-assign", flow.accumulate_for_assign, ("karpathy/micrograd#2",)),
    Operator("swap-statements", flow.swap_statements, ("ml-explore/mlx#473",)),
    Operator("stale-cache", flow.stale_cache),
    Operator("in-place", flow.in_place, ("pytorch/pytorch#12218",)),
    Operator("comparison", flow.comparison, ("apache/mxnet#18563",)),
    Operator("branch", flow.branch, ("pytorch/pytorch#68425", "stan-dev/math#1578")),
    Operator("short-loop", flow.short_loop),
    Operator("swap-returns", flow.swap_returns),
)

OPERATORS = {operator.name: operator for operator in _ROWS}
"""Earlier rows first: a program that two of them lead to is the earlier one's mutant."""
