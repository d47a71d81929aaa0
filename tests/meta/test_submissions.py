"""Whatever a submitted file does, each of its subjects gets a verdict or an explanation, and other files theirs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from oracles.isolation import FileResult, try_file
from tests.gate.submissions import submissions
from tests.gate.summary import aligned, tables
from tests.meta import hidden_mistakes
from tests.meta.submission_files import IMPORTS, right_files

ROOT = Path(__file__).parents[2]
LIMIT = 30.0
"""Seconds for what ends by itself, however busy the machine is; what does not end is given SHORT."""
SHORT = 3.0
DRAWS = 2
CUBE = (
    IMPORTS
    + """def loss(x):
    return np.sum(x**3)


def gradient(x):
    return 3 * x**2


RIGHT = Subject("right", loss, gradient, [("n", 2)])
"""
)


def tried(folder: Path, text: str, draws: int = DRAWS, limit: float = LIMIT) -> FileResult:
    path = folder / "subject.py"
    path.write_text(text)
    return try_file(path, draws, 0, limit)


# --- what a gradient does ---------------------------------------------------------------------------------------------


class Hostile(NamedTuple):
    """The body of `bad(x)`, and what is said of it."""

    body: str
    outcome: str
    message: str
    limit: float = LIMIT


AT = r", at line \d+, in bad: "
HOSTILE = {
    "endless-loop": Hostile("while True: x = x", "broken", f"gives no result within 3 seconds{AT}while True", SHORT),
    "endless-on-balls": Hostile(
        "while not isinstance(x, np.ndarray): x = x\n    return 3 * x**2",
        "broken",
        f"gives no result within 3 seconds{AT}while not",
        SHORT,
    ),
    "stopped-itself": Hostile(
        "import os; os.kill(os.getpid(), 19)", "broken", "^gives no result within 3 seconds$", SHORT
    ),
    "segmentation-fault": Hostile(
        "import ctypes; ctypes.string_at(0)", "broken", f"^ends its process by signal SIGSEGV{AT}import ctypes"
    ),
    "killed": Hostile("import os; os.kill(os.getpid(), 9)", "broken", "^ends its process by signal SIGKILL$"),
    "os-exit-0": Hostile("import os; os._exit(0)", "broken", "^ends its process with code 0$"),
    "sys-exit": Hostile("import sys; sys.exit(0)", "broken", f"^SystemExit: 0{AT}import sys; sys.exit"),
    "keyboard-interrupt": Hostile("raise KeyboardInterrupt", "broken", f"^KeyboardInterrupt{AT}raise"),
    "raises": Hostile("return {}['W']", "broken", f"^KeyError: 'W'{AT}return {{}}"),
    "message-from-hell": Hostile(
        r"raise ValueError('\x1b[2J\udc80\n' + 'y' * 10**6)", "broken", r"^ValueError: \\x1b\[2J\\udc80 y{100,400}…, at"
    ),
    "recursion": Hostile("return bad(x)", "broken", f"^RecursionError: .*{AT}return bad"),
    "memory": Hostile("return np.ones(2**30)", "broken", f"^MemoryError: Unable to allocate 8.00 GiB.*{AT}return"),
    "reads-stdin": Hostile("input()", "broken", f"^EOFError: .*{AT}input"),
    "patches-numpy": Hostile(
        "np.sum = np.array_equal = None; return 3 * x**2", "broken", "^TypeError: 'NoneType' object is not callable"
    ),
    "prints-without-end": Hostile(
        "while True: print('x' * 10**6)", "broken", f"^prints more than 64 MB{AT}while True: print"
    ),
    "mutated-input": Hostile("x *= 3; return x * x / 3", "wrong", r"changed in place: args\[0\]"),
    "global-state": Hostile(
        "bad.calls = getattr(bad, 'calls', 0) + 1; return 3 * x**2 * bad.calls",
        "wrong",
        "a second run on the same inputs",
    ),
    "randomness": Hostile(
        "return 3 * x**2 * (1 + 1e-12 * np.random.rand())", "wrong", "a second run on the same inputs gives other bits"
    ),
    "wrong-shape": Hostile("return np.ones(2)", "wrong", r"gradient of x: expected shape \(\d, 2\), got \(2,\)"),
    "transposed": Hostile("return 3 * x.T**2", "wrong", r"expected shape \(\d, 2\), got \(2, \d\)|proved wrong"),
    "wrong-dtype": Hostile(
        "return (3 * x**2).astype('f4')", "wrong", "gradient of x: expected dtype float64, got float32"
    ),
    "whole-numbers": Hostile("return np.ones(x.shape, int)", "wrong", "expected dtype float64, got int64"),
    "list": Hostile("return (3 * x**2).tolist()", "wrong", "gradient: expected an array or a number, got list"),
    "tuple-of-one": Hostile("return (3 * x**2,)", "wrong", "expected an array, got a tuple of one; return it without"),
    "nothing": Hostile("3 * x**2", "wrong", "gradient: expected an array or a number, got NoneType"),
    "nan": Hostile(
        "dx = 3 * x**2; dx[0, 1] = np.nan; return dx", "wrong", r"the loss is finite and the gradient is not: x\[0, 1\]"
    ),
}
"""Every one of these has a right neighbour in its file."""


def hostile_file(name: str) -> str:
    body = HOSTILE[name].body
    return f'{CUBE}\n\ndef bad(x):\n    {body}\n\n\nBAD = Subject("{name}", loss, bad, [("n", 2)])\n'


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_gradient_is_explained_and_its_neighbour_is_tried(name: str, tmp_path: Path) -> None:
    expected = HOSTILE[name]
    neighbour, subject = tried(tmp_path, hostile_file(name), limit=expected.limit).subjects
    assert subject.subject == name
    assert (subject.worst.outcome, subject.worst.draw) == (expected.outcome, "scale1-draw0")
    assert re.search(expected.message, subject.worst.evidence), subject.worst.evidence
    assert (neighbour.worst.outcome, len(neighbour.draws)) == ("right", DRAWS)


HARMLESS = {
    "global-settings": "import os, sys, warnings; np.seterr(all='raise'); np.random.seed(0); os.chdir('/'); "
    "sys.path.clear(); warnings.simplefilter('error'); sys.setrecursionlimit(10**6); sys.stdout.close()",
    "endless-thread": "import threading; threading.Thread(target=threading.Event().wait).start()",
    "endless-exit-handler": "import atexit, threading; atexit.register(threading.Event().wait)",
    "writes-beside-itself": "open(__file__ + '.txt', 'w').write('here')",
    "looks-at-argv": "import sys; assert sys.argv == [__file__]",
    "prints": "print('x' * 10**6)",
}


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless_in_a_process_of_its_own_is_no_offence(name: str, tmp_path: Path) -> None:
    odd = f"def odd(x):\n    {HARMLESS[name]}\n    return 3 * x**2\n\n\nODD = Subject('odd', loss, odd, [(2,)])\n"
    first, second = tried(tmp_path, f"{CUBE}\n\n{odd}").subjects
    assert (first.worst.outcome, first.notes) == ("right", ())
    assert second.worst.outcome == "right", second.worst.evidence
    if name == "prints":
        assert re.fullmatch(r"prints \d+\.\d MB", second.notes[0])
        assert float(second.notes[0].split()[1]) > 2
    else:
        assert second.notes == ()


# --- what a file does -------------------------------------------------------------------------------------------------

FILES = {
    "endless-import": ("while True: x = 1\n", "^gives no result within 3 seconds, at line 1, in <module>: .*imported$"),
    "exit-on-import": ("import os\nos._exit(0)\n", "^ends its process with code 0, while it is being imported$"),
    "crash-on-import": ("import ctypes\nctypes.string_at(0)\n", "SIGSEGV, at line 2, in <module>: ctypes"),
    "sys-exit-on-import": ("raise SystemExit(3)\n", "^cannot be imported: SystemExit: 3, at line 1, in <module>"),
    "missing-module": ("import no_such_module\n", "^cannot be imported: ModuleNotFoundError: No module .*, at line 1"),
    "syntax-error": ("def f(:\n", r"^cannot be imported: SyntaxError: invalid syntax \(subject.py, line 1\)$"),
    "no-subject": ("x = 1\n", "^defines no Subject; write `from oracles import Subject`"),
    "empty": ("", "^defines no Subject"),
    "same-id": (
        CUBE + CUBE.replace("RIGHT =", "AGAIN ="),
        "^two subjects are called right; give each an id of its own$",
    ),
    "not-utf-8": ("x = '\xff'\n", "^cannot be imported: SyntaxError: .*'utf-8' codec can't decode byte 0xff"),
    "null-byte": ("x = 1\0\n", "^cannot be imported: (SyntaxError|ValueError): source code .*null bytes"),
    "impossible-row": (
        CUBE.replace("gradient, [", "3, ["),
        "^cannot be imported: TypeError: Subject right: gradient: expected a function, got int, at line 13, in",
    ),
    "other-subjects-each-time": (
        "import os, random\n" + CUBE.replace('"right"', "str(random.SystemRandom().random())") + "B = Subject('b', *[\n"
        "    loss, gradient, [(2,)]])\n",
        "",
    ),
}


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name][1]])
def test_a_file_without_subjects_is_explained(name: str, tmp_path: Path) -> None:
    text, message = FILES[name]
    path = tmp_path / "subject.py"
    path.write_bytes(text.encode("latin-1"))
    result = try_file(path, DRAWS, 0, SHORT if "endless" in name else LIMIT)
    assert result.subjects == ()
    assert not result.ok
    assert re.search(message, result.broken), result.broken


def test_a_file_that_changes_from_import_to_import_is_explained(tmp_path: Path) -> None:
    first, second = tried(tmp_path, FILES["other-subjects-each-time"][0]).subjects
    assert first.worst.outcome == "right"
    assert second.worst.outcome == "broken"
    assert re.fullmatch(r"the file defined 0\.\d+, b at first and then 0\.\d+, b", second.worst.evidence)


def test_arguments_that_raise_are_explained(tmp_path: Path) -> None:
    text = f"{CUBE}\n\ndef draw(random, scale):\n    return 1 / 0\n\n\nBAD = Subject('bad', loss, gradient, draw)\n"
    right, bad = tried(tmp_path, text).subjects
    assert right.ok
    assert bad.worst.evidence == "ZeroDivisionError: division by zero, at line 17, in draw: return 1 / 0"


def test_what_goes_wrong_with_the_search_for_a_cause_does_not_touch_the_verdict(tmp_path: Path) -> None:
    """It runs edited copies of the gradient: hundreds of them, where none is right."""
    text = (
        f"{CUBE}\n\nCALLS = []\n\n\ndef odd(x):\n    CALLS.append(1)\n    if len(CALLS) > 300: import os; os._exit(3)\n"
    )
    text += "    return 2 * x**2 + np.cos(x)\n\n\nODD = Subject('odd', loss, odd, [(3,)])\n"
    right, odd = tried(tmp_path, text).subjects
    assert right.ok
    assert (odd.worst.outcome, odd.worst.draw, len(odd.draws)) == ("wrong", "scale1-draw0", 1)
    assert "proved wrong: 3 of 3 entries" in odd.worst.evidence
    assert odd.notes == ("ends its process with code 3, while the cause is being looked for",)


def test_the_cause_of_what_is_wrong_is_told(tmp_path: Path) -> None:
    text = f"{CUBE}\n\ndef odd(x):\n    return 2 * x**2\n\n\nODD = Subject('odd', loss, odd, [(3,)])\n"
    _, odd = tried(tmp_path, text).subjects
    assert re.search(r"  diagnosis +note +subject\.py:17 in odd:  return 2 \* x\*\*2\n", odd.worst.evidence)
    assert "with `3` for `2` it is certified" in odd.worst.evidence
    assert odd.notes == ()


GRAPHS = (
    IMPORTS
    + """def loss(w, x):
    return np.sum(np.tanh(x @ w))


