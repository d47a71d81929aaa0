"""`check_object`: a class with forward and backward, parameters in its attributes, and gradients in a dict."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from oracles.ball import BallArray, lift
from oracles.checking import Finding, Result, Verdict, copied, examine, judged, name_of, same, settled
from oracles.elsewhere import OUTSIDE, briefly, elsewhere
from oracles.reachable import is_foreign
from oracles.tree import is_float_leaf, leaves, map_leaves, match
from oracles.trial import Array, ContractError, Trial, as_floats

__all__ = ["check_object", "examine_object"]

_GRADIENTS = ("gradients", "grads", "gradient", "grad")
"""Attributes in which a backward that returns nothing leaves its dict. Never searched for parameters."""
_PARAMETERS = ("params", "parameters", "weights")
"""Attributes that are preferred where several dicts have the keys, as an optimizer's running means do."""

_ADDS_UP = "another gradient: it adds to what is there, or changes what the forward stored"

Step: TypeAlias = tuple[str, Any]
"""("attribute", name) or ("item", key)."""
Path: TypeAlias = tuple[Step, ...]


def check_object(
    net: Any, loss: Callable[..., Any], backward: Callable[..., Any], *args: Any, seed: int = 0
) -> Verdict:
    """Check the gradients of an object that holds its own parameters, as `oracles.check` does.

    `loss(net, *args)` is the loss, a scalar or one number per sample. `backward(net, *args)` gives a dict of gradients:
    it returns the dict, or leaves it in `net.gradients` or `net.grads`. The loss has always been called on the same
    object just before, so a backward that takes what the forward stored finds it, and one that runs the forward itself
    may do that. Both are usually lambdas:

        check_object(net, lambda net, x, y: bce(y, net.forward(x)), lambda net, x, y: net.backward(y), x, y)

    The keys are the parameters' names. "W1" (or "dW1") is the attribute net.W1, or the entry "W1" of a dict attribute
    such as net.params, all of whose floats must then have a gradient; "layers.0.W" is net.layers[0].W. A parameter is
    an array, a number, or a dict, list or tuple of them, and its gradient has its structure and shapes.

    Everything runs on deep copies: `net` stays as it is. A parameter that is found in several places of the object is
    one parameter in all of them, but arrays that are views of one another are copied apart.

    Returns a Verdict. Raises GradientError and UndecidedGradientError as `oracles.check` does, and ValueError or
    TypeError where no parameters can be found.
    """
    __tracebackhide__ = True
    return settled(examine_object(net, loss, backward, args, seed))


def examine_object(
    net: Any, loss: Callable[..., Any], backward: Callable[..., Any], args: Sequence[Any], seed: int = 0
) -> Verdict:
    """The verdict of `check_object` as data: nothing is raised for a wrong gradient."""
    subject = _subject_name(net, backward)
    snapshot = _copied(net, {})
    try:
        with np.errstate(all="ignore"):
            places = _places(snapshot, loss, backward, args)
            on_trial = _OnTrial(snapshot, loss, backward, places)
            conduct = list(_conduct(on_trial, args))
            if not any(_ADDS_UP in f.evidence for f in conduct):  # after any other call that would be wrong
                on_trial = on_trial.used_elsewhere(args)
    except ContractError as error:
        return Verdict(subject, (Finding("contract", Result.BAD, str(error)),))
    values = [place.value for place in on_trial.places]
    verdict = examine(on_trial.trial, (*values, *args), subject, seed)
    kept, *notes = conduct
    return replace(verdict, findings=(kept, *verdict.findings, *notes))


def _subject_name(net: Any, backward: Callable[..., Any]) -> str:
    name = name_of(backward)
    return f"{type(net).__qualname__}.backward" if name.endswith("<lambda>") else name


# --- the trial ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """Where a parameter is, and what is there: the object's own arrays."""

    key: Any
    """In the dict of gradients."""
    path: Path
    value: Any
    """Whole numbers as floats."""

    @property
    def name(self) -> str:
        return f"net{_text(self.path)}"


