"""`load` gives the functions, classes and constants of a notebook or script, to be certified, and runs nothing else."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import inspect
import io
import json
import linecache
import math
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from oracles import GradientError, Ruling, Verdict, certify, check, check_layer
from oracles.ball import BallArray, lift
from oracles.loading import Loaded, load
from oracles.loading_missing import Missing
from oracles.subject import on_balls
from tests.meta.ulps import ulps

Array = Any
NOTEBOOKS = Path(__file__).parent / "notebooks"
x, y, w = np.array([-1.29, -0.12, -1.46, -0.67, -0.14]), 1.86, np.linspace(0.1, 0.9, 9)


# --- assignments, in five lines each ----------------------------------------------------------------------------------

right = load(NOTEBOOKS / "right.ipynb")
wrong_gradient = load(NOTEBOOKS / "wrong_gradient.ipynb")
wrong_optimizer = load(NOTEBOOKS / "wrong_optimizer.ipynb")


def test_a_right_notebook_is_certified() -> None:
    verdict = check(
        lambda w: right.forward_propagation(x, y, w)["loss"],
        lambda w: np.array([*right.backward_propagation(x, w, right.forward_propagation(x, y, w)).values()]),
        w,
    )
    assert verdict.certified
    assert "9 entries" in str(verdict)


def test_a_wrong_gradient_is_proved_wrong_and_its_entry_named() -> None:
    with pytest.raises(GradientError) as error:
        check(
            lambda w: wrong_gradient.forward_propagation(x, y, w)["L"],
            lambda w: list(
                wrong_gradient.backward_propagation(x, w, wrong_gradient.forward_propagation(x, y, w)).values()
            ),
            list(w),
        )
    assert "proved wrong: 1 of 9 entries, in w[3]" in str(error.value)


def as_layer(w: Array) -> tuple[Any, Any]:
    made = wrong_optimizer.forward_propagation(x, y, w)
    return made["loss"], (w, made)


def of_layer(cotangent: Any, cache: Any) -> Array:
    return cotangent * np.array([*wrong_optimizer.backward_propagation(x, *cache).values()])


def test_a_wrong_optimizer_comes_with_a_right_gradient() -> None:
    assert check_layer(as_layer, of_layer, w).certified


def adam(w: Array, grad: Array, m: Array, v: Array, t: int) -> tuple[Array, Array, Array]:
    """Kingma and Ba (2015), algorithm 1, with the notebook's constants."""
    m, v = 0.9 * m + 0.1 * grad, 0.99 * v + 0.01 * grad**2
    return w - 0.001 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8), m, v


def moves(update: Callable[..., tuple[Array, Array, Array]]) -> list[Array]:
    """How far the first two steps go, for one and the same gradient."""
    w, m, v = np.zeros((3, 2))
    moved = []
    for t in (1, 2):
        before, (w, m, v) = w, update(w, np.array([0.5, -2.0]), m, v, t)
        moved.append(w - before)
    return moved


def test_the_wrong_optimizer_leaves_adam_at_the_second_step() -> None:
    first, second = (
        theirs / ours for theirs, ours in zip(moves(wrong_optimizer.adam_update), moves(adam), strict=True)
    )
    # 1 - 0.99 is 4 ulps from 0.01, of which the root takes half; 1 - 0.9 is 1.25 from 0.1; either side rounds 8 times.
    assert first == pytest.approx([1, 1], rel=ulps(12), abs=0)
    # Divided by 1 - beta at every step, both moments are 1 + beta times too large by then.
    # An ulp of 0.99² is 25 of 1 - 0.99² and 13 of its root, on our side alone; the rest is the dozen of the first step.
    expected = [1.9 * (g + 1e-8) / (math.sqrt(1.99) * g + 1e-8) for g in (0.5, 2.0)]
    assert second == pytest.approx(expected, rel=ulps(32), abs=0)


def test_functions_that_need_data_say_which_cell_has_it() -> None:
    with pytest.raises(NameError) as error:
        right.gradient_checking(w)
    assert "right.ipynb, cell 2, line 4: `X, y = samples[:, :5], samples[:, 5]` is not run" in str(error.value)
    supplied = load(NOTEBOOKS / "right.ipynb", X=x[None], y=np.array([y]))
    assert supplied.gradient_checking(w) < 1e-7


# --- notebooks made here ----------------------------------------------------------------------------------------------


def write(path: Path, *cells: str, **document: Any) -> Path:
    made = [{"cell_type": "code", "source": textwrap.dedent(cell).strip("\n")} for cell in cells]
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **document}))
    return path


Notebook = Callable[..., Loaded]


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    """Loads a notebook of the given cells. It is in the current folder, so that its name is short."""
    monkeypatch.chdir(tmp_path)

    def make(*cells: str, **given: Any) -> Loaded:
        write(tmp_path / "a.ipynb", *cells)
        return load("a.ipynb", **given)

    return make


def reasons(loaded: Loaded, name: str = "") -> list[str]:
    return [f"{s.place}: {s.reason}" for s in loaded.__skipped__ if s.name == name]


F = "def f(x):\n    return x * 0.1\n"


# --- formats ----------------------------------------------------------------------------------------------------------


def cell(kind: str, **content: Any) -> dict[str, Any]:
    return {"cell_type": kind, "metadata": {}, **content}


DOCUMENTS = [
    pytest.param({"nbformat": 4, "cells": [cell("code", source=F)]}, id="4-text"),
    pytest.param({"nbformat": 4, "cells": [cell("code", source=F.splitlines(keepends=True))]}, id="4-lines"),
    pytest.param({"nbformat": 3, "worksheets": [{"cells": [cell("code", input=F, language="python")]}]}, id="3-text"),
    pytest.param({"nbformat": 3, "worksheets": [{"cells": [cell("code", input=F.splitlines(True))]}]}, id="3-lines"),
    pytest.param(
        {"nbformat": 3, "worksheets": [{"cells": []}, {"cells": [cell("code", input=F)]}]}, id="3-second-worksheet"
    ),
    pytest.param({"cells": [cell("code", source=F.replace("\n", "\r\n"))]}, id="windows-line-ends"),
    pytest.param({"cells": [cell("code", source=F.replace("\n", "\r"))]}, id="old-mac-line-ends"),
    pytest.param(
        {"cells": [cell("markdown", source="f = 1"), cell("raw", source="f = 2"), cell("code", source=F)]},
        id="other-cells",
    ),
    pytest.param({"cells": [cell("code", source=" \n"), cell("code", source=F)]}, id="empty-cells-do-not-count"),
    pytest.param({"metadata": {"kernelspec": {"language": "python"}}, "cells": [cell("code", source=F)]}, id="kernel"),
]


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_all_formats_of_notebooks_are_read(document: dict[str, Any], encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(document, ensure_ascii=False), encoding=encoding)
    nb = load(path)
    assert list(nb) == ["f"]
    assert nb.f(10) == 1
    assert nb.f.__code__.co_filename == f"{path}[cell 1]"
    assert nb.f.__code__.co_firstlineno == 1
    assert is_lifted(nb.f)
    assert inspect.getsource(nb.f) == F


