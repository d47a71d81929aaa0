"""A green run and one with three planted faults leave reports that say so, also in JUnit's XML and on GitHub."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from oracles.report import Results, load, merged
from oracles.report.page import page
from tests.meta.test_gate import copy_house, plant
from tests.meta.test_results import VALIDATOR, results_of

ROOT = Path(__file__).parents[2]


class Run(NamedTuple):
    """What a run of the gate leaves behind."""

    code: int
    output: str
    house: Path
    folder: Path

    @property
    def results(self) -> Results:
        return load(self.folder / "report" / "results.json")

    @property
    def page(self) -> Path:
        return self.folder / "report" / "index.html"


def run(house: Path, folder: Path, *options: str) -> Run:
    """The gate of `house`, as on GitHub, with everything that it can write in `folder`."""
    written = ("--report", str(folder / "report"), "--junitxml", str(folder / "junit.xml"))
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-n", "0")
    command = [sys.executable, "-m", "pytest", *quiet, "tests/gate", *options, *written]
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
    done = subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (folder / "report" / "index.html").exists(), done.stdout + done.stderr
    return Run(done.returncode, done.stdout + done.stderr, house, folder)


@pytest.fixture(scope="module")
def green(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All figures, and a test of each suite."""
    some = "figures or (quadratic and scale1) or (averaged_momentum and not adam) or forward_values"
    return run(ROOT, tmp_path_factory.mktemp("green"), "--draws", "3", "-k", some)


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A wrong factor, an unstable formula and a wrong optimizer."""
    house = tmp_path_factory.mktemp("house")
    copy_house(house)
    plant(house, "dw2 = dw6 * (2 * z * x2)", "dw2 = dw6 * (z * x2)")
    plant(house, "dw7 = dprediction * sech * sech", "dw7 = dprediction * (1 - np.tanh(U) ** 2)", "nine_weight_stable")
    plant(house, "return w - rate * m / (np.sqrt(v_hat) + epsilon), Moments", ADAM, "optimizers")
    gradients = "(certified and (nine_weight- or stable or quadratic)) or (complex_step and nine_weight-)"
    some = f"{gradients} or lockstep[adam] or free_running[sgd]"
    return run(house, tmp_path_factory.mktemp("red"), "--draws", "3", "-k", some)


ADAM = "return w - rate * m / np.sqrt(v_hat + epsilon), Moments"


# --- what a run leaves ------------------------------------------------------------------------------------------------


def test_a_green_run_says_yes(green: Run) -> None:
    assert green.code == 0, green.output
    html = green.page.read_text()
    assert "<strong>Yes:</strong> all" in html
    assert 'id="failures"' not in html
    assert len(html) < 3_000_000
    assert (green.folder / "summary.md").read_text().startswith("## backproof: all right\n")
    assert "::error" not in green.output


def test_every_figure_and_table_is_there_with_its_sentence(green: Run) -> None:
    html = green.page.read_text()
    sections = re.findall(r'<section id="([\w-]+)".*?</section>', html, re.DOTALL)
    drawn = ["digits", "v-curve", "losses", "graphs", "networks", "gradient-norms", "detection", "drift"]
    assert sections == ["verdicts", *drawn, "tables"]
    assert html.count('<p class="reading">How to read') == len(sections)
    assert html.count("<figure ") == 4 + 1 + 5 + 4 + 4 + 1 + 1 + 1


def test_the_three_faults_are_told_apart_with_line_and_command(red: Run) -> None:
    assert red.code == 1
    failures = {r["on_trial"]: r for r in red.results.records if r["outcome"] == "failed"}
    assert {name: (r["cause"]["file"], line(red, r)) for name, r in failures.items()} == {
        "nine_weight": ("manual/nine_weight.py", "dw2 = dw6 * (z * x2)"),
        "sgd": ("manual/nine_weight.py", "dw2 = dw6 * (z * x2)"),  # right, and led astray
        "nine_weight_stable": ("manual/nine_weight_stable.py", "dw7 = dprediction * (1 - np.tanh(U) ** 2)"),
        "adam": ("manual/optimizers.py", "def adam("),
    }
    texts = {name: r["cause"]["text"] for name, r in failures.items()}
    assert "\nit lacks the factor 2: with `" in texts["nine_weight"]
    assert texts["nine_weight_stable"].startswith("right in exact arithmetic; in float64 the digits of dw7 are lost")
    assert texts["adam"] == "the steps that it takes are those of Adam with epsilon inside the square root"
    html = red.page.read_text()
    assert html.count('<article id="failure-') == 3
    for record in failures.values():
        place = f"{record['cause']['file']}:{record['cause']['line']}"
        assert f"<code>{place}</code>" in html
        assert f"::error file={record['cause']['file']},line={record['cause']['line']}," in red.output
        assert place in (red.folder / "summary.md").read_text()
    assert html.count("pytest &#39;tests/gate/test_") == 3
    assert "0x7f" not in html


def line(made: Run, record: dict[str, Any]) -> str:
    """The text of the line that is blamed, in the house that was on trial."""
    lines = (made.house / str(record["cause"]["file"])).read_text().splitlines()
    number: int = record["cause"]["line"]
    return lines[number - 1].strip()


@pytest.mark.parametrize("name", ["green", "red"])
def test_results_fit_the_schema_and_junit_has_every_test(name: str, request: pytest.FixtureRequest) -> None:
    made: Run = request.getfixturevalue(name)
    content = json.loads((made.folder / "report" / "results.json").read_text())
    assert list(VALIDATOR.iter_errors(content)) == []
    suite = ElementTree.parse(made.folder / "junit.xml").getroot()[0]
    tests = {r["test"] for r in made.results.records}
    assert int(suite.attrib["tests"]) == len(tests) == len(suite.findall("testcase"))
    failed = {r["test"] for r in made.results.records if r["outcome"] == "failed"}
    assert int(suite.attrib["failures"]) == len(failed)


def test_two_half_runs_are_one_whole_run(tmp_path: Path) -> None:
    """Of files, whose records hold no times."""
    head = "import numpy as np\nfrom oracles import Subject\n\ndef loss(x):\n    return np.sum(x * x)\n\n"
    for name, gradient in (("half", "x"), ("right", "2 * x")):
        (tmp_path / f"{name}.py").write_text(
            f"{head}def gradient(x):\n    return {gradient}\n\nS = Subject('{name}', loss, gradient, [(3,)])\n"
        )
    runs: list[Results] = []
    for number, name in enumerate(("half", "right", "*")):
        path = tmp_path / f"{number}.json"
        results_of(ROOT, path, "-n", "0", "--draws", "2", "--subject", str(tmp_path / f"{name}.py"))
        runs.append(load(path))
    *halves, whole = runs
    assert merged(halves) == merged(halves[::-1]) == whole
    html = page(whole)
    assert page(merged(halves)) == html
    assert "it lacks the factor 2" in html
    assert "half.py:8</code>" in html


def test_the_readme_shows_two_pictures_of_the_page(green: Run) -> None:
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert len(shown) == 2
    html = green.page.read_text()
    for name, original in zip(shown, ("digits-pytorch", "v-curve-plot"), strict=True):
        committed = (ROOT / name).read_text()
        assert len(committed) < 100_000
        picture = re.search(rf'<figure id="{original}".*?(<svg.*?</svg>)', html, re.DOTALL)
        assert picture
        assert texts(committed) == texts(picture[1])


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


# --- in a browser -----------------------------------------------------------------------------------------------------

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
DRIVER = shutil.which("chromedriver")
in_a_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and its driver: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    assert CHROMIUM
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, made: Run, width: int = 1280, scheme: str = "light") -> None:
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(made.page.as_uri())


OVERFLOWS = "const page = document.documentElement; return page.scrollWidth > page.clientWidth;"
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


def logged(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Errors and warnings of the console since the last look."""
    read: Any = browser.get_log
    found: list[dict[str, Any]] = read("browser")
    return found


