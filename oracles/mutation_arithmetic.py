"""Mistakes in a formula: its operators, factors, terms, signs, constants and functions."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from oracles.mutation_body import Body, Edit, called

RELATIVE = ("1e-4", "1e-6", "1e-8", "1e-10", "1e-12")
"""By how much subtle mutants are off: from what any check sees to what only a proof does."""
SYMBOLS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Pow: "**",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_SWAPPED = {"+": ("-",), "-": ("+",), "*": ("/", "+"), "/": ("*",), "@": ("*",)}
_EXCHANGED = {
    "sin": "cos",
    "cos": "sin",
    "sinh": "cosh",
    "cosh": "sinh",
    "tanh": "sinh",
    "exp": "log",
    "log": "exp",
    "expm1": "exp",
    "log1p": "log",
    "maximum": "minimum",
    "minimum": "maximum",
    "max": "min",
    "min": "max",
    "amax": "amin",
    "amin": "amax",
    "argmax": "argmin",
    "argmin": "argmax",
    "ones_like": "zeros_like",
    "arctan": "tan",
    "arcsin": "arccos",
    "arccos": "arcsin",
    "asin": "acos",
    "acos": "asin",
    "atan": "tan",
    "var": "std",
    "std": "var",
}
_DROPPED = frozenset({"sqrt", "square", "abs", "fabs", "absolute", "sign", "exp", "log", "expm1", "log1p"}) | {
    *("tanh", "sin", "cos"),
}
_SHAPES = frozenset({"zeros", "ones", "empty", "full", "eye", "identity", "arange", "linspace", "range"}) | {
    *(
        "reshape",
        "transpose",
        "swapaxes",
        "moveaxis",
        "expand_dims",
        "squeeze",
        "broadcast_to",
        "pad",
        "repeat",
        "tile",
    ),
    *("roll", "split", "array_split", "einsum", "get"),
}
"""Calls whose numbers are sizes and positions."""
REDUCTIONS = frozenset({"sum", "mean", "prod", "max", "min", "amax", "amin", "var", "std", "any", "all"}) | {
    *("argmax", "argmin", "cumsum", "cumprod"),
}


# --- operators ------------------------------------------------------------------------------------------------------


def swap_operator(body: Body) -> Iterator[Edit]:
    """Another operator: + for - and the reverse, / or + for *, * for /, * for @."""
    for node in body.all(ast.BinOp):
        symbol = SYMBOLS.get(type(node.op), "")
        if _is_text(node.left) or _is_text(node.right):
            continue
        for other in _SWAPPED.get(symbol, ()):
            text = f"{body.operand(node.left)} {other} {body.operand(node.right)}"
            yield body.expression(node, text, f"{symbol} to {other}")
    for statement in body.all(ast.AugAssign):
        symbol = SYMBOLS.get(type(statement.op), "")
        for other in _SWAPPED.get(symbol, ()):
            text = f"{body.text(statement.target)} {other}= {body.operand(statement.value)}"
            yield body.change(statement, text, f"{symbol}= to {other}=")


def swap_operands(body: Body) -> Iterator[Edit]:
    """b - a for a - b, b / a for a / b, and matrix products in the wrong order."""
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Sub | ast.Div | ast.MatMult):
            symbol = SYMBOLS[type(node.op)]
            text = f"{body.operand(node.right)} {symbol} {body.operand(node.left)}"
            yield body.expression(node, text, f"of {symbol}")
    for call in body.all(ast.Call):
        if called(call.func) in ("dot", "matmul", "outer") and len(call.args) == 2:
            a, b = call.args
            text = f"{body.operand(call.func)}({body.operand(b)}, {body.operand(a)})"
            yield body.expression(call, text, f"of {called(call.func)}")


def drop_factor(body: Body) -> Iterator[Edit]:
    """A factor or divisor of a product is forgotten, such as the upstream gradient or 1 / n."""
    for node in body.all(ast.BinOp):
        if not isinstance(node.op, ast.Mult | ast.Div):
            continue
        yield _without(body, node, node.right, body.operand(node.left))
        if isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mult | ast.Div):
            continue  # its factors are dropped one by one
        if isinstance(node.op, ast.Mult):
            yield _without(body, node, node.left, body.operand(node.right))
        elif not isinstance(node.left, ast.Constant):
            yield _without(body, node, node.left, f"1 / {body.operand(node.right)}")
    for statement in body.all(ast.AugAssign):
        if isinstance(statement.op, ast.Mult | ast.Div):
            yield body.change(statement, "pass", ast.unparse(statement.value))


def drop_term(body: Body) -> Iterator[Edit]:
    """A term of a sum is forgotten: a path of the graph, or an accumulation that never happens."""
    for node in body.all(ast.BinOp):
        if not isinstance(node.op, ast.Add | ast.Sub) or _is_text(node.left) or _is_text(node.right):
            continue
        yield _without(body, node, node.right, body.operand(node.left))
        if isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Add | ast.Sub):
            continue  # its terms are dropped one by one
        sign = "-" if isinstance(node.op, ast.Sub) else ""
        yield _without(body, node, node.left, sign + body.operand(node.right))
    for statement in body.all(ast.AugAssign):
        if isinstance(statement.op, ast.Add | ast.Sub):
            yield body.change(statement, "pass", ast.unparse(statement.value))


def _without(body: Body, node: ast.BinOp, dropped: ast.expr, rest: str) -> Edit:
    return body.expression(node, rest, ast.unparse(dropped))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


# --- signs and factors of whole results -----------------------------------------------------------------------------


def flip_sign(body: Body) -> Iterator[Edit]:
    """A minus too few, or a result of the other sign."""
    for node in body.all(ast.UnaryOp):
        if isinstance(node.op, ast.USub) and not _is_place(body, node):
            yield body.expression(node, body.operand(node.operand), f"of {ast.unparse(node)}")
    for result, name in body.results():
        if not isinstance(result, ast.UnaryOp):
            yield body.expression(result, f"-{body.operand(result)}", f"of {name}")


def extra_factor(body: Body) -> Iterator[Edit]:
    """A result twice its size: a 2 that belongs elsewhere, or a path that is counted twice."""
    for result, name in body.results():
        yield body.expression(result, f"2 * {body.operand(result)}", f"2 in {name}")


def scale_result(body: Body) -> Iterator[Edit]:
    """A result that is off by a small relative error."""
    for result, name in body.results():
        for r in RELATIVE:
            yield body.expression(result, f"{body.operand(result)} * (1 + {r})", f"{name} by {r}")


# --- constants ------------------------------------------------------------------------------------------------------


def shift_constant(body: Body) -> Iterator[Edit]:
    """A whole number off by one."""
    for node, value in _constants(body):
        if float(value).is_integer():
            for other in (value + 1, value - 1):
                yield body.expression(node, _number(other), f"{value} to {other}")


def scale_constant(body: Body) -> Iterator[Edit]:
    """A constant that is off by a small relative error, as by digits that were left out."""
    for node, value in _constants(body):
        if value == 0 or (isinstance(value, int) and not _is_operand(body, node)):
            continue
        for r in RELATIVE:
            yield body.expression(node, f"{body.text(node)} * (1 + {r})", f"{body.text(node)} by {r}")


def exponent(body: Body) -> Iterator[Edit]:
    """A power one too high or too low, such as that of the step count in a bias correction; a root or square lost."""
    for node in body.all(ast.BinOp):
        if isinstance(node.op, ast.Pow):
            yield from _other_powers(body, node, node.left, node.right)
    for call in body.all(ast.Call):
        if called(call.func) in ("power", "pow") and len(call.args) == 2:
            yield from _other_powers(body, call, *call.args)


def _other_powers(body: Body, node: ast.expr, base: ast.expr, power: ast.expr) -> Iterator[Edit]:
    value = power.value if isinstance(power, ast.Constant) else None
    if isinstance(value, int | float) and float(value).is_integer():
        for other in (value + 1, value - 1):
            yield body.expression(power, _number(other), f"{value} to {other}")
    elif isinstance(value, float):
        yield body.expression(node, body.operand(base), f"{value} dropped")
    elif isinstance(power, ast.Name):
        for sign in "+-":
            yield body.expression(power, f"{power.id} {sign} 1", f"{power.id} to {power.id} {sign} 1")


def _constants(body: Body) -> Iterator[tuple[ast.Constant, int | float]]:
    """Numbers of the formula: those that are no index, axis, exponent or size."""
    for node in body.all(ast.Constant):
        if type(node.value) in (int, float) and not _is_place(body, node) and not _is_exponent(body, node):
            yield node, node.value  # type: ignore[misc]


def _is_place(body: Body, node: ast.AST) -> bool:
    """Whether a number is all of an index, a slice bound, an axis or a size, perhaps in a tuple or with a sign."""
    outer = body.parents[node]
    while isinstance(outer, ast.Tuple | ast.List | ast.UnaryOp):
        node, outer = outer, body.parents[outer]
    if isinstance(outer, ast.Subscript):
        return outer.slice is node
    if isinstance(outer, ast.keyword):
        return outer.arg in ("axis", "axes", "shape", "ddof", "ndmin")
    if isinstance(outer, ast.Call):
        name = called(outer.func)
        return name in _SHAPES or (name in REDUCTIONS and node in outer.args)
    return isinstance(outer, ast.Slice)


def _is_exponent(body: Body, node: ast.AST) -> bool:
    outer = body.parents[node]
    if isinstance(outer, ast.Call):
        return called(outer.func) in ("power", "pow") and outer.args[-1] is node
    return isinstance(outer, ast.BinOp) and isinstance(outer.op, ast.Pow) and outer.right is node


def _is_operand(body: Body, node: ast.AST) -> bool:
    outer = body.parents[node]
    while isinstance(outer, ast.UnaryOp):
        outer = body.parents[outer]
    operators = ast.Add | ast.Sub | ast.Mult | ast.Div
    return isinstance(outer, ast.BinOp | ast.AugAssign) and isinstance(outer.op, operators)


def _number(value: float) -> str:
    return f"({value})" if value < 0 else str(value)


# --- functions ------------------------------------------------------------------------------------------------------


def exchange_function(body: Body) -> Iterator[Edit]:
    """A function's relative: cos for sin, minimum for maximum."""
    for call in body.all(ast.Call):
        name = called(call.func)
        other = _EXCHANGED.get(name)
        if other is None:
            continue
        if isinstance(call.func, ast.Attribute):
            text = f"{body.operand(call.func.value)}.{other}"
        elif other in body.namespace or hasattr(builtins, other):
            text = other
        else:
            continue
        yield body.expression(call.func, text, f"{name} to {other}")