BAD_FILES = [
    pytest.param("a.txt", "f = 1", ValueError, "expected a file that ends in .ipynb or .py, got '.txt'", id="suffix"),
    pytest.param("a", "f = 1", ValueError, "got 'no suffix'", id="no-suffix"),
    pytest.param("a.ipynb", "{", ValueError, "open it in Jupyter and save it again", id="half"),
    pytest.param("a.ipynb", "<<<<<<< ours", ValueError, "conflict markers of a merge", id="merge-conflict"),
    pytest.param("a.ipynb", "[1]", ValueError, 'has a list "cells", got a list', id="json-list"),
    pytest.param("a.ipynb", '{"a": 1}', ValueError, "got the keys ['a']", id="json-object"),
    pytest.param("a.ipynb", '{"cells": 1}', ValueError, "got the keys ['cells']", id="cells-are-a-number"),
    pytest.param("a.ipynb", '{"cells": [1]}', ValueError, "expected cell 1 to be a JSON object, got int", id="cell"),
    pytest.param(
        "a.ipynb", '{"cells": [{"cell_type": "code", "source": 1}]}', ValueError, "source of cell 1", id="source"
    ),
    pytest.param(
        "a.ipynb", '{"cells": [], "metadata": {"kernelspec": {"language": "R"}}}', ValueError, "in R", id="language"
    ),
    pytest.param("a.py", "def f(:", ValueError, "line 1 is not Python: invalid syntax", id="script"),
    pytest.param("a.py", "# coding: klingon\n", ValueError, "save it as UTF-8", id="script-encoding"),
]


@pytest.mark.parametrize(("name", "text", "kind", "message"), BAD_FILES)
def test_what_is_no_notebook_is_refused(
    name: str, text: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(kind) as error:
        load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_latin_1_is_no_notebook(tmp_path: Path) -> None:
    (tmp_path / "a.ipynb").write_bytes('{"cells": ["ä"]}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.ipynb: a notebook is a JSON file in UTF-8"):
        load(tmp_path / "a.ipynb")


def test_paths_that_cannot_be_opened(tmp_path: Path) -> None:
    write(tmp_path / "assignment.ipynb")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*assignment\.ipynb\?"):
        load(tmp_path / "asignment.ipynb")
    with pytest.raises(FileNotFoundError, match="the current folder is"):
        load(tmp_path / "nowhere" / "a.ipynb")
    with pytest.raises(IsADirectoryError, match=r"is a folder: name a file in it, such as assignment\.ipynb"):
        load(tmp_path)
    with pytest.raises(TypeError, match=r"path: expected the path of an \.ipynb or \.py file, got int"):
        load(3)  # type: ignore[arg-type]


# --- what IPython adds to Python --------------------------------------------------------------------------------------

MAGIC = [
    pytest.param("%matplotlib inline\n" + F, id="line-magic"),
    pytest.param("%load_ext autoreload\n%autoreload 2\n" + F, id="line-magics"),
    pytest.param("!pip install -q 'it\n" + F, id="shell"),
    pytest.param("!pip install \\\n  numpy \\\n  pandas\n" + F, id="shell-over-lines"),
    pytest.param("!echo (\n%cd [\n" + F, id="open-brackets"),
    pytest.param("?print\n??print\nprint?\nnp.dot??\n%time?\n" + F, id="help"),
    pytest.param("%%time\n" + F, id="cell-magic"),
    pytest.param("\n%%capture out --no-stderr\n" + F, id="cell-magic-with-arguments"),
    pytest.param("%%time\n%%capture\n!ls\n" + F, id="magics-in-a-cell-magic"),
    pytest.param("files = !ls\nmade = %time 3\n" + F, id="assigned"),
    pytest.param("if True:\n    !ls\n" + F, id="in-a-branch"),
    pytest.param("total = (7\n% 2)\ntext = '''\n%time\n!ls\n'''\n" + F, id="python-that-looks-like-it"),
    pytest.param("3;\nprint(1);\n" + F, id="trailing-semicolon"),
    pytest.param("import asyncio\nawait asyncio.sleep(\n  1000)\nz = await g()\n" + F, id="await"),
    pytest.param("get_ipython().run_line_magic('matplotlib', 'inline')\n" + F, id="get_ipython"),
    pytest.param(textwrap.indent("%time\nz = 1\n" + F, "  "), id="indented-cell"),
    pytest.param('"\\d"\n' + F, id="invalid-escape"),
]


@pytest.mark.parametrize("source", MAGIC)
def test_magics_do_no_harm(source: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell("code", source=source)]}))
    nb = load(path)
    assert nb.f(10) == 1
    assert reasons(nb) == []
    lines = source.splitlines()
    assert lines[nb.f.__code__.co_firstlineno - 1].strip() == "def f(x):"
    if '"\\d"' not in source:  # lifting parses the source again, and here its warning is an error
        assert is_lifted(nb.f)


def test_python_that_looks_like_magic_is_kept(notebook: Notebook) -> None:
    nb = notebook("total = (7\n% 2)\ntext = '''\n%time\n!ls\n'''\n!ls\nrest = 7 \\\n  % 4")
    assert (nb.total, nb.text, nb.rest) == (1, "\n%time\n!ls\n", 3)


def test_magics_inside_functions_do_nothing(notebook: Notebook) -> None:
    nb = notebook("def f(x):\n    !ls\n    %time\n    return x", "def g():\n    return get_ipython().system('ls')")
    assert nb.f(3) == 3
    with pytest.raises(NameError, match=r"get_ipython is not loaded: a\.ipynb: there is no running notebook here"):
        nb.g()


NOT_PYTHON = [
    pytest.param("%%bash\nf = 1", "%%bash cells are not run", id="bash"),
    pytest.param("%%html\n<b>f</b>", "%%html cells are not run", id="html"),
    pytest.param("%%writefile f.py\nf = 1", "%%writefile cells are not run", id="writefile"),
    pytest.param("%%timeit\nf = 1", "%%timeit cells are not run", id="timeit"),
    pytest.param("f = 1\ndef f(x) return x", "line 2 is not Python: expected ':'", id="syntax"),
    pytest.param(
        "f = 1\nfor i in range(3):\nprint(i)", "line 3 is not Python: expected an indented block", id="indent"
    ),
    pytest.param("f = (1\n", "line 1 is not Python: '(' was never closed", id="bracket"),
    pytest.param("f = 1\nreturn f", "line 2 is not Python: 'return' outside function", id="return"),
    pytest.param("f = 1\n%time\nf = = 2", "line 3 is not Python: invalid syntax", id="after-magic"),
    pytest.param("print 'f'", "line 1 is not Python: Missing parentheses", id="python-2"),
    pytest.param("f = '\0'", "not Python: source code string cannot contain null bytes", id="null-byte"),
]


@pytest.mark.parametrize(("source", "reason"), NOT_PYTHON)
def test_cells_that_are_not_python_are_skipped_with_their_reason(source: str, reason: str, notebook: Notebook) -> None:
    nb = notebook("a = 1", source, "b = 2")
    assert (nb.a, nb.b, "f" in nb) == (1, 2, False)
    (found,) = reasons(nb)
    assert found.startswith("cell 2: ")
    assert reason in found
    assert reason in repr(nb)


def test_what_a_broken_cell_defines_is_asked_for_by_name(notebook: Notebook) -> None:
    nb = notebook(
        "def kept(): return 1", "def lost(:\n  pass\ndef kept(): return 2\nsum = 3", "def uses(): return lost()"
    )
    with pytest.raises(AttributeError, match=r"lost is not loaded: a\.ipynb, cell 2: .* line 1 is not Python"):
        _ = nb.lost
    with pytest.raises(NameError, match=r"lost is not loaded: a\.ipynb, cell 2"):
        nb.uses()
    assert nb.kept() == 1
    assert "sum" not in vars(nb)


# --- nothing else is run ----------------------------------------------------------------------------------------------