@in_a_browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_seen_and_nothing_complains(
    green: Run, browser: webdriver.Chrome, width: int, scheme: str
) -> None:
    opened(browser, green, width, scheme)
    assert not browser.execute_script(OVERFLOWS)
    assert logged(browser) == []
    shown = browser.find_elements(By.CSS_SELECTOR, "figure:not([hidden]) svg")
    assert len(shown) == 19
    for picture in shown:
        assert picture.is_displayed(), picture.accessible_name
        assert picture.rect["width"] > 250
        assert picture.rect["height"] > 100
        assert picture.rect["x"] >= 0
    colour = browser.execute_script(COLOURS)
    assert (sum(colour["ink"]) < sum(colour["paper"])) == (scheme == "light")
    assert colour["axis"] == colour["ink"]


COLOURS = """
const rgb = (element, what) => getComputedStyle(element)[what].match(/\\d+/g).slice(0, 3).map(Number);
const label = [...document.querySelectorAll("svg text")].find((text) => text.textContent === "mean loss");
return {ink: rgb(document.body, "color"), paper: rgb(document.body, "backgroundColor"), axis: rgb(label, "fill")};
"""


@in_a_browser
def test_a_sample_is_chosen(green: Run, browser: webdriver.Chrome) -> None:
    opened(browser, green)
    graphs = browser.find_elements(By.CSS_SELECTOR, "#graphs figure")
    assert [graph.is_displayed() for graph in graphs] == [True, False, False, True]
    browser.find_element(By.CSS_SELECTOR, "#graphs select").send_keys(Keys.ARROW_DOWN)
    assert [graph.is_displayed() for graph in graphs] == [False, True, False, True]


@in_a_browser
def test_tables_are_sorted_by_a_press_on_their_heads(green: Run, browser: webdriver.Chrome) -> None:
    opened(browser, green)
    table = browser.find_element(By.CSS_SELECTOR, "#tables table")
    heads = table.find_elements(By.TAG_NAME, "th")
    column = [head.text for head in heads].index("digits")
    button = heads[column].find_element(By.TAG_NAME, "button")

    def cells() -> list[str]:
        return [cell.text for cell in table.find_elements(By.CSS_SELECTOR, f"td:nth-child({column + 1})")]

    button.send_keys(Keys.ENTER)
    rising = cells()
    numbers = [float(cell) for cell in rising if cell != "all"]
    assert len(set(numbers)) > 1
    assert numbers == sorted(numbers)
    assert heads[column].get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.SPACE)
    assert [cell for cell in cells() if cell != "all"] == [cell for cell in rising[::-1] if cell != "all"]
    assert heads[column].get_attribute("aria-sort") == "descending"


@in_a_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_a_failure_is_reached_by_keyboard(red: Run, browser: webdriver.Chrome, width: int) -> None:
    """From the top of the page to the list of failures, and from a cell of the matrix to its failure."""
    opened(browser, red, width)
    assert not browser.execute_script(OVERFLOWS)
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.current_url.endswith("#failures")
    browser.find_element(By.CSS_SELECTOR, ".matrix td.failed a").send_keys(Keys.ENTER)
    target = browser.find_element(By.CSS_SELECTOR, "article:target")
    assert target.find_element(By.TAG_NAME, "h3").text.startswith("nine_weight")
    details = target.find_element(By.TAG_NAME, "details")
    details.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert details.get_attribute("open")
    assert logged(browser) == []