def gradient(w, x):
    return x.T @ (1 - np.tanh(x @ w) ** 2)


SUBJECTS = [
    Subject("same", loss, gradient, [(3,), ("N", 3)], graph=lambda xp, w, x: xp.sum(xp.tanh(x @ w))),
    Subject("other", loss, gradient, [(3,), ("N", 3)], graph=lambda xp, w, x: xp.sum(xp.sin(x @ w))),
]
"""
)


def test_a_graph_is_what_the_loss_was_meant_to_be(tmp_path: Path) -> None:
    """That the backward belongs to the forward is proved; that the forward is the intended one, the graph says."""
    same, other = tried(tmp_path, GRAPHS, draws=1).subjects
    assert same.worst.outcome == "right"
    for framework in ("torch_autograd", "jax_grad"):
        assert re.search(rf"  {framework} +ok     agrees to 1[3-6]\.\d digits", same.worst.evidence)
        assert re.search(rf"  {framework} +WRONG  the loss is not that of the graph: ", other.worst.evidence)
    assert re.search(r"  certificate +ok     certified to", other.worst.evidence)
    assert other.worst.outcome == "wrong"


DICTS = (
    CUBE
    + """

def net(p):
    return np.sum(p["W"] ** 2) + np.sum(p["b"])


def right(p):
    return {"W": 2 * p["W"], "b": np.ones_like(p["b"])}