HARM = [
    pytest.param("open('harm', 'w').write('x')", id="call"),
    pytest.param("z = open('harm', 'w').write('x')", id="assignment"),
    pytest.param("z: int = open('harm', 'w').write('x')", id="annotated-assignment"),
    pytest.param("z = 1\nz += open('harm', 'w').write('x')", id="augmented-assignment"),
    pytest.param("z = [open('harm', 'w') for _ in range(3)]", id="comprehension"),
    pytest.param("z = [i for i in open('harm', 'w')]", id="comprehension-over-a-call"),
    pytest.param("z = [i for i in [1] if open('harm', 'w')]", id="comprehension-with-a-condition"),
    pytest.param("z = {1: open('harm', 'w')}", id="dict"),
    pytest.param("z = f\"{open('harm', 'w')}\"", id="f-string"),
    pytest.param("z = 1 if open('harm', 'w') else 2", id="conditional"),
    pytest.param("z = (lambda: open('harm', 'w'))()", id="called-lambda"),
    pytest.param("z = lambda a=open('harm', 'w'): a", id="lambda-default"),
    pytest.param("z = [0][open('harm', 'w').write('x') - 1]", id="index"),
    pytest.param("z = [3]\nz[open('harm', 'w').write('x') - 1] = 2", id="assigned-index"),
    pytest.param("z = (a := open('harm', 'w'))", id="walrus"),
    pytest.param("z = sorted([1], key=lambda a: open('harm', 'w').write('x'))", id="key"),
    pytest.param("z = max([1], **{'key': lambda a: open('harm', 'w').write('x')})", id="key-in-a-dict"),
    pytest.param("z = list(map(open, ['harm'], ['w']))", id="map"),
    pytest.param("z = np.fromfunction(lambda i: open('harm', 'w').write('x'), (1,))", id="fromfunction"),
    pytest.param("z = np.ones(3).tofile('harm')", id="tofile"),
    pytest.param("np.save('harm.npy', 1)", id="save"),
    pytest.param("with open('harm', 'w') as z: pass", id="with"),
    pytest.param("for z in open('harm', 'w'): pass", id="for"),
    pytest.param("while open('harm', 'w'): break", id="while"),
    pytest.param("if open('harm', 'w'): z = 1", id="if"),
    pytest.param("if False: pass\nelif open('harm', 'w'): z = 1", id="elif"),
    pytest.param("if True: open('harm', 'w')", id="in-if"),
    pytest.param("try: open('harm', 'w')\nexcept OSError: pass\nelse: open('harm', 'w')", id="try"),
    pytest.param("try: pass\nfinally: open('harm', 'w')", id="finally"),
    pytest.param("try: import nowhere\nexcept ImportError: open('harm', 'w')", id="handler"),
    pytest.param("assert open('harm', 'w')", id="assert"),
    pytest.param("match open('harm', 'w'):\n    case z: pass", id="match"),
    pytest.param("del [open('harm', 'w')][0]", id="del"),
    pytest.param("if __name__ == '__main__': open('harm', 'w')", id="main"),
    pytest.param("def z(): open('harm', 'w')\nz()", id="own-function"),
    pytest.param("def z(): open('harm', 'w')\na = z()", id="own-function-for-a-value"),
    pytest.param("def z(): open('harm', 'w')\na = [z]\na[0]()", id="function-in-a-list"),
    pytest.param("class Z:\n    def __init__(self): open('harm', 'w')\nz = Z()", id="instance"),
    pytest.param("class Z:\n    open('harm', 'w')", id="class-body"),
    pytest.param("class Z:\n    a = open('harm', 'w')", id="class-attribute"),
    pytest.param("class Z:\n    a: int = open('harm', 'w')", id="class-field"),
    pytest.param("class Z:\n    for a in open('harm', 'w'): pass", id="class-loop"),
    pytest.param("class Z:\n    def a(self, b=open('harm', 'w')): pass", id="method-default"),
    pytest.param("class Z:\n    class A:\n        a = open('harm', 'w')", id="inner-class"),
    pytest.param("class Z(open('harm', 'w')): pass", id="base"),
    pytest.param("class Z(metaclass=open('harm', 'w')): pass", id="metaclass"),
    pytest.param("def z(a=open('harm', 'w')): pass", id="default"),
    pytest.param("def z(*, a=open('harm', 'w')): pass", id="keyword-default"),
    pytest.param("def z(a: open('harm', 'w')) -> open('harm', 'w'): pass", id="annotation"),
    pytest.param("class Z:\n    a: open('harm', 'w')", id="field-annotation"),
    pytest.param("@open('harm', 'w').write\ndef z(): pass", id="decorator"),
    pytest.param("@functools.lru_cache(open('harm', 'w'))\ndef z(): pass", id="decorator-argument"),
    pytest.param("os.makedirs('harm')", id="library-call"),
    pytest.param("z = os.makedirs('harm')", id="library-call-for-a-value"),
    pytest.param("z = pathlib.Path.touch(pathlib.Path('harm'))", id="library-method"),
    pytest.param("from os import mkdir as get\nz = get('harm')", id="called-like-a-method"),
    pytest.param("z = shutil.copy('a.ipynb', 'harm')", id="named-like-a-method"),
    pytest.param("z = builtins.open('harm', 'w')", id="builtins"),
    pytest.param("print = open\nprint('harm', 'w')", id="renamed"),
    pytest.param("int = open\nz = int('harm', 'w')", id="renamed-to-something-harmless"),
]
IMPORTS = "import builtins, functools, os, pathlib, shutil\nimport numpy as np"


@pytest.mark.parametrize("source", HARM)
def test_nothing_but_definitions_is_run(source: str, notebook: Notebook, tmp_path: Path) -> None:
    nb = notebook(IMPORTS, source, "after = 1")
    assert nb.after == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]


def make_file(name: str, mode: str) -> io.StringIO:
    """For the builtin `open`, without a file to close."""
    Path(name).touch()
    return io.StringIO("x")


@pytest.mark.parametrize("source", HARM)
def test_the_same_code_does_harm_when_it_is_run(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the test before this one can fail."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.ipynb")
    monkeypatch.setattr(builtins, "open", make_file)
    with contextlib.suppress(Exception):  # most of it makes little sense
        exec(compile(f"{IMPORTS}\n{source}", "harm", "exec", dont_inherit=True), {"__name__": "__main__"})
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2


