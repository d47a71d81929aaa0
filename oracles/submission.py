"""A file with somebody's subjects: importing it, and trying a subject in it at its draws."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
import traceback
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from oracles.certificate import Ruling
from oracles.checking import Finding, Result, Verdict, cause_of, examine
from oracles.graph_agreement import graph_findings
from oracles.registration import Subject

SCALES = (1.0, 0.1, 3.0, 0.01, 30.0)
"""Of the draws in turn: the last shows overflow."""
OUTCOMES = ("broken", "wrong", "undecided", "compared", "right")
"""From the worst to the best. `compared` is right as far as differences can tell, where balls cannot run the code."""
_LONGEST = 400
"""Characters of a subject's own message that are passed on."""


class BrokenSubmissionError(Exception):
    """A file that gives no subjects; the message says why."""


@dataclass(frozen=True)
class Draw:
    """A point to try a subject at: weights of the size `scale`, drawn from `seed`."""

    id: str
    scale: float
    seed: int


@dataclass(frozen=True)
class DrawResult:
    """What one draw of one subject came to: one of OUTCOMES, and why."""

    subject: str
    draw: str
    outcome: str
    evidence: str
    digits: float | None = None
    """Certified, where it is."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def draws_of(subject: Subject, count: int, seed: int) -> list[Draw]:
    """`count` draws, or as many as the subject takes at most, the SCALES in turn; the same for every subject."""
    names = [(f"scale{SCALES[i % len(SCALES)]:g}-draw{i // len(SCALES)}", i) for i in range(count)]
    return [Draw(n, SCALES[i % len(SCALES)], zlib.crc32(f"{seed}-{n}".encode())) for n, i in names[: subject.draws]]


def subjects_in(path: Path) -> list[Subject]:
    """The `Subject`s that a Python file has at its top level, also in lists, tuples and dicts there, in order.

    Imports the file, in whatever state that leaves this process: meant for one that does nothing else. Raises
    BrokenSubmissionError.
    """
    found = {id(s): s for value in vars(_imported(path)).values() for s in _subjects(value)}
    if not found:
        raise BrokenSubmissionError("defines no Subject; write `from oracles import Subject` and name one at top level")
    ids = [s.id for s in found.values()]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise BrokenSubmissionError(f"two subjects are called {', '.join(twice)}; give each an id of its own")
    return list(found.values())


def _subjects(value: object) -> Iterator[Subject]:
    if isinstance(value, Mapping):
        value = list(value.values())
    yield from (s for s in (value if isinstance(value, list | tuple) else [value]) if isinstance(s, Subject))


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"submission_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BrokenSubmissionError("is not a Python file; give a .py file that defines a Subject")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # SystemExit too: whatever the file does is an answer about the file
        raise BrokenSubmissionError(f"cannot be imported: {described(error, path)}") from error
    return module


def results_at(draw: Draw, subject: Subject, path: Path) -> Iterator[DrawResult]:
    """The result of one draw; of one that is proved wrong then another, with the cause, which takes its time to find.

    What the subject raises, SystemExit included, makes it broken; nothing is raised here.
    """
    random.seed(draw.seed)
    np.random.seed(draw.seed)  # noqa: NPY002  (subjects may draw from the global generators: the same ones every time)
    own = draw.seed + 1  # were it the draw's own, a layer's cotangents would be its first argument over again
    try:
        args = subject.drawn(np.random.default_rng(draw.seed), draw.scale)
        verdict = examine(lambda given: subject.trial(given, own), args, subject.id, own, diagnosed=False)
        if subject.graph is not None and not verdict.wrong:
            verdict = _with(verdict, *graph_findings(subject, args, own))
    except BaseException as error:  # see above
        yield DrawResult(subject.id, draw.id, "broken", described(error, path))
        return
    yield _result(subject, draw, verdict)
    if verdict.certificate is not None and verdict.certificate.ruling is Ruling.WRONG:
        try:
            cause = cause_of(subject.trial(args, own), verdict.certificate)
        except BaseException as error:  # of edited code, or in a process that the subject has spoilt
            cause = Finding("diagnosis", Result.NOTE, f"the search for it ended: {described(error, path)}")
        yield _result(subject, draw, _with(verdict, cause))


def _with(verdict: Verdict, *more: Finding) -> Verdict:
    return replace(verdict, findings=(*verdict.findings, *more))


def _result(subject: Subject, draw: Draw, verdict: Verdict) -> DrawResult:
    digits = verdict.certificate.digits if verdict.certified and verdict.certificate else None
    return DrawResult(subject.id, draw.id, _outcome(verdict), str(verdict), digits)


def _outcome(verdict: Verdict) -> str:
    if verdict.wrong:
        return "wrong"
    if not verdict.ok:
        return "undecided"
    return "right" if verdict.certified else "compared"


def described(error: BaseException, path: Path) -> str:
    """The error in one line, and the last line of the file at `path` that was on its way."""
    try:
        message = str(error)
    except Exception:  # the subject's own exception class
        message = "(its message cannot be read)"
    text = in_one_line(f"{type(error).__name__}: {message}".rstrip(": "))
    if isinstance(error, SyntaxError):
        return f"{text} at line {error.lineno}" if error.lineno and "line" not in message else text
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f"{text}, {place(frames[-1].lineno, frames[-1].name, frames[-1].line)}" if frames else text


def place(line: int | None, function: str, source: str | None) -> str:
    """Such as `at line 9, in backward: dx = 1 / 0`."""
    return f"at line {line}, in {function}: {source}" if source else f"at line {line}, in {function}"


def in_one_line(text: str) -> str:
    """A message without line breaks, without addresses, which differ from run to run, and not too long."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.split()))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
