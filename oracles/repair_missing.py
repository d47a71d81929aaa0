"""Edits that put in what a backward may lack: a sign, a factor, a term, a function, a sum over an axis, a transpose.

Operators like those of `oracles.mutation_operators`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement
from types import UnionType

import numpy as np

from oracles.mutation_body import Body, Edit, called
from oracles.repair_operators import own_functions

_ARITHMETIC = ast.Add | ast.Sub | ast.Mult | ast.Div
_MOST_NAMES = 24
_MOST_TERMS = 8
_NO_NUMBERS = (ast.Starred, ast.Tuple, ast.List, ast.Dict, ast.GeneratorExp, ast.ListComp)


def missing_minus(body: Body) -> Iterator[Edit]:
    """A minus too few."""
    for node, name in _spots(body):
        yield body.expression(node, f"-{body.operand(node)}", f"of {name}")


Vocabulary = Callable[[Body, ast.expr], list[str]]
"""What may be missing where a node stands, as Python would write it."""


def numbers(body: Body, node: ast.expr) -> list[str]:
    """The numbers that derivatives of squares and cubes bring."""
    return ["2", "3", "4"]


def sizes(body: Body, node: ast.expr) -> list[str]:
    """The lengths that a mean divides by."""
    return [f"{p}.{size}" for p in body.parameters for size in ("shape[0]", "shape[1]", "shape[-1]", "size")]


def intermediates(body: Body, node: ast.expr) -> list[str]:
    """Names that have a value where a node stands, the latest first, and the entries and fields that the body reads.

    And the entries of a parameter that it unpacks without a name for them, as in `_, w = cache`.
    """
    read = [
        ast.unparse(n)
        for n in body.nodes
        if isinstance(n, ast.Subscript | ast.Attribute)
        and isinstance(n.value, ast.Name)
        and isinstance(n.ctx, ast.Load)
        and n.value.id in body.own_names
        and not body.is_called(n)
    ]
    return list(dict.fromkeys([*reversed(body.names_before(node)), *read, *_unnamed(body)]))[:_MOST_NAMES]


def _unnamed(body: Body) -> Iterator[str]:
    for node in body.all(ast.Assign):
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Name) and value.id in body.parameters:
            for i, part in enumerate(target.elts):
                if isinstance(part, ast.Name) and not part.id.strip("_"):
                    yield f"{value.id}[{i}]"


def columns(body: Body, node: ast.expr) -> list[str]:
    """The parameters along axes of their own: what comes down for each sample, beside its row."""
    return [f"{p}[{axes}]" for axes in (":, None", ":, None, None", "..., None") for p in body.parameters]


def complements(body: Body, node: ast.expr) -> list[str]:
    """Of probabilities."""
    return [f"(1 - {name})" for name in intermediates(body, node)]


def simple_derivatives(body: Body, node: ast.expr) -> list[str]:
    """Of sigmoid, tanh and ReLU, from what they give."""
    forms = ("(1 - {0})", "({0} > 0)", "(1 - {0} * {0})", "({0} * (1 - {0}))")
    return [form.format(v) for form in forms for v in intermediates(body, node)]


def functions(body: Body, node: ast.expr) -> list[str]:
    """Elementary functions of an intermediate, and the user's own."""
    names = intermediates(body, node)
    elementary = [f"{body.numpy}.{f}({v})" for f in ("cos", "sin", "exp", "sign", "sqrt") for v in names if body.numpy]
    return elementary + [f"{f}({v})" for f in own_functions(body)[:3] for v in names]


def products(body: Body, node: ast.expr) -> list[str]:
    """Of two intermediates."""
    return [f"{a} * {b}" for a, b in combinations_with_replacement(intermediates(body, node)[:_MOST_TERMS], 2)]


def small_numbers(body: Body, node: ast.expr) -> list[str]:
    return ["1", "2", "3"]


def missing_factor(*vocabularies: Vocabulary) -> Callable[[Body], Iterator[Edit]]:
    """A factor or divisor is missing, of a result, of a term of it, or of what a function takes."""
    return _missing_factor((("*", "times"), ("/", "by")), vocabularies)


def missing_slope(*vocabularies: Vocabulary) -> Callable[[Body], Iterator[Edit]]:
    """A factor is missing that is nobody's divisor: the derivative of a function."""
    return _missing_factor((("*", "times"),), vocabularies)


def _missing_factor(
    signs: tuple[tuple[str, str], ...], vocabularies: tuple[Vocabulary, ...]
) -> Callable[[Body], Iterator[Edit]]:
    def edits(body: Body) -> Iterator[Edit]:
        for node, name in _spots(body):
            for factor in (text for vocabulary in vocabularies for text in vocabulary(body, node)):
                for sign, label in signs:
                    yield body.expression(node, f"{body.operand(node)} {sign} {factor}", f"{name} {label} {factor}")

    return edits


def missing_term(*vocabularies: Vocabulary) -> Callable[[Body], Iterator[Edit]]:
    """A summand is missing, of a result, of a factor of it, or of what a function takes."""

    def edits(body: Body) -> Iterator[Edit]:
        for node, name in (*_results(body), *_operands(body, ast.Mult | ast.Div), *_arguments(body)):
            for term in (text for vocabulary in vocabularies for text in vocabulary(body, node)):
                for sign in ("+", "-") if term != name else ("+",):
                    yield body.expression(node, f"{body.operand(node)} {sign} {term}", f"{name} {sign} {term}")

    return edits