@dataclass(frozen=True)
class _OnTrial:
    """An object, its loss and its backward, as functions of the parameters."""

    net: Any
    loss: Callable[..., Any]
    backward: Callable[..., Any]
    places: Sequence[_Place]

    def trial(self, args: Sequence[Any]) -> Trial:
        """With the parameters in front of the user's own arguments."""
        count = len(self.places)
        return Trial(
            subject=(self.loss, self.backward, self.net),
            value=lambda given: self.loss(self.with_parameters(given[:count]), *given[count:]),
            gradient=lambda given: self.gradient(self.with_parameters(given[:count]), given[count:]),
            args=tuple(args),
            wrt=tuple(range(count)),
            labels=(*(p.name for p in self.places), *(f"args[{i}]" for i in range(len(args) - count))),
        )

    def with_parameters(self, parameters: Sequence[Any]) -> Any:
        """A copy of the object with other parameters. On balls, if they are: then so are the arrays that it keeps."""
        old = [leaf for place in self.places for _, leaf in leaves(place.value)]
        new = [leaf for parameter in parameters for _, leaf in leaves(parameter)]
        on_balls = any(isinstance(leaf, BallArray) for leaf in new)
        instead: dict[int, Any] = {id(a): lift(a) for a in _arrays(self.net)} if on_balls else {}
        instead |= {id(a): b for a, b in zip(old, new, strict=True) if isinstance(a, np.ndarray)}
        net = _copied(self.net, instead)
        for place, parameter in zip(self.places, parameters, strict=True):
            _write(net, place.path, parameter)
        return net

    def used_elsewhere(self, args: Sequence[Any]) -> _OnTrial:
        """The same after a loss and a backward at other parameters: what the object keeps of them is wrong here."""
        values = [place.value for place in self.places]
        net = self.with_parameters([map_leaves(elsewhere, value) for value in values])
        try:
            with briefly():
                self.gradient(net, copied(args))
            used = self._holding(net)
            return used._holding(used.with_parameters(values))
        except OUTSIDE:
            return self

    def _holding(self, net: Any) -> _OnTrial:
        """With another object, which has its parameters in the same places."""
        return replace(self, net=net, places=[replace(p, value=as_floats(_read(net, p.path))) for p in self.places])

    def gradient(self, net: Any, args: Sequence[Any]) -> list[Any]:
        """The claimed gradient of every leaf of every parameter, after a loss and a backward on `net`."""
        self.loss(net, *args)
        return self.matched(_gradients(net, self.backward(net, *args)))

    def matched(self, gradients: Mapping[Any, Any]) -> list[Any]:
        if missing := [p.key for p in self.places if p.key not in gradients]:
            raise ContractError(f"gradient: missing keys {missing}, which it had in another run")
        try:
            return [part for p in self.places for part in match(gradients[p.key], p.value, f"[{p.key!r}]")]
        except ValueError as error:
            raise ContractError(str(error)) from None


def _gradients(net: Any, made: Any) -> Mapping[Any, Any]:
    """The dict that backward returned, or left on the object. Raises TypeError if there is none."""
    if made is None:
        made = next((value for name in _GRADIENTS if (value := getattr(net, name, None)) is not None), None)
    if isinstance(made, Mapping) and made:
        return made
    came = "an empty dict" if isinstance(made, Mapping) else type(made).__name__
    raise TypeError(
        f"backward: expected a dict from parameter names to gradients, returned or left in .gradients or .grads of the "
        f"{type(net).__name__}, got {came}; return one, such as lambda net, x, y: {{'W': net.dW, 'b': net.db}}"
    )


