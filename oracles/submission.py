"""A file with somebody's subjects: importing it, and trying each subject in it at every draw."""

from __future__ import annotations

import importlib.util
import sys
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from oracles.checking import Verdict, examine
from oracles.graph_agreement import graph_findings
from oracles.registration import Subject

SCALES = (1.0, 0.1, 3.0, 0.01, 30.0)
"""Of the draws in turn: the last shows overflow."""


class BrokenSubmissionError(Exception):
    """A file that gives no subjects; the message says why."""


@dataclass(frozen=True)
class Trying:
    """What one draw of one subject came to. `outcome` is right, compared, undecided, wrong or broken."""

    subject: str
    draw: str
    outcome: str
    evidence: str
    digits: float | None = None
    """Certified, where it is."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def subjects_in(path: Path) -> list[Subject]:
    """The `Subject`s that a Python file defines at its top level, in order. Raises BrokenSubmissionError."""
    module = _imported(path)
    found = [value for value in vars(module).values() if isinstance(value, Subject)]
    listed = [s for value in vars(module).values() if isinstance(value, list | tuple) for s in value]
    found += [s for s in listed if isinstance(s, Subject)]
    unique = list(dict.fromkeys(found))
    if not unique:
        raise BrokenSubmissionError("defines no Subject; write `from oracles import Subject` and name one at top level")
    ids = [s.id for s in unique]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise BrokenSubmissionError(f"two subjects are called {', '.join(twice)}; give each an id of its own")
    return unique


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"submission_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BrokenSubmissionError("is not a Python file; give a .py file that defines a Subject")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))  # so that it finds its neighbours, as it does when run
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever the file does is an answer about the file
        raise BrokenSubmissionError(f"cannot be imported: {described(error, path)}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def tryings(subject: Subject, path: Path, draws: int, seed: int) -> Iterator[Trying]:
    """One result for each draw; a subject that raises is broken at that draw, and nothing is raised here."""
    for i in range(min(draws, subject.draws or draws)):
        scale = SCALES[i % len(SCALES)]
        draw = f"scale{scale:g}-draw{i // len(SCALES)}"
        try:
            yield _tried(subject, draw, scale, zlib.crc32(f"{seed}-{draw}".encode()))
        except Exception as error:
            yield Trying(subject.id, draw, "broken", described(error, path))


def _tried(subject: Subject, draw: str, scale: float, seed: int) -> Trying:
    args = subject.drawn(np.random.default_rng(seed), scale)
    verdict = examine(lambda given: subject.trial(given, seed), args, subject.id, seed)
    if subject.graph is not None and not verdict.wrong:
        more = graph_findings(subject, args, seed)
        verdict = Verdict(verdict.subject, (*verdict.findings, *more), verdict.certificate, verdict.agreement)
    digits = verdict.certificate.digits if verdict.certified and verdict.certificate else None
    return Trying(subject.id, draw, _outcome(verdict), str(verdict), digits)


def _outcome(verdict: Verdict) -> str:
    if verdict.wrong:
        return "wrong"
    if not verdict.ok:
        return "undecided"
    return "right" if verdict.certified else "compared"


def described(error: BaseException, path: Path) -> str:
    """The error, and the last line of the file at `path` that was on its way."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return f"{text} at line {error.lineno}" if error.lineno and "line" not in str(error) else text
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f"{text} at line {frames[-1].lineno}, in {frames[-1].name}: {frames[-1].line}" if frames else text