def drop_function(body: Body) -> Iterator[Edit]:
    """The argument for the function's value: no root, no logarithm, the activation's input for its output."""
    for call in body.all(ast.Call):
        if called(call.func) in _DROPPED and len(call.args) == 1 and not call.keywords:
            yield body.expression(call, body.operand(call.args[0]), called(call.func))


def _is_epsilon(node: ast.expr) -> bool:
    """A small constant, or what is called so."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, float) and 0 < node.value <= 0.01
    return isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and "eps" in ast.unparse(node).lower()


def epsilon(body: Body) -> Iterator[Edit]:
    """sqrt(v) + eps for sqrt(v + eps), and the reverse."""
    for node in (*body.all(ast.Call), *body.all(ast.BinOp)):
        inside = _under_root(node)
        if isinstance(inside, ast.BinOp) and isinstance(inside.op, ast.Add):
            for v, eps in ((inside.left, inside.right), (inside.right, inside.left)):
                if _is_epsilon(eps):
                    text = f"{_root(body, node, body.operand(v))} + {body.operand(eps)}"
                    yield body.expression(node, text, f"{ast.unparse(eps)} out of the root")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            for root, eps in ((node.left, node.right), (node.right, node.left)):
                under = _under_root(root)
                if under is not None and _is_epsilon(eps):
                    text = _root(body, root, f"({body.operand(under)} + {body.operand(eps)})")
                    yield body.expression(node, text, f"{ast.unparse(eps)} into the root")


def _under_root(node: ast.expr) -> ast.expr | None:
    if isinstance(node, ast.Call) and called(node.func) == "sqrt" and len(node.args) == 1:
        return node.args[0]
    half = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant)
    return node.left if half and node.right.value == 0.5 else None  # type: ignore[attr-defined]


def _root(body: Body, node: ast.expr, inside: str) -> str:
    if isinstance(node, ast.Call):
        return f"{body.operand(node.func)}({inside})"
    return f"{inside} ** 0.5"