def missing_twin(body: Body) -> Iterator[Edit]:
    """What a matrix that is used twice brings: the same product with a transpose, or its own transpose beside it."""
    for node, left, right, form in _products(body):
        for twin in ((f"{left}.T", right), (left, f"{right}.T"), (right, left)):
            text = form.format(*twin)
            yield body.expression(node, f"({body.text(node)} + {text})", f"{text} beside {ast.unparse(node)}")
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Mult) and isinstance(node.left, ast.Constant) and node.left.value == 2:
            matrix = body.operand(node.right)
            yield body.expression(node, f"({matrix} + {matrix}.T)", f"{matrix}.T for one of two {matrix}")


def missing_function(body: Body) -> Iterator[Edit]:
    """A function of a number stands where the number does."""
    elementary = ("exp", "cos", "sin", "log", "tanh", "sqrt", "square", "abs", "sign")
    names = [f"{body.numpy}.{f}" for f in elementary if body.numpy] + own_functions(body)
    numbers = [
        *body.reads(),
        *(n for n, _ in _operands(body, _ARITHMETIC)),
        *(n for n, _ in (*_arguments(body), *_inside(body))),
    ]
    for node in dict.fromkeys([*numbers, *(n for n, _ in _results(body))]):
        if not isinstance(node, ast.Constant):
            for name in names:
                yield body.expression(node, f"{name}({body.text(node)})", f"{name} of {body.text(node)}")


def missing_reduction(body: Body) -> Iterator[Edit]:
    """A sum or mean over an axis is missing, or a transpose."""
    for node, name in _results(body):
        yield body.expression(node, f"{body.operand(node)}.T", f"transpose of {name}")
        for reduction in ("sum", "mean"):
            for axis in ("0", "1", "-1", "(0, 1)", "(0, 2)", "(0, 2, 3)", "None"):
                for keep in ("", ", keepdims=True"):
                    text = f"{body.operand(node)}.{reduction}(axis={axis}{keep})"
                    yield body.expression(node, text, f"{reduction} of {name} over {axis}{keep}")


# --- where ----------------------------------------------------------------------------------------------------------


def _results(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Every number that is assigned or returned, plain names too."""
    yield from body.results()
    for node in body.nodes:
        value = getattr(node, "value", None) if isinstance(node, ast.Assign | ast.AugAssign | ast.Return) else None
        for part in value.elts if isinstance(value, ast.Tuple | ast.List) else [value]:
            if isinstance(part, ast.Name):
                yield part, part.id


def _spots(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Where a factor or a sign can be missing: results, terms of sums, divisors, and what functions take."""
    seen: set[ast.expr] = set()
    objects = _objects(body)
    places = (_results(body), _operands(body, ast.Add | ast.Sub), _arguments(body), _divisors(body), _inside(body))
    for place in places:
        for node, name in place:
            if node not in seen and not isinstance(node, _NO_NUMBERS) and name not in objects:
                seen.add(node)
                yield node, name


def _products(body: Body) -> Iterator[tuple[ast.expr, str, str, str]]:
    """(product, left, right, form) of each product of matrices."""
    for product in body.all(ast.BinOp):
        if isinstance(product.op, ast.MatMult):
            yield product, body.operand(product.left), body.operand(product.right), "{} @ {}"
    for call in body.all(ast.Call):
        if called(call.func) in ("dot", "matmul", "outer") and len(call.args) == 2:
            left, right = map(body.operand, call.args)
            yield call, left, right, body.text(call.func) + "({}, {})"


def _objects(body: Body) -> set[str]:
    """Names of what has its numbers in an attribute, such as the nodes of an engine."""
    held = [a for a in body.all(ast.Attribute) if isinstance(a.value, ast.Name) and not body.is_called(a)]
    return {ast.unparse(a.value) for a in held if a.attr == "data" or not hasattr(np.ndarray, a.attr)}


def _operands(body: Body, operators: type[ast.operator] | UnionType) -> Iterator[tuple[ast.expr, str]]:
    for node in body.all(ast.BinOp):
        if isinstance(node.op, operators):
            yield from ((side, ast.unparse(side)) for side in (node.left, node.right))


def _arguments(body: Body) -> Iterator[tuple[ast.expr, str]]:
    for call in body.all(ast.Call):
        yield from ((a, ast.unparse(a)) for a in call.args if not isinstance(a, ast.Constant | ast.Starred))


def _divisors(body: Body) -> Iterator[tuple[ast.expr, str]]:
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Div | ast.Pow):
            side = node.right if isinstance(node.op, ast.Div) else node.left
            yield side, ast.unparse(side)


def _inside(body: Body) -> Iterator[tuple[ast.expr, str]]:
    """Numbers in containers: the derivatives that an operation of an engine hands on."""
    for node in body.nodes:
        if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load):
            yield from ((e, ast.unparse(e)) for e in node.elts if not isinstance(e, ast.Tuple | ast.List))