def deletes(p):
    made = right(p)
    p.clear()
    return made


P = {"W": (2, "n"), "b": ("n",)}
SUBJECTS = {"a": Subject("dict", net, right, [P])}
OTHERS = [
    Subject("missing", net, lambda p: {"W": 2 * p["W"]}, [P]),
    Subject("extra", net, lambda p: right(p) | {"c": 1.0}, [P]),
    Subject("deletes", net, deletes, [P]),
]
"""
)


def test_dicts_with_other_keys_are_explained(tmp_path: Path) -> None:
    subjects = {s.subject: s.worst for s in tried(tmp_path, DICTS).subjects}
    assert {name: worst.outcome for name, worst in subjects.items()} == {
        "right": "right",
        "dict": "right",
        "missing": "wrong",
        "extra": "wrong",
        "deletes": "wrong",
    }
    assert "gradient: missing keys ['b'], extra keys []" in subjects["missing"].evidence
    assert "gradient: missing keys [], extra keys ['c']" in subjects["extra"].evidence
    assert "changed in place: args[0]['W'] (taken away)" in subjects["deletes"].evidence


# --- what trying leaves behind ----------------------------------------------------------------------------------------


def test_neighbours_are_found_and_nothing_is_left_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried by a relative path, from a folder with a module that must not be taken for the library's."""
    (tmp_path / "layers.py").write_text("import numpy as np\n\n\ndef loss(x):\n    return np.sum(x**3)\n")
    (tmp_path / "sub.py").write_text(CUBE.replace("def loss", "from layers import loss\n\n\ndef unused"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "flint.py").write_text("raise ImportError\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    before = np.geterr()
    assert try_file(Path("../sub.py"), 1, 0, LIMIT).ok
    assert np.geterr() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["elsewhere", "layers.py", "sub.py"]


def test_what_a_subject_has_started_is_stopped_with_it(tmp_path: Path) -> None:
    number = tmp_path / "pid"
    start = f"import subprocess; open({str(number)!r}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))"
    assert tried(tmp_path, f"{start}\n{CUBE}", draws=1).ok
    assert not _runs(int(number.read_text()))


@pytest.mark.parametrize("by", [pytest.param(s, id=s.name) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)])
def test_an_interrupted_trial_stops_its_process(by: signal.Signals, tmp_path: Path) -> None:
    """A loop must not go on burning a processor when nobody waits for it."""
    number, loop = tmp_path / "pid", tmp_path / "loop.py"
    loop.write_text(f"import os\nopen({str(number)!r}, 'x').write(str(os.getpid()))\nwhile True: pass\n")
    script = (  # a shell's background jobs ignore SIGINT, and so does all that they start
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from pathlib import Path; from oracles.isolation import try_file; try_file(Path({str(loop)!r}), 1, 0, 60)"
    )
    waiting = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (number.exists() and number.read_text()):
        time.sleep(0.05)
    waiting.send_signal(by)
    assert waiting.wait(timeout=30) != 0
    time.sleep(0.1)
    assert not _runs(int(number.read_text()))


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie, which has ended and waits for somebody to ask about it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.mark.parametrize(
    ("draws", "limit", "complaint"),
    [
        pytest.param(0, 1.0, "draws: expected at least 1, got 0", id="draws"),
        pytest.param(1, 0.0, "limit: expected a positive number of seconds, got 0", id="limit"),
    ],
)
def test_nonsense_is_refused(draws: int, limit: float, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        try_file(tmp_path / "any.py", draws, 0, limit)


# --- mistakes that one configuration hides ----------------------------------------------------------------------------


def test_a_mistake_that_one_configuration_hides_is_refused() -> None:
    """And the right gradient is not, nor is the wrong one where its arguments never bring the mistake out."""
    found = {s.subject: s.worst.outcome for s in try_file(Path(hidden_mistakes.__file__), 15, 0, LIMIT).subjects}
    assert len({name.split("/")[0] for name in found}) == 12
    assert found == {name: "wrong" if name.endswith("/wrong") else "right" for name in found}


# --- a hundred at once ------------------------------------------------------------------------------------------------


HUNDRED = (
    "endless-loop",
    "segmentation-fault",
    "os-exit-0",
    "raises",
    "prints-without-end",
    "mutated-input",
    "randomness",
    "nan",
)
"""The hostile gradients among them, and two files that cannot be imported."""


def gate(folder: Path, *options: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gate", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"COLUMNS": "120"}, capture_output=True, text=True, check=False, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def test_a_hundred_subjects_with_ten_hostile_ones_get_their_verdicts(tmp_path: Path) -> None:
    right = [(name, text) for i, (name, text) in enumerate(right_files().items()) if i % 10]
    hostile = {name: hostile_file(name).replace("RIGHT = ", "# ") for name in HUNDRED}
    hostile |= {name: FILES[name][0] for name in ("endless-import", "missing-module")}
    for name, text in [*right, *hostile.items()]:
        (tmp_path / f"{name}.py").write_text(text)
    results = tmp_path / "results.json"
    options = ("--draws", "3", "--time-limit", "4", "--results", str(results))
    code, output = gate(tmp_path, "-n", "2", "--subject", str(tmp_path / "*.py"), *options)
    records = {r["subject"]: r for r in json.loads(results.read_text())["records"]}
    assert code == 1
    assert len(records) == 100
    assert {name for name, r in records.items() if r["verdict"] == "right"} == {name for name, _ in right}
    for name in hostile:
        outcome, message = (
            (HOSTILE[name].outcome, HOSTILE[name].message) if name in HOSTILE else ("broken", FILES[name][1])
        )
        assert records[name]["verdict"] == outcome
        assert re.search(message.replace("3 seconds", "4 seconds"), records[name]["evidence"])
        said = rf"^{name}(\.py (gives no|cannot be)| is {outcome} at scale1-draw0:)"
        assert re.search(said, output, flags=re.MULTILINE)
    start = output.index("submissions: 7 broken, 3 wrong, 90 right")
    shown = [line.split()[2] for line in output[start:].splitlines()[2:102]]
    assert shown == ["broken"] * 7 + ["wrong"] * 3 + ["right"] * 90


# --- the options and the summary --------------------------------------------------------------------------------------


def test_files_are_named_by_what_tells_them_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/one/loss.py", "b/one/loss.py", "b/two/net.py", "hw[1].py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    names = ["a/one/loss.py", "b/one/loss.py", "hw[1].py", "net.py"]
    assert sorted(submissions(["*/*/*.py", "b/two/net.py", str(tmp_path / "hw[1].py")])) == names
    assert submissions(["b/*/net.py"]) == {"net.py": tmp_path / "b/two/net.py"}


def test_a_pattern_without_a_file_is_refused(tmp_path: Path) -> None:
    code, output = gate(tmp_path, "-n", "0", "--subject", str(tmp_path / "*.py"))
    assert code == 4
    assert "--subject: expected a Python file or a glob that matches some, got '" in output


def row(subject: str, verdict: str, evidence: str, **rest: Any) -> dict[str, Any]:
    record = {
        "kind": "submission",
        "file": f"{subject}.py",
        "subject": subject,
        "verdict": verdict,
        "evidence": evidence,
    }
    return record | {"draws": 4, "draw": "scale1-draw0", "digits": None, "notes": []} | rest


ROWS = [
    row("good", "right", "good: right\n  finite       ok\n  certificate  ok     certified to 42 digits", digits=42.36),
    row(
        "exact",
        "right",
        "exact: right\n  certificate  ok     certified to all digits",
        digits=99.0,
        notes=["prints 3.0 MB"],
    ),
    row(
        "rough",
        "compared",
        "rough: right\n  certificate  note   not certifiable\n  differences  ok     agrees to 9.1 digits (2 entries)",
    ),
    row("open", "undecided", "open: undecided\n  certificate  open   undecided: too wide"),
    row(
        "bad",
        "wrong",
        "bad: wrong\n  finite       ok\n  certificate  WRONG  proved wrong: 1 of 6 entries\n    W[1]: claimed",
    ),
    row("x" * 60, "broken", "ValueError: " + "y" * 300),
    row("b", "broken", "cannot be imported: SyntaxError", draw="", draws=0),
]


def test_the_summary_has_the_worst_first_and_says_why() -> None:
    ((title, cells),) = tables(ROWS, 200)
    assert title == "submissions: 2 broken, 1 wrong, 1 undecided, 1 compared, 2 right"
    assert [cell[0] for cell in cells[1:]] == ["b", "x" * 39 + "…", "bad", "open", "rough", "exact", "good"]
    assert [cell[4] for cell in cells[1:]] == ["", "", "", "", "", "all", "42.4"]
    assert [cell[5] for cell in cells[1:] if cell[0][0] != "x"] == [
        "cannot be imported: SyntaxError",
        "scale1-draw0: proved wrong: 1 of 6 entries",
        "scale1-draw0: undecided: too wide",
        "agrees to 9.1 digits (2 entries)",
        "prints 3.0 MB; certified to all digits",
        "certified to 42 digits",
    ]


@pytest.mark.parametrize(("width", "longest"), [(200, 200), (160, 182), (80, 182)])
def test_lines_of_the_summary_fit_the_terminal_unless_that_hides_the_message(width: int, longest: int) -> None:
    ((_, cells),) = tables(ROWS, width)
    assert max(len(line) for line in aligned(cells)) == longest
