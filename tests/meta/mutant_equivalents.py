"""The mutants that are none: each for which there is evidence, with a reason that a reader can follow."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from oracles.mutation import Mutant
from oracles.mutation_equivalence import Evidence
from tests.meta.mutant_suite import Derivation, Judgement, Refused, Rule

SAME = {
    "product_plus_backward": ["dd dc dab", "db a", "da b"],
    "squared_weight_backward": ["df dsecond dfirst", "dx2 w2", "dw2 x2"],
    "neuron_backward": ["dn db dx1w1x2w2 dx2w2 dx1w1"],
    "backward": ["dz2 db2", "dz1 db1"],
}
"""Names of a function that hold the same numbers, the derivative of the value by itself being 1: to exchange them is
no mistake."""

NONE_AT_ALL = {
    "nine_weight_stable": {
        "it is used twice in each product": ["backward:flip-sign of sech", "backward:flip-sign of slope"],
        "the sign of a sech, which is used twice in each product": [
            "_sech:flip-sign of e",
            "_sech:flip-sign of return",
        ],
    },
    "square_of_line": {
        "the derivative of the value by itself is 1": ["drop-factor dy"],
        "1 is a number of float32": ["float32 dy"],
    },
    "quadratic": {
        "the derivative of the value by itself is 1": ["drop-factor dy"],
        "1 is a number of float32": ["float32 dy"],
    },
    "product_plus": {
        "the derivative of the value by itself is 1": ["drop-factor dab", "drop-factor dab"],
        "1 is a number of float32": ["float32 dd"],
        "ones of the same shape": ["exchange-name a for d", "exchange-name b for d"],
        "both are 1": ["swap-returns dd with dc", "swap-returns dc with dab"],
    },
    "squared_weight": {
        "the derivative of the value by itself is 1": [
            *("drop-factor dsecond", "drop-factor dfirst", "drop-factor dsecond", "drop-factor dfirst")
        ],
        "1 is a number of float32": ["float32 df"],
        "ones of the same shape": [f"exchange-name {name} for f" for name in ("w1", "w2", "x1", "x2")],
        "both are 1": ["swap-returns df with dsecond", "swap-returns dsecond with dfirst"],
    },
    "neuron": {
        "the derivative of the value by itself is 1": ["drop-factor do"],
        "1 is a number of float32": ["float32 do"],
        "ones of the same shape": [f"exchange-name {name} for o" for name in ("x1", "x2", "w1", "w2")],
    },
    "tiny_network": {"relu(z1) is above 0 where z1 is": ["backward:exchange-name a1 for z1"]},
    "clipped_slope": {
        "any number but 0 is true": [
            "extra-factor 2 in inside",
            *(f"scale-result inside by 1e-{n}" for n in (4, 6, 8, 10, 12)),
            "float32 inside",
        ],
        "only at the ends of the clip themselves, where the loss has a kink": [
            *("comparison > to >=", "comparison < to <=")
        ],
    },
    "MLP": {
        "once more after the first layer, for nothing": [
            "MLP.backward:shift-constant 0 to -1",
            "MLP.backward:exchange-name m for layer",
            "MLP.backward:comparison > to >=",
        ],
        "pack flattens it anyway": ["MLP.backward:keepdims keepdims=True dropped"],
        "small whole numbers are numbers of float32": ["MLP.backward:float32 m", "slope of relu:float32 return"],
        "relu(Z) is above 0 where Z is": ["slope of relu:exchange-name A for Z"],
        "a tuple is made anew": ["unpack:in-place sizes doubled at the end"],
    },
    "Value.__pow__": {
        "0 x is 0, as is 0 x^0": ["shift-constant 0 to 1"],
        "an array's own .data is its memory, which NumPy reads as an array": [
            *("exchange-name other for b", "exchange-name other for b")
        ],
        "its kind is asked for, not its value": ["ignore-upstream other", "ignore-upstream other #2"],
    },
    "Value.relu": {"True counts as 1": ["swap-operator * to /", "drop-factor 1.0"]},
    "Value.backward": {
        "what has been seen is in order by then, or nothing under it is": ["topological:exchange-name order for seen"],
        "neither needs the other": ["topological:swap-statements with the next"],
        "a node is made anew": ["topological:in-place root doubled at the end"],
        "its kind is asked for, not its value": ["as_value:ignore-upstream number"],
    },
    "rmsprop": {
        "nobody reads the mean of a rule that is not centered": [
            f"exchange-name state.{name} for state.mean #2" for name in ("v", "velocity", "step")
        ],
    },
    "adam": {"a tuple is made anew": ["in-place state doubled at the end"]},
    "adamw": {"twice a flag is as true": ["in-place maximize doubled at the end"]},
    "adamax": {"small whole numbers are numbers of float32": ["float32 t"]},
    "radam": {
        "the limit of ρ is the same in every step": ["stale-cache limit"],
        "a tuple is made anew": ["in-place state doubled at the end", "in-place state doubled at the end"],
        "ρ is never 5": ["comparison <= to <"],
    },
    "asgd": {
        "a + (w - a) is w, but for rounding": ["shift-constant 1 to 2", "shift-constant 1 to 0"],
        "small whole numbers are numbers of float32": ["float32 t"],
    },
    "rprop": {
        "only its sign counts": [
            "extra-factor 2 in agreement",
            *(f"scale-result agreement by 1e-{n}" for n in (4, 6, 8, 10, 12)),
            "float32 agreement",
        ],
    },
    "nadam": {"a number is made anew": ["mu:in-place t doubled at the end"]},
    "_coupled": {
        "a weight decay below 0 is refused": ["shift-constant 0 to -1"],
        "a flag is made anew": ["in-place maximize doubled at the end"],
    },
    "_decayed": {
        "0 times anything is 0": [
            f"exchange-name {name} for params #2"
            for name in ("gradient", "weight_decay", "maximize", "decoupled", "learning_rate")
        ],
        "a flag or number is made anew": [
            *(f"in-place {name} doubled at the end" for name in ("maximize", "decoupled")),
            *(f"in-place {name} doubled at the end" for name in ("maximize", "decoupled", "learning_rate")),
        ],
    },
    "_moments": {
        "small whole numbers are numbers of float32": ["float32 return 0"],
        "a number is made anew": ["in-place beta1 doubled at the end", "in-place beta2 doubled at the end"],
    },
}
"""Subject -> why -> mutants without their lines, once for each."""


def label(subject: Derivation | Rule, mutant: Mutant) -> str:
    """The id without its line, and without the function where a subject has but one."""
    function, _, mistake = re.split(r":(L\d+):", mutant.id)
    if function.startswith("lambda_"):
        function = "slope of relu" if "np.where" in mutant.source_line else "slope"
    return mistake if len(subject.functions) == 1 else f"{function}:{mistake}"


def exchanges_the_same(mutant: Mutant) -> bool:
    groups = SAME.get(mutant.id.split(":")[0], [])
    return mutant.operator == "exchange-name" and any({mutant.before, mutant.after} <= {*g.split()} for g in groups)


def complaints(subject: Derivation | Rule, judged: Sequence[tuple[Mutant, Judgement]]) -> Iterator[str]:
    """Survivors by name, with what they change; claims that no list knows; and what a list knows and nobody claims."""
    yield from (f"survives: {mutant}" for mutant, judgement in judged if judgement is None)
    refused = (mutant for mutant, judgement in judged if isinstance(judgement, Refused))
    yield from (f"said to exchange the same, and refused: {mutant}" for mutant in refused if exchanges_the_same(mutant))
    known = Counter(mistake for mistakes in NONE_AT_ALL.get(subject.id, {}).values() for mistake in mistakes)
    for mutant, evidence in judged:
        if isinstance(evidence, Evidence) and not exchanges_the_same(mutant):
            known.subtract([label(subject, mutant)])
            if known[label(subject, mutant)] < 0:
                yield f"claimed to be equivalent, which no list knows: {mutant}\n    {evidence}"
    yield from (f"said to be equivalent, and not claimed: {mistake}" for mistake in (+known).elements())
