"""The child process in which a submission runs: `python -m oracles.isolated FILE RESULTS DRAWS SEED [SKIP ...]`.

It writes one JSON object on each line of RESULTS, flushed at once, so that the parent knows what was going on when a
subject hangs or takes the process down with it. Whatever the subject prints goes to the child's own output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

from oracles.submission import BrokenSubmissionError, subjects_in, tryings


def main(file: str, results: str, draws: str, seed: str, *skip: str) -> None:
    """Try every subject of a file but those to skip. Events: subjects, broken, trying, tried, done."""
    with open(results, "a", encoding="utf-8") as out:
        path = Path(file)
        try:
            found = subjects_in(path)
        except BrokenSubmissionError as error:
            _tell(out, "broken", reason=str(error))
            return
        _tell(out, "subjects", ids=[s.id for s in found])
        for subject in found:
            if subject.id in skip:
                continue
            _tell(out, "trying", subject=subject.id)
            for trying in tryings(subject, path, int(draws), int(seed)):
                _tell(out, "tried", **trying.as_dict())
        _tell(out, "done")


def _tell(out: TextIO, event: str, **what: Any) -> None:
    out.write(json.dumps({"event": event, **what}) + "\n")
    out.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