def _conduct(on_trial: _OnTrial, args: Sequence[Any]) -> Iterator[Finding]:
    """What the object does beside giving the right numbers. Raises ValueError for what is no parameter."""
    if overwritten := _overwritten(on_trial, args):
        raise ValueError(
            f"gradient: expected parameters, got {', '.join(overwritten)}, which the loss overwrites; "
            "leave it out of the dict"
        )
    values = [place.value for place in on_trial.places]
    net, given = on_trial.with_parameters(copy.deepcopy(values)), copied(args)
    on_trial.loss(net, *given)
    first = copy.deepcopy(on_trial.matched(_gradients(net, on_trial.backward(net, *given))))
    moved = _moved(net, on_trial.places, values)
    advice = "return the gradients, and update the parameters elsewhere"
    yield judged("parameters kept", not moved, "", f"backward changes {', '.join(moved)}: {advice}")
    try:
        again = on_trial.matched(_gradients(net, on_trial.backward(net, *given)))
        differs = not all(same(a, b) for a, b in zip(first, again, strict=True))
    except Exception as error:  # of any kind: whatever it is, it is what a second backward gives
        differs = True
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = _ADDS_UP
    if differs:
        yield Finding("second backward", Result.NOTE, f"after one forward it gives {reason}")
    if uncovered := list(_uncovered(on_trial, args)):
        yield Finding("not covered", Result.NOTE, f"the loss depends on {', '.join(uncovered)}, which has no gradient")


def _overwritten(on_trial: _OnTrial, args: Sequence[Any]) -> list[str]:
    """The parameters that the loss itself sets, as a forward sets `net.x`: seen where they are not what it sets."""
    others = [map_leaves(elsewhere, place.value) for place in on_trial.places]
    net = on_trial.with_parameters(copy.deepcopy(others))
    try:
        with briefly():
            on_trial.loss(net, *copied(args))
    except OUTSIDE:
        return []
    return _moved(net, on_trial.places, others)


def _moved(net: Any, places: Sequence[_Place], values: Sequence[Any]) -> list[str]:
    """The parameters whose values are no longer these."""
    now = [dict(leaves(_read(net, place.path))) for place in places]
    then = [dict(leaves(value)) for value in values]
    return [
        place.name
        for place, new, old in zip(places, now, then, strict=True)
        if new.keys() != old.keys() or not all(same(new[path], old[path]) for path in old)
    ]


def _uncovered(on_trial: _OnTrial, args: Sequence[Any]) -> Iterator[str]:
    """Attributes with floats that the loss depends on, besides the parameters."""
    paths = {place.path[:1] for place in on_trial.places}
    arrays = {id(a) for place in on_trial.places for _, a in leaves(place.value) if isinstance(a, np.ndarray)}
    values = [place.value for place in on_trial.places]

    def value_with(path: Path | None) -> Any:
        net = on_trial.with_parameters(copy.deepcopy(values))
        if path is not None:
            _write(net, path, elsewhere(_read(net, path)))
        return np.array(on_trial.loss(net, *copied(args)), dtype=np.float64)

    usual = value_with(None)
    for name, attribute in _attributes(on_trial.net).items():
        path: Path = (("attribute", name),)
        if path in paths or id(attribute) in arrays or not is_float_leaf(attribute):
            continue
        try:
            differs = not same(value_with(path), usual)
        except Exception:  # of any kind: a value that the object does not stand says nothing of its gradient
            continue
        if differs:
            yield f"net{_text(path)}"


# --- where the parameters are ---------------------------------------------------------------------------------------


def _places(net: Any, loss: Callable[..., Any], backward: Callable[..., Any], args: Sequence[Any]) -> list[_Place]:
    """Where the parameters are that the gradients name. Raises ValueError for a name that is found nowhere."""
    used, given = _copied(net, {}), copied(args)
    loss(used, *given)
    gradients = _gradients(used, backward(used, *given))
    skipped = {*_GRADIENTS, *(name for name, value in _attributes(used).items() if value is gradients)}
    stores = {
        name: value for name, value in _attributes(net).items() if isinstance(value, Mapping) and name not in skipped
    }
    paths = {key: _path(net, stores, key) for key in gradients}
    for name, store in stores.items():
        here = {path[1][1] for path in paths.values() if path[0] == ("attribute", name) and len(path) == 2}
        missing = [key for key, value in store.items() if key not in here and any(True for _ in leaves(value))]
        if here and missing:
            raise ContractError(f"gradient: missing keys {missing} of net.{name}")
    return [_Place(key, path, as_floats(_read(net, path))) for key, path in paths.items()]