def test_cells_that_raise_print_or_never_end(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    nb = notebook(
        "raise RuntimeError('stop')",
        "while True:\n    pass",
        "import itertools\nfor i in itertools.count():\n    print(i)",
        "total = sum(itertools.count())",
        "print('hello')\n1 / 0\ninput('?')",
        "ratio = 1 / 0",
        "exit()",
        F,
    )
    assert nb.f(10) == 1
    assert list(nb) == ["f"]
    assert capsys.readouterr().out == ""
    assert "ZeroDivisionError: division by zero" in " ".join(reasons(nb, "ratio"))


# --- constants --------------------------------------------------------------------------------------------------------

CONSTANTS: list[tuple[str, Any]] = [
    ("z = 3", 3),
    ("z = -0.5e-3", -0.5e-3),
    ("z = 'a' 'b'", "ab"),
    ("z = None", None),
    ("z = (1, [2, {3: {4}}])", (1, [2, {3: {4}}])),
    ("z = 2 * np.pi / 3 ** 2", 2 * math.pi / 9),
    ("z = math.sqrt(2) + pi", math.sqrt(2) + math.pi),
    ("a = b = 2\nz = a * b", 4),
    ("a, (b, *c) = 1, (2, 3, 4)\nz = [a, b, c]", [1, 2, [3, 4]]),
    ("z: float = 0.5", 0.5),
    ("z = 1\nz += 2\nz *= 3", 9),
    ("z = np.ones(9) * 0.1", np.ones(9) * 0.1),
    ("z = np.array([[1, 2], [3, 4]], dtype=np.float64).T", np.array([[1.0, 3.0], [2.0, 4.0]])),
    ("z = np.arange(6).reshape(2, 3)[1]", np.array([3, 4, 5])),
    ("z = np.zeros((2, 3)).shape[1]", 3),
    ("W = np.eye(2)\nz = W.dot([1, 2]).astype(int).tolist()", [1, 2]),
    ("z = array([1.0, 2.0])", np.array([1.0, 2.0])),
    ("z = np.float32(0.5)", np.float32(0.5)),
    ("z = np.tanh(np.linspace(0, 1, 3))", np.tanh(np.linspace(0, 1, 3))),
    ("z = np.finfo(float).eps", np.finfo(float).eps),
    ("z = sys.float_info.epsilon", sys.float_info.epsilon),
    ("z = 'a b c'.split()", ["a", "b", "c"]),
    ("z = [f'w{i}' for i in range(1, 3)]", ["w1", "w2"]),
    ("n = 2\nz = {f'w{i}': i * n for i in range(3) if i}", {"w1": 2, "w2": 4}),
    ("z = [[i * j for j in range(i)] for i in range(3)]", [[], [0], [0, 2]]),
    ("z = [i + j for i in range(3) for j in range(i)]", [1, 2, 3]),
    ("z = len([1, 2]) > 1 and not False", True),
    ("z = 1 if np.pi > 3 else 2", 1),
    ("z = list(zip(range(2), 'ab'))", [(0, "a"), (1, "b")]),
    ("z = dict(a=1)\nz = {**z, 'b': 2}", {"a": 1, "b": 2}),
    ("z = [*range(2), 5]", [0, 1, 5]),
    ("z = {}\nz['a'] = 1\nz['b'] = z['a'] + 1", {"a": 1, "b": 2}),
    ("z = np.zeros(2)\nz[1:] = 0.5\nz[0] += 1", np.array([1.0, 0.5])),
    ("z = collections.OrderedDict([('a', 1)])", {"a": 1}),
    ("z = sys.version_info >= (3, 11)", True),
    ("if np.pi > 4:\n    z = 1\nelif True:\n    z = 2\nelse:\n    z = 3", 2),
    ("try:\n    z = 1\nexcept NameError:\n    z = 2", 1),
    ("try:\n    pass\nexcept NameError:\n    z = 2\nelse:\n    z = 3\nfinally:\n    z += 1", 4),
    ("z = 1\nz = 2", 2),
]


@pytest.mark.parametrize(("source", "expected"), [pytest.param(s, v, id=s) for s, v in CONSTANTS])
def test_constants_have_the_values_that_running_gives(source: str, expected: Any, notebook: Notebook) -> None:
    given = "import collections, math, sys\nimport numpy as np\nfrom math import pi\nfrom numpy import array"
    nb = notebook(given, source)
    assert type(nb.z) is type(expected) or isinstance(expected, dict)
    assert np.array_equal(nb.z, expected) if isinstance(expected, np.ndarray) else nb.z == expected
    assert "z" in nb
    assert reasons(nb, "z") == []


UNKNOWN = [
    pytest.param("z = np.random.normal(0, 0.01, 9)", "np.random.normal(...) is not run", id="random"),
    pytest.param("z = np.random.default_rng(0).normal()", "np.random.default_rng(...) is not run", id="seeded"),
    pytest.param("z = np.empty(3)", "np.empty(...) is not run", id="empty"),
    pytest.param("z = time.time()", "time.time(...) is not run", id="clock"),
    pytest.param("z = undefined + 1", "it needs undefined, which nothing before it defines", id="undefined"),
    pytest.param("z = later\nlater = 1", "it needs later, which nothing before it defines", id="order"),
    pytest.param("a = g()\nz = a + 1", "it needs a, which is not loaded", id="chain"),
    pytest.param("z = nowhere.zeros(3)", "it needs nowhere, which is not loaded", id="missing-module"),
    pytest.param("z = np.nonsense", "AttributeError", id="no-such-attribute"),
    pytest.param("z = np.ones(3) @ np.ones(4)", "ValueError", id="shapes"),
    pytest.param("for z in range(3): pass", "it is in a `for`", id="loop-variable"),
    pytest.param("for i in range(3):\n    z, b = i, i", "`z, b = i, i` is not run (it is in a `for`)", id="in-a-loop"),
    pytest.param("while True:\n    z = 1", "it is in a `while`", id="while"),
    pytest.param("with g() as z: pass", "it is in a `with`", id="with"),
    pytest.param("with g():\n    import z", "it is in a `with`", id="import-in-with"),
    pytest.param("if g():\n    z = 1", "it is in an `if g()`, which is not evaluated", id="open-if"),
    pytest.param("if np.ones(2):\n    z = 1", "ValueError: The truth value of an array", id="array-if"),
    pytest.param("if __name__ == '__main__':\n    z = 1", "`__name__ == '__main__'` is false here", id="main"),
    pytest.param("if True:\n    pass\nelse:\n    z = 1", "`True` is true here", id="else"),
    pytest.param("try:\n    pass\nexcept ValueError:\n    z = 1", "what it handles does not happen", id="handler"),
    pytest.param("z = 1\nfor i in range(3):\n    z += i", "`z += i` is not run", id="constant-changed-in-a-loop"),
    pytest.param("z = 1\nz = g()", "`z = g()` is not run (g(...) is not run)", id="constant-assigned-again"),
    pytest.param("z = 1\nz -= g()", "`z -= g()` is not run", id="constant-changed"),
    pytest.param("z = [1]\nz[0] = g()", "`z[0] = g()` is not run", id="entry-changed"),
    pytest.param("z = [[1]]\nfor i in range(1):\n    z[0][i] = 2", "`z[0][i] = 2` is not run", id="entry-of-an-entry"),
    pytest.param("z = np.ones(2)\nz.shape = g()", "`z.shape = g()` is not run", id="attribute-changed"),
    pytest.param("z = 1\ndel [z][g()]\nz = z if g() else 2", "g(...) is not run", id="last-one-counts"),
]


@pytest.mark.parametrize(("source", "reason"), UNKNOWN)
def test_values_that_are_not_computed_are_not_guessed(source: str, reason: str, notebook: Notebook) -> None:
    head = "import time\nimport numpy as np\nimport nowhere\ndef g(): return 1"
    nb = notebook(head, source, "def uses(): return z + 1")
    with pytest.raises(AttributeError) as absent:
        _ = nb.z
    with pytest.raises(NameError) as error:
        nb.uses()
    message = str(error.value)
    assert message == str(absent.value)
    assert message.startswith("z is not loaded: a.ipynb, cell 2, line ")
    assert reason in message
    assert message.endswith("; give it: load('a.ipynb', z=...)")
    assert notebook(head, source, "def uses(): return z + 1", z=2).uses() == 3
    assert "z" not in nb
    assert list(nb).count("z") == 0
    assert "z" in repr(nb).partition("not loaded")[2]
    nb.z = 5
    assert nb.uses() == 6


def test_long_lines_are_not_quoted_in_full(notebook: Notebook) -> None:
    line = f"z = g({', '.join(['1'] * 100)})"
    (reason,) = reasons(notebook(line), "z")
    assert reason.startswith(f"cell 1, line 1: `{line[:85]}...` is not run")


def test_statements_of_other_kinds_are_not_run(notebook: Notebook) -> None:
    nb = notebook("(z := 1)", "async def g(): pass", "async for y in g(): x = 1")
    assert reasons(nb, "z") == ["cell 1, line 1: `(z := 1)` is not run (only definitions are)"]
    assert reasons(nb, "x") == ["cell 3, line 1: `async for y in g(): x = 1` is not run (it is in a `async`)"]


def test_names_inside_functions_and_comprehensions_are_their_own(notebook: Notebook) -> None:
    nb = notebook(
        "with g():\n    def outer():\n        inner = 1\n    total = [k for k in [1]]\n    table = lambda v: (w := v)"
    )
    assert {"outer", "total", "table"} <= vars(nb).keys()
    assert {"inner", "k", "v", "w"}.isdisjoint(vars(nb))


def test_names_of_functions_are_not_lost_to_results(notebook: Notebook) -> None:
    nb = notebook("def loss(w): return w", "loss = loss(3)", "for loss in []: pass")
    assert nb.loss(4) == 4
    found = reasons(nb, "loss")
    assert len(found) == 2
    assert found[0].startswith("cell 2, line 1: `loss = loss(3)` is not run")
    assert found[0].endswith("the definition before it is kept")


def test_builtins_are_not_lost_to_results(notebook: Notebook) -> None:
    nb = notebook(
        "sum = 0\nfor i in range(3):\n    sum += i", "for max in []: pass", "def f(v): return sum(v) + max(v)"
    )
    assert nb.f([1, 2]) == 5


def test_a_later_definition_overrides(notebook: Notebook) -> None:
    nb = notebook("def f(): return 1", "def f(): return 2", "f2 = f", "f = lambda: 3")
    assert (nb.f(), nb.f2()) == (3, 2)


def test_a_later_definition_that_cannot_be_loaded_does_not_leave_the_old_one(notebook: Notebook) -> None:
    nb = notebook("def f(): return 1", "def f(a=data): return 2")
    with pytest.raises(AttributeError) as error:
        nb.f()
    expected = "cell 2, line 1: `def f(a=data): return 2` is not run (its default `data`: it needs data"
    assert expected in str(error.value)
    assert "give data: load('a.ipynb', data=...)" in str(error.value)
    assert notebook("def f(): return 1", "def f(a=data): return 2", data=1).f() == 2


# --- functions and classes --------------------------------------------------------------------------------------------


def test_lambdas_partials_and_tables_of_functions(notebook: Notebook) -> None:
    nb = notebook(
        """
        from functools import partial
        import numpy as np
        square = lambda a, n=2: a ** n
        activations = {"relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0), "tanh": np.tanh}
        cube = partial(square, n=3)
        step = np.vectorize(lambda v: v > 0)
        alias = square
        """
    )
    assert (nb.square(3), nb.cube(2), nb.alias(2)) == (9, 8, 4)
    assert nb.activations["relu"][0](-1) == 0
    assert nb.activations["tanh"] is np.tanh
    assert nb.step([1, -1]).tolist() == [True, False]


DECORATED = [
    pytest.param("@functools.lru_cache\ndef f(): return 1", 1, id="imported"),
    pytest.param("@functools.lru_cache(maxsize=None)\ndef f(): return 1", 1, id="called"),
    pytest.param("def twice(g): return lambda: 2 * g()\n@twice\n@twice\ndef f(): return 1", 4, id="own"),
    pytest.param("def times(n): return lambda g: lambda: n * g()\n@times(3)\ndef f(): return 1", 3, id="own-called"),
    pytest.param("@contextlib.contextmanager\ndef g(): yield 1\ndef f():\n  with g() as v: return v", 1, id="context"),
]


@pytest.mark.parametrize(("source", "expected"), DECORATED)
def test_decorators_that_are_there_are_applied(source: str, expected: int, notebook: Notebook) -> None:
    assert notebook("import contextlib, functools", source).f() == expected


UNDEFINED = [
    pytest.param(
        "@njit\ndef f(): pass", "its decorator @njit: it needs njit, which is not loaded", "njit", id="missing"
    ),
    pytest.param("@app.route('/')\ndef f(): pass", "its decorator @app.route('/'): it needs app", "app", id="instance"),
    pytest.param("@undefined\ndef f(): pass", "which nothing before it defines", "undefined", id="undefined"),
    pytest.param("@(lambda g: g)\ndef f(): pass", "is not the name of a function", "f", id="expression"),
    pytest.param("@len\ndef f(): pass", "TypeError: object of type 'function' has no len()", "f", id="raises"),
    pytest.param("def f(a, w=np.random.randn(9)): pass", "np.random.randn(...) is not run", "f", id="default"),
    pytest.param("def f(a, *, X=X): pass", "its default `X`: it needs X", "X", id="default-of-data"),
    pytest.param("class f(nn.Module): pass", "its base `nn.Module`: it needs nn, which is not loaded", "nn", id="base"),
    pytest.param("class f(3): pass", "TypeError", "f", id="base-that-raises"),
]


@pytest.mark.parametrize(("source", "reason", "needs"), UNDEFINED)
def test_definitions_that_cannot_be_made_are_skipped_with_the_reason(
    source: str, reason: str, needs: str, notebook: Notebook
) -> None:
    head = "import numpy as np\nfrom nowhere import njit, nn\napp = print(1)"
    nb = notebook(head, source, "def uses(): return f()")
    with pytest.raises(NameError) as error:
        nb.uses()
    assert str(error.value).startswith("f is not loaded: a.ipynb, cell 2, line ")
    assert reason in str(error.value)
    assert str(error.value).endswith(f"load('a.ipynb', {needs}=...)")
    assert reason in repr(nb)


def test_annotations_do_no_harm(notebook: Notebook) -> None:
    nb = notebook(
        """
        import nowhere
        import numpy as np
        from typing import Optional
        def f(a: nowhere.Tensor, b: np.ndarray, *c: undefined, d: Optional[int] = None) -> print(1): return a
        class Net:
            width: nowhere.Size = 3
            def forward(self, a: nowhere.Tensor) -> "Net": return self.width
        """
    )
    assert nb.f(1, 2) == 1
    annotations = {"a": "nowhere.Tensor", "b": np.ndarray, "c": "undefined", "return": "print(1)"}
    assert {k: v for k, v in nb.f.__annotations__.items() if k != "d"} == annotations
    assert nb.Net().forward(None) == 3


def test_classes_of_all_kinds(notebook: Notebook) -> None:
    nb = notebook(
        """
        import dataclasses, enum
        from abc import ABC, abstractmethod
        from collections import namedtuple
        from dataclasses import dataclass, field
        from typing import ClassVar, NamedTuple
        import numpy as np

        class Layer(ABC):
            '''The base.'''
            scale = 0.5
            half = scale / 2
            kinds: ClassVar[list] = ["a"]
            def __init__(self, w): self.w = w
            @abstractmethod
            def forward(self, x): ...
            @property
            def size(self): return self._size if hasattr(self, "_size") else len(self.w)
            @size.setter
            def size(self, n): self._size = n
            @staticmethod
            def name(): return "layer"
            act = staticmethod(lambda z: z * 0.1)

        class Dense(Layer):
            class Cache(NamedTuple):
                x: object
            def forward(self, x):
                return self.w @ x, self.Cache(x)
            def __repr__(self): return super().name()

        Point = namedtuple("Point", "x y")
        class Mode(enum.Enum):
            TRAIN = enum.auto()
            TEST = enum.auto()
        default = Mode.TEST

        @dataclass
        class Config:
            lr: "float" = 0.1
            sizes: list[int] = field(default_factory=list)
            count: "ClassVar[int]" = 3
        """,
        """
        def describe(self): return f"dense {self.size}"
        Dense.describe = describe
        """,
    )
    dense = nb.Dense(np.eye(2))
    assert dense.forward(np.ones(2))[1].x.tolist() == [1, 1]
    dense.size = 5
    assert (dense.size, dense.half, repr(dense), dense.describe(), dense.act(10)) == (5, 0.25, "layer", "dense 5", 1)
    assert nb.Layer.__doc__ == "The base."
    assert nb.Point(1, 2).y == 2
    assert nb.default is nb.Mode.TEST
    assert nb.Config() == nb.Config(0.1, [])
    assert nb.Dense.__module__ == nb.Point.__module__ == "loaded.a"
    assert reasons(nb) == []


def test_statements_in_a_class_body_that_do_not_define_are_left_out(notebook: Notebook) -> None:
    nb = notebook("class Net:\n    print('made')\n    lr = 0.1\n    w = g()\n    def f(self): return self.lr")
    assert nb.Net().f() == 0.1
    assert not hasattr(nb.Net, "w")
    assert reasons(nb, "Net") == [
        "cell 1, line 2: `print('made')` is not run (it does more than define something in the class)",
        "cell 1, line 4: `w = g()` is not run (it needs g, which nothing before it defines)",
    ]


def test_sys_modules_is_as_it_was(notebook: Notebook) -> None:
    before = dict(sys.modules)
    nb = notebook("from dataclasses import dataclass, InitVar\n@dataclass\nclass A:\n    a: 'InitVar[int]' = 1")
    assert sys.modules == before
    assert nb.__name__ not in sys.modules
    assert [f.name for f in nb.A.__dataclass_fields__.values() if f._field_type.name == "_FIELD_INITVAR"] == ["a"]


def test_future_annotations_count_from_their_cell_on(notebook: Notebook) -> None:
    nb = notebook(
        "def before(a: int): return a * 0.1",
        "from __future__ import annotations\ndef here(a: int): return a * 0.1",
        "def after(a: int) -> int: return a * 0.1\nclass A:\n    a: int = 1",
    )
    assert nb.before.__annotations__ == {"a": int}
    assert nb.here.__annotations__ == {"a": "int"}
    assert nb.after.__annotations__ == {"a": "int", "return": "int"}
    assert nb.A.__annotations__ == {"a": "int"}
    assert all(is_lifted(f) for f in (nb.before, nb.here, nb.after))


# --- imports ----------------------------------------------------------------------------------------------------------


def test_a_module_that_is_not_installed_says_so_when_it_is_used(notebook: Notebook) -> None:
    nb = notebook(
        "import math, nowhere.at.all as no, sys\nfrom elsewhere import thing as it",
        "def f(v): return math.sqrt(v)\ndef g(): return no.zeros(3)\ndef h(): return it(3)",
        "import numpy as np\ndef i(): return np.dot(it, 2)",
    )
    assert nb.f(4) == 2
    for function, name, imports in (
        (nb.g, "no", "`import nowhere.at.all as no` fails: nowhere.at.all"),
        (nb.h, "it", "`from elsewhere import thing as it` fails: elsewhere"),
        (nb.i, "it", "`from elsewhere import thing as it` fails: elsewhere"),
    ):
        with pytest.raises(ImportError) as error:
            function()
        where = (
            f"{name} is not loaded: a.ipynb, cell 1, line {1 if name == 'no' else 2}: {imports} is not installed here"
        )
        assert str(error.value) == f"{where}; install it, or give it: load('a.ipynb', {name}=...)"
    assert nb.sys is sys


USES = [
    pytest.param(use, id=name)
    for name, use in {
        "call": lambda m: m(),
        "attribute": lambda m: m.zeros,
        "arithmetic": lambda m: m + 1,
        "from-the-right": lambda m: 1 - m,
        "of-an-array": lambda m: np.ones(2) * m,
        "matrix-product": lambda m: np.ones(2) @ m,
        "function-of-numpy": lambda m: np.concatenate([m, m]),
        "ufunc": lambda m: np.exp(m),
        "array": lambda m: np.array(m),
        "array-of-it": lambda m: np.asarray([m], dtype=float),
        "index": lambda m: m[0],
        "assigned-index": lambda m: m.__setitem__(0, 1),
        "length": len,
        "loop": list,
        "membership": lambda m: 1 in m,
        "truth": bool,
        "equality": lambda m: m == 1,
        "order": lambda m: m < 1,
        "float": float,
        "text": str,
        "f-string": lambda m: f"{m:.2f}",
        "with": lambda m: m.__enter__(),
        "range": range,
        "negative": lambda m: -m,
    }.items()
]


@pytest.mark.parametrize("use", USES)
def test_every_use_of_what_is_missing_raises(use: Callable[[Any], Any], notebook: Notebook) -> None:
    nb = notebook("import nowhere as m")
    stand_in = vars(nb)["m"]
    assert isinstance(stand_in, Missing)
    with pytest.raises(ImportError, match=r"m is not loaded: a\.ipynb, cell 1, line 1"):
        use(stand_in)
    assert "not loaded" in repr(stand_in)
    assert not hasattr(stand_in, "__wrapped__")


TRIES = [
    pytest.param("try:\n    import nowhere as z\nexcept ImportError:\n    z = None", None, id="none"),
    pytest.param("try:\n    from nowhere import z\nexcept (OSError, ModuleNotFoundError):\n    z = 3", 3, id="tuple"),
    pytest.param("try:\n    import nowhere\n    z = 1\nexcept:\n    z = 2\nelse:\n    z = 3", 2, id="bare"),
    pytest.param(
        "try:\n    import nowhere\nexcept ValueError:\n    z = 1\nexcept Exception as e:\n    z = 2", 2, id="second"
    ),
    pytest.param(
        "try:\n    import math as m\nexcept ImportError:\n    z = 1\nelse:\n    z = 3\nfinally:\n    z += 1",
        4,
        id="else",
    ),
    pytest.param(
        "try:\n    import cupy as xp\nexcept ImportError:\n    import math as xp\nz = xp.pi", math.pi, id="other-import"
    ),
    pytest.param(
        "try:\n    import nowhere\n    B = True\nexcept ImportError:\n    B = False\nz = 1 if B else 2", 2, id="flag"
    ),
    pytest.param("import sys\nC = 'google.colab' in sys.modules\nz = 5\nif C:\n    z = 6", 5, id="colab"),
]


@pytest.mark.parametrize(("source", "expected"), TRIES)
def test_imports_that_may_fail(source: str, expected: Any, notebook: Notebook) -> None:
    assert notebook(source).z == expected


def test_an_import_that_no_handler_is_for_leaves_a_stand_in(notebook: Notebook) -> None:
    nb = notebook("try:\n    import nowhere\nexcept ValueError:\n    z = 1", "def f(): return nowhere.pi")
    with pytest.raises(ImportError, match="nowhere is not loaded"):
        nb.f()


def test_packages_and_modules_that_python_has_are_python_s(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading a second copy without running it would break a library; and isinstance would not know its classes."""
    for name, text in (("beside_it/__init__.py", "X = [0]\nX.append(1)"), ("imported.py", "X = [0]\nX.append(2)")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    source = "from beside_it import X as a\nfrom imported import X as b\nimport imported\ndef f(): return a + b"
    assert notebook(source).f() == [0, 0]
    monkeypatch.syspath_prepend(tmp_path)
    assert notebook(source).f() == [0, 1, 0]
    module = importlib.import_module("imported")
    assert notebook(source).f() == [0, 1, 0, 2]
    assert notebook(source).imported is module
    for name in ("imported", "beside_it"):
        del sys.modules[name]


def test_star_imports(notebook: Notebook) -> None:
    nb = notebook("from math import *", "from nowhere import *", "def f(): return sqrt(4)\ndef g(): return zeros(3)")
    assert nb.f() == 2
    assert list(nb) == ["f", "g"]
    with pytest.raises(
        NameError, match=r"zeros is not loaded: a.ipynb, cell 2, line 1: `from nowhere import \*` fails"
    ):
        nb.g()


def test_a_submodule_that_is_missing_leaves_its_package(notebook: Notebook) -> None:
    nb = notebook("import numpy", "import numpy.nowhere", "import os.path\nimport xml.dom.minidom")
    assert nb.numpy is np
    assert reasons(nb, "numpy.nowhere") == [
        "cell 2, line 1: `import numpy.nowhere` fails: numpy.nowhere is not installed here"
    ]
    assert nb.xml.dom.minidom.__name__ == "xml.dom.minidom"


def test_a_library_that_fails_when_it_is_imported(notebook: Notebook, tmp_path: Path, monkeypatch: Any) -> None:
    for name, line in (("leaves", "raise SystemExit(1)"), ("fails", "1 / 0"), ("needs", "import nowhere")):
        package = tmp_path / "site" / f"failing_{name}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path / "site")
    nb = notebook("import failing_leaves\nimport failing_fails", "from failing_needs import a")
    assert "SystemExit: 1" in reasons(nb, "failing_leaves")[0]
    assert "ZeroDivisionError: division by zero" in reasons(nb, "failing_fails")[0]
    assert "ModuleNotFoundError: No module named 'nowhere'" in reasons(nb, "a")[0]


def test_files_beside_it_are_loaded_and_not_run(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "helpers.py").write_text(
        "open('harm', 'w')\nimport a_second\nK = 0.1\nX = load_data()\n_private = 1\ndef third(): return 1 / 3\n"
        "def data(): return X[0]\n"
    )
    (tmp_path / "a_second.py").write_text(
        "import helpers\nfrom . import helpers as h\ndef back(): return helpers.third()\n"
    )
    (tmp_path / "broken.py").write_text("def f(:")
    (tmp_path / "random.py").write_text("mine = 1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "layers.py").write_text("from ..helpers import K\ndef dense(v): return v * K\n")
    nb = notebook(
        """
        import helpers as hp
        import random
        from helpers import third, K, absent, data
        from folder.layers import dense
        from folder import layers
        import folder.layers as same
        from .a_second import *
        from .nothing import at_all
        import broken
        def f(v): return v * third() * hp.K * hp.third()
        def g(): return absent
        KK = hp.K + K
        """
    )
    assert nb.f(9) == 0.1
    assert nb.KK == 0.2
    assert nb.third is nb.hp.third
    assert nb.dense(10) == 1
    assert nb.layers is nb.same
    assert nb.back() == 1 / 3
    assert not hasattr(nb.random, "mine")
    assert "helpers.py defines no absent" in reasons(nb, "absent")[0]
    assert "there is no nothing.py beside it" in reasons(nb, "at_all")[0]
    assert "broken.py: line 1 is not Python" in reasons(nb, "broken")[0]
    with pytest.raises(NameError, match=r"X is not loaded: .*helpers\.py, line 4: `X = load_data\(\)` is not run"):
        nb.data()
    assert not (tmp_path / "harm").exists()
    assert "helpers" not in sys.modules
    assert is_lifted(nb.third)


# --- names that the caller gives --------------------------------------------------------------------------------------


def test_given_names_win_and_are_left_as_they_are(notebook: Notebook) -> None:
    mine = np.ones(2)
    nb = notebook(
        "import numpy as np, nowhere\nfrom elsewhere import thing",
        "X = np.zeros(2)\nX += 1\nX[0] = 5\nfor i in X: X[1] = 7\nX, k = 3, 4\nk = k * 2",
        "def nowhere(): return 1\ndef f(): return X, nowhere, thing, lr\ndef thing(): return 2",
        X=mine,
        nowhere="given",
        thing=3,
        lr=0.5,
    )
    assert nb.f() == (mine, "given", 3, 0.5)
    assert nb.f()[0] is mine
    assert mine.tolist() == [1, 1]
    assert nb.k == 8
    assert reasons(nb, "X") == reasons(nb, "thing") == []
    assert list(nb) == ["k", "f"]


def test_what_is_given_is_not_imported(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    assert notebook("import this", this=1).this == 1
    assert "this" not in sys.modules
    assert capsys.readouterr().out == ""


def test_a_given_name_that_nothing_uses_is_refused(notebook: Notebook) -> None:
    with pytest.raises(ValueError, match=r"given: a\.ipynb has no global name Data: did you mean data\?"):
        notebook("def f(local): return data", Data=1)
    with pytest.raises(ValueError, match="has no global name local: leave it out"):
        notebook("def f(local): return 1", local=1)
    assert notebook("def f(: return data", data=1).data == 1


# --- the namespace ----------------------------------------------------------------------------------------------------

SHOWN = """\
a.ipynb
  functions
    forward(x, w=0.5)  cell 2, line 1
    square(z)          cell 2, line 3
  classes
    Net  cell 3, line 1
  constants
    W: float64 (9,)  cell 1, line 2
    name = 'net'     cell 1, line 3
  not loaded
    cell 4   line 1 is not Python: invalid syntax
    nowhere  cell 1, line 1: `import nowhere` fails: nowhere is not installed here
    a, b     cell 5, line 1: `a, b = read()` is not run (it needs read, which nothing before it defines)
    3 more   that no function uses: i, total, x"""


def sample(notebook: Notebook) -> Loaded:
    return notebook(
        "import numpy as np, nowhere\nW = np.ones(9) * 0.1\nname = 'net'",
        "def forward(x, w=0.5): return a + b\n\nsquare = lambda z: z * z",
        "class Net: pass",
        "x = = 1",
        "a, b = read()",
        "for i in range(3): total = i",
    )


def test_repr_shows_what_is_there_and_what_is_not(notebook: Notebook) -> None:
    expected = [" ".join(line.split()) for line in SHOWN.splitlines()]
    assert [" ".join(line.split()) for line in repr(sample(notebook)).splitlines()] == expected
    assert repr(sample(notebook)) == repr(sample(notebook))


def test_the_namespace_reads_like_a_module_and_a_mapping(notebook: Notebook) -> None:
    nb = sample(notebook)
    assert list(nb) == ["W", "name", "forward", "square", "Net"]
    assert len(nb) == 5
    assert dir(nb) == ["Net", "W", "forward", "name", "np", "square"]
    assert nb["forward"] is nb.forward is vars(nb)["forward"]
    assert inspect.ismodule(nb)
    assert "forward" in nb
    assert "a" not in nb
    assert 3 not in nb
    assert not hasattr(nb, "a")
    with pytest.raises(AttributeError, match=r"a\.ipynb has no foward: did you mean forward\?"):
        _ = nb.foward
    with pytest.raises(AttributeError, match=r"a\.ipynb has no zzz: it has W, name, forward, square, Net"):
        _ = nb.zzz
    with pytest.raises(KeyError, match=r"a\.ipynb has no foward: did you mean forward\?"):
        nb["foward"]
    with pytest.raises(KeyError, match=r"a is not loaded: a\.ipynb, cell 5, line 1"):
        nb["a"]


# --- sources: tracebacks, certificates, lifting -----------------------------------------------------------------------


def is_lifted(function: Callable[..., Any]) -> bool:
    """Whether a function that multiplies by 0.1, or divides by 3, does so exactly on balls."""
    with on_balls([function], 256) as noted:
        made = function(*[lift(1.0)] * len(inspect.signature(function).parameters))
    ball = made._a.item() if isinstance(made, BallArray) else arb(made)
    with ctx.workprec(1000):
        exact = [arb(fmpq(1, 10)), arb(fmpq(1, 3))]
    return noted.rounded == [] and any(ball.contains(e) for e in exact) and bool(ball.rad() < arb(2) ** -240)


def test_the_fault_that_lifting_tests_look_for(notebook: Notebook) -> None:
    nb = notebook(F)
    assert is_lifted(nb.f)
    linecache.cache.pop("a.ipynb[cell 1]")
    assert not is_lifted(nb.f)


LIFTED = [
    pytest.param("def f(v):\n    return v * 0.1", id="function"),
    pytest.param("f = lambda v: v * 0.1", id="lambda"),
    pytest.param("f, g = (lambda v: v * 0.1), (lambda v: v * 0.3)", id="two-lambdas-of-a-line"),
    pytest.param("def f(v):\n    def g(): return 1 / 3\n    return v * g()", id="inner"),
    pytest.param("def third(): return 1 / 3\ndef f(v): return v * third()", id="called"),
    pytest.param(
        "class A:\n    print(1)\n    def __call__(self, v):\n        return v * 0.1\ndef f(v): return A()(v)",
        id="class",
    ),
    pytest.param(
        "import functools\ndef same(g): return functools.wraps(g)(lambda v: g(v))\n@same\ndef f(v): return v * 0.1",
        id="decorated",
    ),
    pytest.param("T = {'f': lambda v: v * 0.1}\ndef f(v): return T['f'](v)", id="table"),
    pytest.param("%%time\n!ls\nawait g()\nx = await g(\n   1)\ndef f(v):\n    !ls\n    return v * 0.1", id="magics"),
    pytest.param("é = 'ä'\ndef f(v): é = 'ö'; return v * 0.1", id="not-ascii"),
    pytest.param("s = 'a\x0cb\u2028c'\n\x0cdef f(v): return v * 0.1", id="form-feed"),
    pytest.param("if True:\n    try:\n        def f(v): return v * 0.1\n    finally: pass", id="in-branches"),
]


@pytest.mark.parametrize("source", LIFTED)
def test_literals_of_loaded_functions_are_exact(source: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps({"cells": [cell("code", source="import math"), cell("code", source=source)]}))
    nb = load(path)
    assert is_lifted(nb.f)
    assert nb.f(3.0) in (3.0 * 0.1, 3.0 * (1 / 3))


def test_a_gradient_with_decimals_is_certified_and_a_wrong_digit_is_found(notebook: Notebook) -> None:
    """GELU as courses write it, from cells: 3 * 0.044715 and 0.134145 are the same only as decimals."""
    nb = notebook(
        "import numpy as np\nc = lambda: np.sqrt(2 / np.pi)",
        "def loss(v):\n    return np.sum(0.5 * v * (1 + np.tanh(c() * (v + 0.044715 * v**3))))",
        """
        def gradient(v, k=None):
            t = np.tanh(c() * (v + 0.044715 * v**3))
            return 0.5 * (1 + t) + 0.5 * v * (1 - t**2) * c() * (1 + 0.134145 * v**2)
        def wrong(v):
            t = np.tanh(c() * (v + 0.044715 * v**3))
            return 0.5 * (1 + t) + 0.5 * v * (1 - t**2) * c() * (1 + 0.13414500000001 * v**2)
        """,
    )
    v = np.array([0.3, -0.7, 1.1])
    assert certify(nb.loss, nb.gradient, v).ruling is Ruling.CERTIFIED
    assert certify(nb.loss, nb.wrong, v).ruling is Ruling.WRONG


def test_certificates_quote_the_cell_and_line(notebook: Notebook) -> None:
    nb = notebook(
        "import numpy as np",
        "%%time\ndef loss(v):\n    n = float(v[0])  # here\n    return n * np.sum(v)\ndef g(v): return v",
    )
    certificate = certify(nb.loss, nb.g, np.ones(2))
    assert certificate.ruling is Ruling.NOT_CERTIFIABLE
    assert "a.ipynb[cell 2]:3 in loss: n = float(v[0])  # here" in str(certificate)


def test_tracebacks_and_getsource_quote_the_cell(notebook: Notebook) -> None:
    nb = notebook("", "%matplotlib inline\n\ndef f(v):\n    return v / 0")
    with pytest.raises(ZeroDivisionError) as error:
        nb.f(1)
    shown = "".join(traceback.format_exception(error.value))
    assert 'File "a.ipynb[cell 1]", line 4, in f\n    return v / 0\n' in shown
    assert inspect.getsource(nb.f) == "def f(v):\n    return v / 0\n"


def test_an_edited_notebook_and_one_of_the_same_name_keep_their_own_sources(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = notebook("def f(v):\n    return v * 0.1")
    again = notebook("def f(v):\n    return v * 0.1")
    edited = notebook("def f(v):\n    w = v\n    return w / 3")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    write(tmp_path / "other" / "a.ipynb", "def f(v):\n    '''Theirs.'''\n    return v * 0.1")
    other = load("a.ipynb")
    assert [nb.f.__code__.co_filename for nb in (first, again, edited, other)] == [
        *["a.ipynb[cell 1]"] * 2,
        "a.ipynb[cell 1, version 2]",
        "a.ipynb[cell 1, version 3]",
    ]
    assert all(is_lifted(nb.f) for nb in (first, again, edited, other))
    assert "Theirs" in inspect.getsource(other.f)


@pytest.fixture(autouse=True)
def _sources_forgotten() -> Any:
    """Cells of other tests must not count as earlier versions."""
    before = dict(linecache.cache)
    yield
    for name in linecache.cache.keys() - before.keys():
        del linecache.cache[name]


# --- scripts ----------------------------------------------------------------------------------------------------------

SCRIPT = '''\
"""A script."""
from __future__ import annotations

import math

K: nowhere.Type = 0.5


def f(v: nowhere.Type):
    return v * 0.1


print("harm")
if __name__ == "__main__":
    X = 3


def g():
    return X + 1
'''


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(SCRIPT.encode(), id="utf-8"),
        pytest.param(b"\xef\xbb\xbf" + SCRIPT.encode(), id="bom"),
        pytest.param(SCRIPT.replace("\n", "\r\n").encode(), id="windows"),
        pytest.param(("# coding: latin-1\n" + SCRIPT.replace("A script", "Ein Stück")).encode("latin-1"), id="latin-1"),
        pytest.param(SCRIPT.replace("import math", "!pip install torch").encode(), id="from-colab"),
    ],
)
def test_scripts_are_loaded_in_the_same_way(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(content)
    script = load(path)
    first = 2 if b"coding" in content else 1
    assert script.__doc__ in ("A script.", "Ein Stück.")
    assert list(script) == ["K", "f", "g"]
    assert script.f.__annotations__ == {"v": "nowhere.Type"}
    assert script.f.__code__.co_filename == str(path)
    assert script.f.__code__.co_firstlineno == 8 + first
    assert is_lifted(script.f)
    assert capsys.readouterr().out == ""
    with pytest.raises(NameError) as error:
        script.g()
    where = f"X is not loaded: {path}, line {14 + first}: `X = 3` is not run (`__name__ == '__main__'` is false here)"
    assert str(error.value).startswith(where)


def test_relative_paths_of_scripts_outlive_a_change_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("script.py").write_text(F)
    script = load("script.py")
    monkeypatch.chdir(tmp_path.parent)
    assert is_lifted(script.f)


def test_verdicts_name_the_function(notebook: Notebook) -> None:
    nb = notebook("def loss(v): return (v * v).sum()\ndef gradient(v): return v * 2")
    verdict: Verdict = check(nb.loss, nb.gradient, np.ones(3))
    assert str(verdict).startswith("gradient: right")
