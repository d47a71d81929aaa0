"""Options, fixtures, and the registry of subjects: a new subject is one row of SUBJECTS."""

from __future__ import annotations

import os

# One thread per worker, on the CPU, in float64: set before anything numerical is imported.
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
    NPROC="1",
    JAX_PLATFORMS="cpu",
    JAX_ENABLE_X64="1",
    JAX_NUMPY_DTYPE_PROMOTION="strict",
    JAX_NUMPY_RANK_PROMOTION="raise",
)

import platform
from collections.abc import Generator, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from manual import chain_rule, nine_weight, nine_weight_stable, nine_weight_values
from oracles.report import github, save, write_report
from tests.gate import subjects
from tests.gate.cases import describe
from tests.gate.configurations import CONFIGURATIONS
from tests.gate.draws import SCALES, draws
from tests.gate.results import results_of
from tests.gate.submissions import submissions
from tests.gate.summary import aligned, tables
from tests.gate.verdicts import PROPERTY

FRAMEWORKS = ["torch_autograd", "jax_grad"]
ORACLES = [*FRAMEWORKS, "complex_step", "central_difference", "richardson"]
GATE = Path(__file__).parent / "tests" / "gate"
STEP_SUMMARY = os.environ.pop("GITHUB_STEP_SUMMARY", "")
"""Where GitHub wants a Markdown summary. Taken away, since tests run gates of their own whose verdicts are no news."""


def _functions(module: Any) -> tuple[Any, Any]:
    """Loss and gradient of a form of the nine-weight graph."""
    forward, loss_and_gradient = module.forward, module.loss_and_gradient  # in reach of the lifting and the diagnosis
    return (lambda w, x, y: forward(w, x, y)[0]), (lambda w, x, y: loss_and_gradient(w, x, y)[1])


NINE_WEIGHT = subjects.nine_weight("nine_weight", *_functions(nine_weight))
SUBJECTS = [
    NINE_WEIGHT,
    subjects.nine_weight(
        "nine_weight_stable", *_functions(nine_weight_stable), rounds_unlike=NINE_WEIGHT, promised_digits=11
    ),
    subjects.nine_weight(
        "nine_weight_values",
        nine_weight_values.loss,
        nine_weight_values.gradient,
        draws=16,
        rounds_unlike=NINE_WEIGHT,
        promised_digits=11,
    ),
    *(subjects.worked_example(example) for example in chain_rule.EXAMPLES),
    subjects.tiny(),
    subjects.network((2, 8, 8, 1), "relu", "cross_entropy"),
    subjects.network((2, 8, 8, 1), "tanh", "cross_entropy"),
    subjects.network((2, 8, 8, 1), "sigmoid", "mse"),
]


def _count(text: str) -> int:
    """A whole number of at least 1, for an option."""
    if not text.isdecimal() or int(text) < 1:
        raise pytest.UsageError(f"--draws: expected a whole number of at least 1, got {text!r}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise pytest.UsageError(f"--seed: expected a whole number of at least 0, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise pytest.UsageError(f"--time-limit: expected a positive number of seconds, got {text!r}")
    return seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("backproof")
    group.addoption(
        "--draws",
        type=_count,
        default=64,
        metavar="N",
        help=f"weight draws in the trial, the scales {', '.join(map(str, SCALES))} in turn (64)",
    )
    group.addoption(
        "--subject",
        action="append",
        default=[],
        metavar="FILE",
        help="a Python file that defines Subjects, or a glob of them: put on trial by themselves; repeatable",
    )
    group.addoption(
        "--time-limit",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="seconds after which a --subject that has given no further result is stopped (60)",
    )
    group.addoption("--results", type=Path, metavar="FILE", help="write one JSON record per subject and check")
    group.addoption(
        "--report", type=Path, metavar="DIR", help="write results.json and the page index.html that shows them"
    )
    group.addoption("--seed", type=_seed, default=0, metavar="N", help="moves every draw of the trial (0)")


def pytest_configure(config: pytest.Config) -> None:
    submissions(config.option.subject)  # a pattern that matches nothing is told before anything runs


def pytest_report_header(config: pytest.Config) -> str:
    draws_and_seed = f"draws {config.option.draws}, seed {config.option.seed}"
    return f"backproof: {draws_and_seed}, float64, one thread per worker; {_environment()}"


def _environment() -> str:
    names = ("numpy", "torch", "jax", "python-flint")
    return f"{', '.join(f'{name} {_version(name)}' for name in names)}; {platform.machine()}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --subject the gate tries the submissions alone: the house's own subjects are no news then."""
    if collection_path == GATE / "test_figures.py" and not config.option.report:
        return True
    if collection_path.parent == GATE and collection_path.name.startswith("test_"):
        return (collection_path.name == "test_submissions.py") != bool(config.option.subject) or None
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every gate test runs for every subject, oracle, draw and optimizer that it asks for by these names."""
    if not metafunc.definition.path.is_relative_to(GATE):
        return
    option = metafunc.config.option
    rows: dict[str, list[Any]] = {
        "oracle": [pytest.param(name, id=name) for name in ORACLES],
        "framework": [pytest.param(name, id=name) for name in FRAMEWORKS],
        "configuration": [pytest.param(c, id=c.id) for c in CONFIGURATIONS],
    }
    if "submission" in metafunc.fixturenames:
        rows["submission"] = [pytest.param(item, id=item[0]) for item in submissions(option.subject).items()]
    for name in [n for n in metafunc.fixturenames if n in rows]:
        metafunc.parametrize(name, rows[name])
    if "subject" in metafunc.fixturenames:
        trials = [(s, d) for s in SUBJECTS for d in draws(min(option.draws, s.draws or option.draws), option.seed)]
        metafunc.parametrize(("subject", "draw"), [pytest.param(s, d, id=f"{s.id}-{d.id}") for s, d in trials])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Certificates at scale 3 take ten times as long as at 0.01, so idle workers take tests from busy ones."""
    from xdist.scheduler import WorkStealingScheduling  # only where xdist asks for it

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.failed:
        describe(item, report)
    return report


@pytest.fixture
def frameworks() -> list[str]:
    return FRAMEWORKS


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    value: int = request.config.option.seed
    return value


@pytest.fixture(autouse=True)
def _globals_restored() -> Iterator[None]:
    """Global state that a test may have changed is put back after it."""
    errors, printing = np.geterr(), np.get_printoptions()
    yield
    np.seterr(**errors)
    np.set_printoptions(**printing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [r for group in terminalreporter.stats.values() for r in group if isinstance(r, pytest.TestReport)]
    records: list[Any] = [
        value for r in reports if r.when == "call" for name, value in r.user_properties if name == PROPERTY
    ]
    for title, rows in tables(records, config.get_terminal_writer().fullwidth):
        terminalreporter.section(title, sep="-")
        for line in aligned(rows):
            terminalreporter.write_line(line)
    results = results_of(reports, config.option.draws, config.option.seed, _environment())
    if config.option.results:
        save(results, config.option.results)
    if config.option.report:
        page = write_report([results], config.option.report)
        terminalreporter.write_line(f"report: {page}")
    if STEP_SUMMARY:
        with Path(STEP_SUMMARY).open("a", encoding="utf-8") as step_summary:  # other steps have written to it
            step_summary.write(github.summary(results))
        for line in github.error_commands(results):
            terminalreporter.write_line(line)
