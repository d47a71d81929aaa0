"""Where to look around a point, so that a gradient is shown to be in the hull of its one-sided derivatives, or not.

Being outside of the sides seen so far accuses nobody: the direction that separates the two tells where to look next,
and only what looking on does not bring nearer is called wrong. What is neither shown nor accused stays open.

Sides can be told apart in two entries only if some kink involves both. So the entries fall into groups, such as the
entries of one maximum, or single ones for ReLUs side by side, and the hull is the product of the hulls of the groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from oracles.evaluation import power_of_two
from oracles.kink_sides import Doubt, Surroundings
from oracles.trial import Array

FEW = 32
"""Up to this many coordinates each leads two sides at once."""
_MOST_ACCUSED = 16
"""Larger groups have more sides than can be looked at, so they are never called wrong, only open."""
_DOMINANCE = 2.0**24
"""How much the leading coordinates of a side outweigh the others."""
_SMALLEST = 2.0**-96
"""The smallest coordinate of a side relative to the largest: the squares of these are far below it."""
_FRUITLESS = 2
"""So many rounds of looking in the direction that separates a value from the hull, and finding nothing, accuse it."""
_MIXES = 8

_float: Any = np.frompyfunc(float, 1, 1)


class Search:
    """Looks at sides until each group of entries is shown to be in the hull, or is not brought nearer to it."""

    def __init__(self, near: Surroundings) -> None:
        self.near, self.random = near, near.random
        columns = near.shape[1]
        self.blocks = np.zeros(columns, dtype=np.int64)  # no kink involves two blocks
        self.parts = np.arange(columns)  # nor two parts of a block, once all of its kinked columns have led
        self.led = np.zeros(columns, dtype=bool)
        self.inside: set[tuple[int, tuple[int, ...]]] = set()
        self.fruitless: dict[tuple[int, tuple[int, ...]], int] = {}

    def verdicts(self) -> tuple[list[Doubt], list[Doubt]]:
        """(wrong, open) groups of entries; nothing in either if the gradient is in the hull."""
        self._look_around()
        if not self._doubts(np.zeros_like(self.parts)):  # in the hull as a whole, so whatever the groups are
            return [], []
        if len(self.parts) > FEW:
            self._halve()
        doubts = self._doubts(self._groups())
        while self.near.may_look:
            unled = self._suspects(doubts) & ~self.led
            pending = [d for d in doubts if self.fruitless.get((d.row, d.columns), 0) < _FRUITLESS]
            if unled.any():
                self._lead(unled)
            elif pending:
                self._look_towards(pending)
            elif doubts or self._mixes_agree():
                break
            else:  # then the groups are not what they seem to be
                self.blocks[:] = self.parts[:] = 0
            doubts = self._doubts(self._groups())
        wrong = [d for d in doubts if self._is_accused(d)]
        return wrong, [d for d in doubts if d not in wrong]

    def _is_accused(self, doubt: Doubt) -> bool:
        searched = self.fruitless.get((doubt.row, doubt.columns), 0) >= _FRUITLESS
        return doubt.is_outside and searched and len(doubt.columns) <= _MOST_ACCUSED

    def _look_around(self) -> None:
        """Random sides and their opposites; of few coordinates, each leads; and the side that the claim seems to be."""
        near = self.near
        few = near.shape[1] <= FEW
        for _ in range(4 if few else FEW):
            side = near.draw()
            near.look(side, required=True)
            near.look(-side, required=True)
        if few:
            self._lead(np.ones_like(self.led))
        guess, further = self._guess(), near.draw()
        near.look(guess + further)
        near.look(guess - further)

    def _guess(self) -> Array:
        """The side on which each entry would be what it is at the point, if it depended on its own coordinate only."""
        near = self.near
        found = np.stack([_float(a).astype(np.float64) for a in near.around])
        low, high, value = found.min(axis=0), found.max(axis=0), _float(near.at_point).astype(np.float64)
        ascent = np.sum(np.sign(np.stack(near.sides)) * (found - (low + high) / 2), axis=0)
        lean = value - (low + high) / 2
        towards = np.where(np.abs(lean) > 0.3 * (high - low), np.sign(lean) * np.sign(ascent), 0.0)
        if near.layout.shared_columns.any():
            towards = np.broadcast_to(np.sign(np.sum(towards, axis=0)), near.shape)
        return near.fitting(_DOMINANCE * self.random.uniform(1, 2, near.shape) * towards)

    # --- groups -----------------------------------------------------------------------------------------------------

    def _groups(self) -> Array:
        """(n,) one number for each group of columns."""
        rest = self._kinked_columns() & ~self.led
        unknown = np.isin(self.blocks, self.blocks[rest])
        groups: Array = np.unique(np.where(unknown, -1 - self.blocks, self.parts), return_inverse=True)[1]
        return groups

    def _kinked_columns(self) -> Array:
        columns: Array = np.any(self.near.kinked() | self.near.outside(), axis=0)
        return columns

    def _suspects(self, doubts: Sequence[Doubt]) -> Array:
        """(n,) bool: the kinked columns of all blocks that have a doubt."""
        columns = sorted({column for doubt in doubts for column in doubt.columns})
        return np.isin(self.blocks, self.blocks[columns]) & self._kinked_columns()

    def _halve(self) -> None:
        """Halve each block while no kink involves both halves: one of them outweighs the other, up and down."""
        position = np.arange(len(self.blocks))
        whole = np.zeros(len(self.blocks), dtype=bool)
        for bit in reversed(range((len(position) - 1).bit_length())):
            upper = (position >> bit & 1).astype(bool)
            changed = self._changed_by(upper, True) | self._changed_by(upper, False)
            coupled = np.bincount(self.blocks, weights=changed & ~upper)[self.blocks] > 0
            whole |= coupled
            self.blocks = np.unique(2 * self.blocks + (upper & ~whole), return_inverse=True)[1]

    def _lead(self, columns: Array) -> None:
        """Each of these columns outweighs the others of its block, up and down; it is joined with what changes then."""
        waiting = columns.copy()
        while waiting.any():
            leaders = np.flatnonzero(waiting)[np.unique(self.blocks[waiting], return_index=True)[1]]
            changed = self._changed_by(np.isin(np.arange(len(waiting)), leaders), True)
            for leader in leaders:
                joined = changed & (self.blocks == self.blocks[leader])
                joined[leader] = True
                self.parts[np.isin(self.parts, self.parts[joined])] = self.parts[leader]
            waiting[leaders] = False
            self.led[leaders] = True

    def _changed_by(self, leading: Array, coherent: bool) -> Array:
        """(n,) bool: what changes when these columns, far larger than the others, change sign (all if not known)."""
        side = self.near.draw()
        ahead = _DOMINANCE * (np.abs(side) if coherent else side)
        up = self.near.look(np.where(leading, ahead, side)) if self.near.may_look else None
        down = self.near.look(np.where(leading, -ahead, side)) if self.near.may_look else None
        return np.ones_like(leading) if up is None or down is None else self.near.changed(up, down)

    def _mixes_agree(self) -> bool:
        """Whether sides put together from two others, group by group, have the derivatives of these."""
        near, groups = self.near, self._groups()
        for _ in range(_MIXES):
            i, j = self.random.choice(len(near.sides), 2, replace=False)
            first = self.random.integers(0, 2, groups.max() + 1).astype(bool)[groups]
            found = near.look(np.where(first, near.sides[i], near.sides[j]))
            if found is not None and near.changed(found, np.where(first, near.around[i], near.around[j])).any():
                return False
        return True

    # --- doubts -----------------------------------------------------------------------------------------------------

    def _doubts(self, groups: Array) -> list[Doubt]:
        """The groups of entries that are not shown to be in the hull."""
        found: list[Doubt] = []
        outside = self.near.outside()
        kinked = self.near.kinked() | outside
        for row, of_row in enumerate(kinked):
            columns = np.flatnonzero(of_row)
            for group in np.unique(groups[columns]):
                members = columns[groups[columns] == group]
                key = (row, tuple(members.tolist()))
                if key in self.inside or (len(members) == 1 and not outside[row, members[0]]):
                    continue
                if (doubt := self.near.doubt(*key)) is not None:
                    found.append(doubt)
                else:
                    self.inside.add(key)
        return found

    def _look_towards(self, doubts: Sequence[Doubt]) -> None:
        """Look from the sides that may bring the hull nearer to values that seem to be outside, and count failures."""
        shared = self.near.layout.shared_columns.any()
        for row in sorted({doubt.row for doubt in doubts}) if shared else [None]:
            now = [doubt for doubt in doubts if row in (None, doubt.row)]
            proposals = [list(self._proposals(doubt)) for doubt in now]
            for i in range(max(map(len, proposals))):
                side = self.near.draw()
                for doubt, proposed in zip(now, proposals, strict=True):
                    if i < len(proposed):
                        side[slice(None) if shared else doubt.row, list(doubt.columns)] = proposed[i]
                if self.near.may_look:
                    self.near.look(self.near.fitting(side))
        if not self.near.may_look:
            return
        for doubt in doubts:
            key = (doubt.row, doubt.columns)
            again = self.near.doubt(*key)
            nearer = again is None or again.distance < 0.999 * doubt.distance
            self.fruitless[key] = 0 if nearer else self.fruitless.get(key, 0) + 1

    def _proposals(self, doubt: Doubt) -> Iterator[Array]:
        """Coordinates (k,) of sides whose derivatives may lie beyond the hull, in the direction of a value outside it.

        The direction itself and its opposite (for maxima and minima), what a linear model of the sides seen suggests
        (for ReLUs), all of a parameter up or down, and the best side so far with one coordinate reversed or leading.
        """
        near, columns, k = self.near, list(doubt.columns), len(doubt.columns)
        sides = np.stack([side[doubt.row, columns] for side in near.sides])
        found = np.stack([a[doubt.row, columns] for a in near.around]) * power_of_two(-doubt.exponents)
        found = _float(found).astype(np.float64)
        u = doubt.direction
        model = np.sign(sides).T @ (found - found.mean(axis=0)) @ u
        for towards in (u, model):
            for sign in (1.0, -1.0):
                yield self._spread(sign * towards)
                yield self._spread(sign * np.sign(towards))
        parameters = np.repeat(np.arange(len(near.layout.sizes)), near.layout.sizes)[columns]
        kinds = np.unique(parameters, return_inverse=True)[1]
        count = int(kinds.max()) + 1
        for _ in range(min(4 * count, 16) if k > 1 else 0):
            order, signs = self.random.permutation(count) % 4, self.random.choice([-1.0, 1.0], count)
            yield self._spread((signs * _DOMINANCE**order)[kinds])
        best = sides[np.argmax(found @ u)]
        best = best / np.max(np.abs(best))
        for j in self.random.permutation(k)[: FEW // 2 if k > 1 else 0]:
            for value in (-best[j], _DOMINANCE, -_DOMINANCE):
                yield self._spread(np.where(np.arange(k) == j, value, best))

    def _spread(self, coordinates: Array) -> Array:
        """These coordinates, none tied with another and none zero, the largest about 1."""
        largest = np.max(np.abs(coordinates), initial=np.finfo(np.float64).tiny)
        sizes = np.maximum(np.abs(coordinates) / largest, _SMALLEST) * self.random.uniform(1, 2, coordinates.shape)
        signs = np.where(coordinates == 0, self.random.choice([-1.0, 1.0], coordinates.shape), np.sign(coordinates))
        spread: Array = signs * sizes
        return spread
