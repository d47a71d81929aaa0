"""A `jax.custom_vjp` or `jax.custom_jvp` function at a point: its values, and the gradients that JAX finds of it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from oracles.measured import Noise, Point, Precision, cotangent_source
from oracles.trial import Array, ContractError

try:
    import jax
    import jax.numpy as jnp

    from oracles.jax_noise import moved, noisy
except ImportError as missing:
    raise ImportError(
        f"oracles.jax_point needs jax: pip install 'backproof[jax]' ({missing})", name=missing.name
    ) from missing

__all__ = ["Call", "Evaluate", "JaxPoint"]

Call = Callable[..., Any]
Evaluate = Callable[[Noise | None], list[Array]]

_MOST_TANGENTS = 4096
_NEEDS_NUMBERS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)
"""What tracing raises for a function whose Python looks at the numbers."""


@dataclass(frozen=True)
class JaxPoint:
    """A function, its arguments, and random cotangents of its outputs.

    Parameters are the float leaves of the arguments that are differentiated; gradients come in their order.
    """

    function: Any
    args: tuple[Any, ...]
    parameters: tuple[Array, ...]
    x64: bool
    """Whether JAX's 64 bits are on."""
    seed: int
    outputs: tuple[int, ...] = ()
    """Which leaves of the output can be differentiated: the floats."""
    cotangents: tuple[Array, ...] = ()

    @classmethod
    def of(cls, function: Any, args: Sequence[Any], seed: int) -> JaxPoint:
        """With 64 bits on if an argument is float64, as NumPy's are, and else as the caller has them.

        Python's floats take the precision of the arrays beside them. Raises ValueError if there is nothing to
        differentiate by, and ContractError if there is nothing to differentiate.
        """
        bare = cls(function, tuple(args), (), bool(jax.config.jax_enable_x64), seed)  # type: ignore[attr-defined]
        leaves = [leaf for _, leaf in bare._float_leaves()]
        kinds = [leaf.dtype for leaf in leaves if hasattr(leaf, "dtype")]
        plain = max(kinds, key=lambda kind: kind.itemsize, default=np.dtype(np.float64))
        parameters = tuple(np.asarray(leaf, getattr(leaf, "dtype", plain)) for leaf in leaves)
        if not parameters:
            raise ValueError("args: expected at least one float or array of floats to differentiate by, got none")
        bare = replace(bare, parameters=parameters, x64=bare.x64 or any(p.dtype == np.float64 for p in parameters))
        with bare.settings():
            made = jax.tree.leaves(function.fun(*bare.arguments(parameters)))
        outputs = tuple(k for k, out in enumerate(made) if _is_float(out))
        if not outputs:
            raise ContractError("expected an output of floats that can be differentiated, got none")
        random = cotangent_source(seed)
        drawn = [random.standard_normal(made[k].shape).astype(made[k].dtype) for k in outputs]
        return replace(bare, outputs=outputs, cotangents=tuple(drawn))

    @property
    def names(self) -> list[str]:
        """Of the parameters, as the function calls them, with their paths in containers."""
        own = list(inspect.signature(self.function.fun).parameters.values())
        positional = [p.name for p in own if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        paths = [path for path, _ in self._float_leaves()]
        roots = [positional[p[0].idx] if p[0].idx < len(positional) else f"args[{p[0].idx}]" for p in paths]
        return [root + jax.tree_util.keystr(path[1:]) for root, path in zip(roots, paths, strict=True)]

    @property
    def precision(self) -> Precision:
        """The coarsest among the parameters."""
        return Precision.coarsest(jnp.finfo(p.dtype) for p in self.parameters)  # type: ignore[no-untyped-call]

    def in_float64(self) -> JaxPoint:
        """With 64 bits on. Floats among the arguments that are not differentiated stay as they are."""
        wide = [tuple(a.astype(np.float64) for a in arrays) for arrays in (self.parameters, self.cotangents)]
        return replace(self, parameters=wide[0], cotangents=wide[1], x64=True)

    def arguments(self, parameters: Sequence[Any]) -> list[Any]:
        """The arguments with these parameters; what is not differentiated is handed through."""
        rest = iter(parameters)
        given = jax.tree.map(lambda leaf: jnp.asarray(next(rest)) if _is_float(leaf) else leaf, self._differentiated())
        return [given.get(i, a) for i, a in enumerate(self.args)]

    def _differentiated(self) -> dict[int, Any]:
        fixed = {i % len(self.args) for i in self.function.nondiff_argnums}
        return {i: a for i, a in enumerate(self.args) if i not in fixed}

    def _float_leaves(self) -> list[tuple[Any, Any]]:
        given = self._differentiated()
        listed = [given.get(i) for i in range(len(self.args))]  # None has no leaves
        return [(path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(listed) if _is_float(leaf)]

    def outs(self, call: Call, parameters: Sequence[Any]) -> list[Any]:
        """The outputs of `call` that can be differentiated."""
        made = jax.tree.leaves(call(*self.arguments(parameters)))
        return [made[k] for k in self.outputs]

    def values(self, call: Call) -> Evaluate:
        """The outputs that can be differentiated, evaluated with or without noise."""
        return self._evaluation(lambda *parameters: self.outs(call, parameters), self.parameters)

    def gradients(self, call: Call) -> Evaluate:
        """What `jax.vjp` gives for `call`, which is the function or stands for it, evaluated with or without noise."""

        def pulled(*args: Any) -> list[Any]:
            parameters, cotangents = self._parted(args)
            slopes: list[Any] = jax.vjp(lambda given: self.outs(call, given), parameters)[1](cotangents)[0]
            return slopes

        return self._evaluation(pulled, (*self.parameters, *self.cotangents))

    def gradients_forward(self, call: Call) -> Evaluate:
        """The same by `jax.jvp` along every entry: for loops that JAX cannot run backwards."""
        if (count := sum(p.size for p in self.parameters)) > _MOST_TANGENTS:
            raise ValueError(f"{count} entries are too many for forward mode")

        def pushed(*args: Any) -> list[Any]:
            parameters, cotangents = self._parted(args)
            widest = np.result_type(*(c.dtype for c in cotangents))

            def scalar(given: Sequence[Any]) -> Any:
                outs = self.outs(call, given)
                return sum(jnp.sum((c * out).astype(widest)) for c, out in zip(cotangents, outs, strict=True))

            slopes: list[Any] = jax.jacfwd(scalar)(parameters)
            return slopes

        return self._evaluation(pushed, (*self.parameters, *self.cotangents))

    def _parted(self, args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        return list(args[: len(self.parameters)]), list(args[len(self.parameters) :])

    def _evaluation(self, function: Call, args: Sequence[Array]) -> Evaluate:
        """`function(*args)`, with noise in its operations, or in its arguments alone if it cannot be traced."""
        traces: list[Any] = []

        def evaluate(noise: Noise | None) -> list[Array]:
            with self.settings():
                if noise is None:
                    return _arrays(function(*map(jnp.asarray, args)))
                if not traces:
                    traces.append(_traced(function, args))
                if traces[0] is None:
                    return _arrays(function(*(jnp.asarray(moved(a, noise)) for a in args)))
                return _arrays(noisy(traces[0], args, noise))

        return evaluate

    def numerical(self, call: Call) -> Point:
        """The same for differences: the scalar is the sum of the cotangents times the outputs of `call`."""

        def outputs(parameters: Sequence[Any]) -> list[Any]:
            return self.outs(call, parameters)

        compiled = jax.jit(outputs)
        with self.settings():
            run = outputs if _traced(outputs, (self.parameters,)) is None else compiled

        def value(parameters: Sequence[Array]) -> float:
            with self.settings():
                given = [np.asarray(p).astype(q.dtype) for p, q in zip(parameters, self.parameters, strict=True)]
                outs = _arrays(run(given))
            return float(sum(np.sum(c.astype(np.float64) * out) for c, out in zip(self.cotangents, outs, strict=True)))

        plain = [p if p.dtype in (np.float32, np.float64) else p.astype(np.float64) for p in self.parameters]
        return Point(self.names, plain, value, self.precision)

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        with jax.enable_x64(self.x64):
            yield


def _traced(function: Call, args: Sequence[Any]) -> Any:
    """What the function does to arrays of this kind, or None if its Python looks at the numbers."""
    try:
        return jax.make_jaxpr(function)(*args)
    except _NEEDS_NUMBERS:
        return None


def _arrays(made: Any) -> list[Array]:
    return [np.asarray(leaf).astype(np.float64) for leaf in jax.tree.leaves(made)]


def _is_float(leaf: Any) -> bool:
    if isinstance(leaf, float):
        return True
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.floating))