def _path(net: Any, stores: Mapping[str, Mapping[Any, Any]], key: Any) -> Path:
    # "dW" is the gradient of W even where an earlier backward has left an attribute dW behind.
    names = [key[1:], key] if isinstance(key, str) and len(key) > 1 and key.startswith("d") else [key]
    for name in names:
        found = [path for path in _candidates(net, stores, name) if _holds_numbers(_read(net, path))]
        preferred = [p for p in found if p[0][1] in _PARAMETERS]
        if len(found) == 1 or len(preferred) == 1:
            return found[0] if len(found) == 1 else preferred[0]
        if found:
            places = ", ".join(f"net{_text(p)}" for p in found)
            first = ".".join(str(step) for _, step in found[0])
            raise ValueError(f"gradient: {key!r} could be {places}; say which with a key such as {first!r}")
    holds = [name for name, value in _attributes(net).items() if _holds_numbers(value) and name not in _GRADIENTS]
    listed = ", ".join(sorted(holds)) or "there are none"
    raise ValueError(
        f"gradient: expected names of attributes with numbers in them ({listed}), "
        f"or of entries of dict attributes, got {key!r}; leave out what is no parameter of the {type(net).__name__}"
    )


def _candidates(net: Any, stores: Mapping[str, Mapping[Any, Any]], name: Any) -> Iterator[Path]:
    if isinstance(name, str) and name in _attributes(net) and name not in stores:
        yield (("attribute", name),)
    for store, entries in stores.items():
        if name in entries:
            yield ("attribute", store), ("item", name)
    if isinstance(name, str) and "." in name and (path := _dotted(net, name)) is not None:
        yield path


def _dotted(net: Any, name: str) -> Path | None:
    """The path of a name such as "layers.0.W"."""
    thing, path = net, []
    for part in name.split("."):
        step = _step(thing, part)
        if step is None:
            return None
        path.append(step)
        thing = _read(thing, (step,))
    return tuple(path)


def _step(thing: Any, part: str) -> Step | None:
    if isinstance(thing, Mapping):
        return ("item", part) if part in thing else None
    if isinstance(thing, list | tuple):
        return ("item", int(part)) if part.isdecimal() and int(part) < len(thing) else None
    return ("attribute", part) if part in _attributes(thing) else None


def _read(thing: Any, path: Path) -> Any:
    for kind, step in path:
        thing = getattr(thing, step) if kind == "attribute" else thing[step]
    return thing


def _write(thing: Any, path: Path, value: Any) -> None:
    owner, (kind, step) = _read(thing, path[:-1]), path[-1]
    if kind == "attribute":
        setattr(owner, step, value)
    else:
        owner[step] = value


def _text(path: Path) -> str:
    return "".join(f".{step}" if kind == "attribute" else f"[{step!r}]" for kind, step in path)


# --- what an object holds -------------------------------------------------------------------------------------------


def _copied(net: Any, instead: dict[int, Any]) -> Any:
    """A deep copy, in which the objects of these ids are replaced wherever they are."""
    try:
        return copy.deepcopy(net, dict(instead))
    except Exception as error:  # of any kind: classes bring their own way of being copied
        raise TypeError(
            f"net: expected an object that copy.deepcopy can copy, got {type(net).__name__} ({error}); "
            "leave open files, locks and generators out of it"
        ) from error


def _attributes(thing: Any) -> dict[str, Any]:
    slots = [name for base in type(thing).__mro__ for name in getattr(base, "__slots__", ())]
    return {**{name: getattr(thing, name) for name in slots if hasattr(thing, name)}, **getattr(thing, "__dict__", {})}


def _arrays(net: Any) -> list[Array]:
    """Every array of floats that an object holds, in containers and in objects of the user's own classes."""
    found: list[Array] = []
    seen: dict[int, Any] = {}
    waiting: list[Any] = [net]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, np.ndarray) and is_float_leaf(thing):
            found.append(thing)
        elif isinstance(thing, Mapping):
            waiting.extend(thing.values())
        elif isinstance(thing, list | tuple):
            waiting.extend(thing)
        elif not isinstance(thing, type) and not is_foreign(type(thing).__module__):
            waiting.extend(_attributes(thing).values())
    return found


def _holds_numbers(value: Any) -> bool:
    return any(True for _ in leaves(as_floats(value)))
