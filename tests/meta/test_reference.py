"""The data and the figures are those that were published, and an altered copy of either is refused."""

import errno
import hashlib
import math
import os
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reference import datasets
from reference.datasets import DatasetError, Housing, housing
from reference.published import PUBLISHED_TOML, Entry, entries, parse, published
from tests.meta.ulps import ulps

CSV_SHA256 = "1a8f88f3f3382d7860565db3cd8745b1b15c1c1000c1433194627845b1efbec4"
X_SHA256 = "e80c4b33880e4a042b1c762d2ec419d59fdfd52ac460227bd848951c940167ab"
X_FIRST = (
    -1.287909498957745,
    -0.12001341619804987,
    -1.4590003802772022,
    -0.6666082090210984,
    -0.14421743255530314,
)
ONES = (1.0,) * 9


# ------------------------------------------------------------------------------------------ the data set


def ulps_apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Largest distance of two arrays, entry by entry, in units in the last place of b."""
    return float(np.max(np.abs(a - b) / np.spacing(np.abs(b))))


def graph(x: list[float], w: tuple[float, ...]) -> float:
    """The nine-weight graph in scalars, weights numbered from 0."""
    part2 = math.tanh(math.exp((w[0] * x[0] + w[1] * x[1]) ** 2 + w[5]) + w[6])
    z = math.sin(w[2] * x[2]) * (w[3] * x[3] + w[4] * x[4]) + w[7]
    return part2 + w[8] / (1 + math.exp(-z))


def test_x_is_the_known_matrix_bit_for_bit() -> None:
    X, y = housing()
    assert (X.shape, str(X.dtype)) == ((506, 5), "float64")
    assert (y.shape, str(y.dtype)) == ((506,), "float64")
    assert tuple(X[0].tolist()) == X_FIRST
    assert hashlib.sha256(X.astype("<f8").tobytes(order="C")).hexdigest() == X_SHA256
    assert X.shape == published("assignment.data.X_shape").value
    assert y.shape == published("assignment.data.y_shape").value
    assert (len(X), X.shape[1]) == (
        published("readme.task.samples").value,
        published("readme.task.features").value,
    )


def test_x_is_standardised_with_the_population_deviation() -> None:
    X = housing().X
    for column in X.T.tolist():
        # A few roundings of 2^-53 per entry, and most of them cancel in the mean.
        assert abs(math.fsum(column) / 506) < 2**-50
        assert abs(math.fsum(v * v for v in column) / 506 - 1) < 2**-50
        # The planted fault: the sample deviation would miss by 1/506.
        assert abs(math.fsum(v * v for v in column) / 505 - 1) > 1e-3


def test_y_endpoints() -> None:
    y = housing().y
    known = np.array([1.858849127371369, 1.5995771678893607])
    assert ulps_apart(y[[0, 505]], known) <= 1
    assert ulps_apart(known + 2 * np.spacing(known), known) == 2  # two ulp would be seen


def test_every_y_is_the_graph_at_nine_ones() -> None:
    X, y = housing()
    scalar = np.array([graph(x, ONES) for x in X.tolist()])
    assert ulps_apart(y, scalar) <= 1
    for weight in range(9):  # planted: one weight a millionth off
        w = tuple(1 + 1e-6 * (i == weight) for i in range(9))
        assert ulps_apart(np.array([graph(x, w) for x in X.tolist()]), scalar) > 1e3


def test_one_caller_cannot_corrupt_the_samples_of_another() -> None:
    first, second = housing(), housing()
    assert not np.shares_memory(first.X, second.X)
    assert not np.shares_memory(first.y, second.y)
    first.X[:] = np.nan
    first.y[:] = np.nan
    assert np.isfinite(second.X).all()
    assert np.isfinite(second.y).all()
    third = housing()
    assert hashlib.sha256(third.X.tobytes()).hexdigest() == hashlib.sha256(second.X.tobytes()).hexdigest()
    assert third.y.tobytes() == second.y.tobytes()


def change_a_digit(data: bytes) -> bytes:
    return data.replace(b"2.31,65.2,", b"2.31,65.3,", 1)


def drop_the_last_row(data: bytes) -> bytes:
    return b"".join(data.splitlines(keepends=True)[:-1])


def swap_two_rows(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    return b"".join(lines)


def swap_two_columns(data: bytes) -> bytes:
    rows = [line.split(b",") for line in data.splitlines()]
    return b"".join(b",".join([r[1], r[0], *r[2:]]) + b"\n" for r in rows)


def cut_in_the_middle(data: bytes) -> bytes:
    return data[: len(data) // 2]


def crlf(data: bytes) -> bytes:
    return data.replace(b"\n", b"\r\n")


def empty(data: bytes) -> bytes:
    return data[:0]


def not_text(data: bytes) -> bytes:
    return b"\x80\x03" + data


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(f, id=f.__name__)
        for f in (
            change_a_digit,
            drop_the_last_row,
            swap_two_rows,
            swap_two_columns,
            cut_in_the_middle,
            crlf,
            empty,
            not_text,
        )
    ],
)
def test_damaged_csv_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    good = datasets.HOUSING_CSV.read_bytes()
    bad = damage(good)
    assert bad != good
    path = tmp_path / "housing.csv"
    path.write_bytes(bad)
    with pytest.raises(DatasetError) as refusal:
        datasets.load(path)
    lines_end = " whose lines end in CRLF instead of LF" if damage is crlf else ""
    assert str(refusal.value) == (
        f"{path}: expected the shipped file (506 rows of INDUS,AGE,PTRATIO,TAX,NOX; SHA-256 {CSV_SHA256}), "
        f"got {len(bad)} bytes{lines_end} (SHA-256 {hashlib.sha256(bad).hexdigest()}). "
        "Restore reference/housing.csv from the repository or the source distribution."
    )


def test_missing_csv_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "housing.csv"
    with pytest.raises(DatasetError) as refusal:
        datasets.load(path)
    assert isinstance(refusal.value, ValueError)
    assert str(refusal.value) == (
        f"{path}: expected the shipped file (506 rows of INDUS,AGE,PTRATIO,TAX,NOX; SHA-256 {CSV_SHA256}), "
        f"but cannot read it: {os.strerror(errno.ENOENT)}. "
        "Restore reference/housing.csv from the repository or the source distribution."
    )


def test_a_sound_copy_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "copy.csv"
    path.write_bytes(datasets.HOUSING_CSV.read_bytes())
    copy, shipped = datasets.load(path), housing()
    assert copy.X.tobytes() == shipped.X.tobytes()
    assert copy.y.tobytes() == shipped.y.tobytes()


def test_other_arithmetic_on_sound_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def standardise_row_by_row(raw: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = np.ascontiguousarray(raw)  # the same formula, summed in another order
        return np.asarray((rows - rows.mean(axis=0)) / rows.std(axis=0), dtype=np.float64)

    X = standardise_row_by_row(datasets.parse(datasets.HOUSING_CSV.read_bytes()))
    # A mean, of up to 8.6 deviations, is rounded 506 times: sqrt(506) * 8.6 * 2^-53 is 2e-14, and this is five of them.
    np.testing.assert_allclose(X, housing().X, rtol=0, atol=1e-13)
    monkeypatch.setattr(datasets, "standardise", standardise_row_by_row)
    with pytest.raises(DatasetError) as refusal:
        datasets.load(datasets.HOUSING_CSV)
    assert str(refusal.value) == (
        f"X standardised from {datasets.HOUSING_CSV}: expected SHA-256 {X_SHA256}, "
        f"got {hashlib.sha256(X.tobytes()).hexdigest()}. "
        f"The file's bytes are right, so NumPy {np.__version__} "
        "rounds the mean or the standard deviation differently here. "
        "Use the NumPy version pinned in constraints.txt."
    )


def test_a_refusal_is_not_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets._shipped.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "HOUSING_CSV", tmp_path / "absent.csv")
        with pytest.raises(DatasetError, match=r"absent\.csv: expected the shipped file"):
            housing()
    assert isinstance(housing(), Housing)


# ------------------------------------------------------------------------- the form of the published figures

SOUND = """
[documents.page]
title = "t"
[[group]]
document = "page"
name = "check"
place = "p"
note = "n"
[group.values]
a = 1.5
b = [1, 2]
[group.notes]
a = "m"
"""


def test_every_entry_has_a_document_and_a_place() -> None:
    documents = tomllib.loads(PUBLISHED_TOML.read_text(encoding="utf-8"))["documents"]
    assert list(documents) == ["readme", "spiral", "value_class", "assignment", "course"]
    for document in documents.values():
        assert sorted(document) == ["description", "title"]
        assert all(document.values())
    for key, entry in entries().items():
        assert re.fullmatch(rf"{entry.document}\.\w+\.\w+", key)
        assert entry.place.strip() == entry.place != ""
        assert isinstance(entry.value, float | int | bool | str | tuple)
    assert Counter(entry.document for entry in entries().values()).keys() == documents.keys()


def test_no_group_has_an_unknown_field() -> None:
    known = {"document", "name", "place", "note", "values", "notes"}
    for group in tomllib.loads(PUBLISHED_TOML.read_text(encoding="utf-8"))["group"]:
        assert group.keys() <= known


def test_a_sound_text_parses() -> None:
    assert parse(SOUND) == {
        "page.check.a": Entry(1.5, "page", "p", "n m"),
        "page.check.b": Entry((1, 2), "page", "p", "n"),
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param('place = "p"\n', "", "lacks place", id="no-place"),
        pytest.param('place = "p"', 'place = ""', "lacks place", id="empty-place"),
        pytest.param('document = "page"\n', "", "lacks document", id="no-document"),
        pytest.param('document = "page"', 'document = "book"', "no document 'book'", id="unknown-document"),
        pytest.param('a = "m"', 'c = "m"', "notes on c, not among the values", id="note-on-no-value"),
        pytest.param("b = [1, 2]", "a = 2", "overwrite", id="value-twice"),
    ],
)
def test_a_damaged_text_is_refused(old: str, new: str, message: str) -> None:
    assert SOUND.count(old) == 1
    with pytest.raises(ValueError, match=message):
        parse(SOUND.replace(old, new))


def test_a_key_in_two_groups_is_refused() -> None:
    again = SOUND[SOUND.index("[[group]]") :]
    with pytest.raises(ValueError, match=r"^page\.check\.a: given twice"):
        parse(SOUND + again)


def test_an_unknown_key_names_close_matches() -> None:
    with pytest.raises(KeyError) as refusal:
        published("assignment.foward.L")
    (message,) = refusal.value.args
    assert message == (
        "published.toml has no key 'assignment.foward.L' (document.group.name); "
        "nearest: assignment.forward.L, assignment.forward.dL, assignment.forward.val_1"
    )


def test_the_figures_cannot_be_overwritten() -> None:
    weights = published("assignment.check_point.weights").value
    assert weights == (0.1,) * 9
    with pytest.raises(TypeError, match="does not support item assignment"):
        weights[0] = 0.2
    with pytest.raises(TypeError, match="does not support item assignment"):
        entries()["assignment.check_point.weights"] = Entry(0, "assignment", "nowhere")  # type: ignore[index]


# ------------------------------------------------------------------- figures that follow from other figures


def figures(prefix: str) -> dict[str, float]:
    """The numbers of one group by their names."""
    found = {k.removeprefix(prefix + "."): e.value for k, e in entries().items() if k.startswith(prefix + ".")}
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def test_assignment_check_values_follow_from_each_other() -> None:
    f, g = figures("assignment.forward"), figures("assignment.backward")
    X, y = housing()
    x0, x1 = X[0, :2].tolist()
    w0, w1, w8 = (published("assignment.check_point.weights").value[i] for i in (0, 1, 8))
    y_pred = f["part_1"] + f["sigmoid"] * w8
    assert ulps_apart(np.array([(y[0] - y_pred) ** 2, 2 * (y_pred - y[0])]), np.array([f["L"], f["dL"]])) <= 4
    assert g["dw9"] == f["dL"] * f["sigmoid"]
    assert g["dw8"] == f["dL"] * w8 * f["sigmoid"] * (1 - f["sigmoid"])
    assert g["dw7"] == f["dL"] * (1 - f["part_1"] ** 2)
    assert g["dw6"] == g["dw7"] * f["val_1"]
    assert g["dw1"] == g["dw6"] * (2 * (x0 * w0 + x1 * w1) * x0)
    assert g["dw2"] == g["dw6"] * (2 * (x0 * w0 + x1 * w1) * x1)


def evaluate(formulas: dict[str, str], names: dict[str, float]) -> dict[str, float]:
    """The values of formulas that may use the names, the formulas before them, and a few functions."""
    functions = {"exp": math.exp, "tanh": math.tanh, "sin": math.sin, "cos": math.cos}
    known = names.copy()
    for name, formula in formulas.items():
        known[name] = float(eval(formula, {"sigmoid": lambda z: 1 / (1 + math.exp(-z)), **functions}, known))
    return known


def formulas(*prefixes: str) -> dict[str, str]:
    return {
        key.rpartition(".")[2]: entry.value
        for prefix in prefixes
        for key, entry in entries().items()
        if key.startswith(prefix + ".") and isinstance(entry.value, str)
    }


def check_point() -> dict[str, float]:
    X, y = housing()
    w = published("assignment.check_point.weights").value
    x = X[published("assignment.check_point.sample").value].tolist()
    return {"y": float(y[0])} | {f"x{i}": v for i, v in enumerate(x)} | {f"w{i}": v for i, v in enumerate(w)}


# 128 ulps. Rounding explains 121 in `nine_weight_values` at the check point, counted on either side by
# `oracles.rounding`. A mistyped formula is off by far more.
ROUNDING = 2.0**-45


def assert_close(got: Mapping[str, float], expected: Mapping[str, float]) -> None:
    assert {k: got[k] for k in expected} == pytest.approx(dict(expected), rel=ROUNDING, abs=0)


def test_assignment_formulas_give_the_assignment_check_values() -> None:
    graph, gradients = formulas("assignment.graph"), formulas("assignment.gradients")
    got = evaluate(graph | gradients, check_point())
    expected = figures("assignment.forward") | figures("assignment.backward")
    assert len(expected) == 14
    assert_close(got, expected)
    wrong = evaluate(graph | gradients | {"dw5": gradients["dw5"].replace("x4", "x3")}, check_point())
    with pytest.raises(AssertionError, match="dw5"):
        assert_close(wrong, expected)


def test_readme_formulas_give_the_assignment_check_values() -> None:
    graph = formulas("readme.graph")
    derivatives = {
        "dexp": "part1",
        "dtanh": "1 - part2**2",
        "dsigmoid": "part3*(1 - part3)",
    }
    got = evaluate(graph | derivatives | formulas("readme.gradients"), check_point())
    expected = {f"dw{i}": published(f"assignment.backward.dw{i + 1}").value for i in range(9)}
    assert_close(got, expected | {k: published(f"assignment.forward.{k}").value for k in ("L", "dL")})


def test_readme_rounds_the_same_check_values() -> None:
    loss, seed = published("assignment.forward.L").value, published("assignment.forward.dL").value
    assert round(loss, 4) == published("readme.checks.loss").value
    assert round(seed, 4) == published("readme.checks.dL").value
    sigmoid = published("assignment.sigmoid.value").value
    assert sigmoid == published("readme.checks.sigmoid").value
    argument = published("assignment.sigmoid.argument").value
    assert sigmoid == pytest.approx(1 / (1 + math.exp(-argument)), rel=ulps(1), abs=0)  # one last place
    assert round(loss, 3) != published("readme.checks.loss").value  # three decimals would be seen


def test_readme_speed_up_is_a_ratio_of_losses() -> None:
    losses = figures("readme.losses")
    claim = figures("readme.claim")
    assert round(losses["sgd_last"] / losses["momentum_last"]) == claim["momentum_times_faster_than_sgd"]
    assert min(v for k, v in losses.items() if k.endswith("_last")) == claim["adam_last_loss_is_lowest"]
    assert losses["adam_first"] == max(v for k, v in losses.items() if k.endswith("_first"))


def test_worked_example_in_plain_floats() -> None:
    e = figures("assignment.worked_example")
    w1, eps = e["w1"], e["epsilon"]

    def f(w1: float) -> float:
        return w1**2 * e["x1"] + e["w2"] * e["x2"]

    assert e["gradient"] == 2 * w1 * e["x1"]
    assert e["two_epsilon"] == 2 * eps
    assert round((w1 + eps) ** 2, 8) == e["w1_up_squared"]
    assert round((w1 - eps) ** 2, 8) == e["w1_down_squared"]
    assert round(f(w1 + eps), 8) == e["f_up"]
    assert round(f(w1 - eps), 8) == e["f_down"]
    approx = (f(w1 + eps) - f(w1 - eps)) / (2 * eps)
    assert approx == 5.999999999994898
    assert math.floor(approx * 1e11) / 1e11 == e["approx_gradient"]
    assert (e["gradient"] - approx) / (e["gradient"] + approx) == e["ratio"]
    # The printed quotient has one nine too many: it does not give the printed ratio.
    printed = e["approx_gradient_in_ratio"]
    assert printed > approx
    assert f"{(e['gradient'] - printed) / (e['gradient'] + printed):.2e}" == "4.25e-14"


def test_one_sided_differences_in_plain_floats() -> None:
    q = figures("value_class.quadratic")
    a, b, c = published("value_class.quadratic.coefficients").value

    def f(x: float) -> float:
        return float(a * x**2 + b * x + c)

    assert (f(q["x"] + q["h"]) - f(q["x"])) / q["h"] == q["slope"]
    t = figures("value_class.three_inputs")
    assert t["a"] * t["b"] + t["c"] == t["d1"]
    assert t["a"] * t["b"] + (t["c"] + t["h"]) == t["d2"]
    assert ((t["a"] * t["b"] + (t["c"] + t["h"])) - t["d1"]) / t["h"] == t["slope"]
    assert published("value_class.claim.d2_of_printed_code").value == t["d2"] != t["a"] * t["b"] + t["c"]


def test_neuron_by_hand() -> None:
    v, g, s = (figures(f"value_class.{group}") for group in ("neuron", "neuron_gradients", "neuron_assigned"))
    n = v["x1"] * v["w1"] + v["x2"] * v["w2"] + v["b"]
    tanh = evaluate({"o": published("value_class.value.tanh").value}, {"x": n})["o"]
    # The printed bias is rounded by up to 2^-51, 1.4 ulps of tanh. The rest is exp and three roundings.
    assert tanh == pytest.approx(math.sqrt(0.5), rel=ulps(4), abs=0)
    assert f"{1 - tanh**2:.16f}".startswith(str(g["n_remark"]))
    assert v["b"] == pytest.approx(6 + math.asinh(1), rel=ulps(1), abs=0)  # one last place, if asinh is off by one
    assert g["n"] == s["x1w1x2w2"] == s["b"] == s["x1w1"] == s["x2w2"]
    assert (s["w1"], s["x1"]) == (g["n"] * v["x1"], g["n"] * v["w1"])
    assert (s["w2"], s["x2"]) == (g["n"] * v["x2"], g["n"] * v["w2"])


def test_chain_rule_example() -> None:
    c = figures("course.chain")
    slope, offset = published("course.chain.u_coefficients").value
    assert c["u"] == slope * c["x"] + offset
    assert c["y"] == c["u"] ** 2
    assert (c["dy_du"], c["du_dx"]) == (c["dy_dy"] * 2 * c["u"], slope)
    assert c["dy_dx"] == c["dy_du"] * c["du_dx"]


def test_the_claimed_error_is_not_epsilon_squared() -> None:
    epsilon = published("assignment.claim.error_epsilon").value
    assert epsilon * epsilon == 1e-6
    assert published("assignment.claim.error_at_epsilon").value == 1e-5


def test_the_gradient_check_results_lie_between_the_two_thresholds() -> None:
    check, rule = figures("assignment.gradient_check"), figures("assignment.gradient_check_rule")
    assert (check["first"], check["second"]) == (6.740504599246027e-05, 6.739614976897128e-05)
    assert (check["epsilon_used"], check["epsilon_stated"]) == (1e-4, 10**-7)
    assert rule["right_below"] < check["second"] < check["first"] < rule["wrong_above"] == check["threshold"]
    assert len(published("assignment.gradient_check.second_weights_passed").value) == 9
