"""Documents that can fail: made pages are up to date, links and named tests exist, promises have a test."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from paperbot import __version__
from paperbot.core import types as t
from paperbot.llm.guards import CODES
from shell import call, run

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


def made_pages():
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "scripts" / "make_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PAGES


@pytest.mark.parametrize("name", ["config.md", "metrics.md", "cli.md"])
def test_made_pages_are_up_to_date(name):
    assert (DOCS / name).read_text() == made_pages()[name](), "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        if "…" not in target:
            assert (page.parent / target).exists(), target


def test_tests_that_are_named_exist():
    """Each test of the runbook's table, and those that the contract names, can be collected."""
    text = (DOCS / "RUNBOOK.md").read_text()
    named = set(re.findall(r"tests/test_\w+\.py(?:::test_\w+)?", text))
    assert len(named) > 30
    for one in named:
        file, _, function = one.partition("::")
        code = (ROOT / file).read_text()
        assert not function or re.search(rf"^def {function}\(", code, re.MULTILINE), one
    assert re.search(r"^def test_killswitch", (ROOT / "tests/test_risk_engine.py").read_text(), re.MULTILINE)


def test_every_row_of_the_table_names_a_test():
    text = (DOCS / "RUNBOOK.md").read_text()
    rows = text.partition("## What is proven by which test")[2].splitlines()[3:]
    for row in rows:
        assert "tests/test_" in row, row
    promises = " ".join(row.split("|")[1] for row in rows)
    for section in (*(f"C{number}" for number in range(1, 9)), *(f"§{number}" for number in range(2, 11))):
        assert section in promises, section


def test_the_suite_is_as_large_as_the_runbook_says(request):
    if len(request.config.args) > 1 or request.config.args[0] not in {str(ROOT / "tests"), "tests", str(ROOT)}:
        pytest.skip("only a part of the suite is run")
    stated = int(re.search(r"more than (\d+) passed", (DOCS / "RUNBOOK.md").read_text())[1])
    assert request.session.testscollected > stated


def test_decisions_are_indexed():
    folder = DOCS / "decisions"
    index = (folder / "README.md").read_text()
    for path in sorted(folder.glob("ADR-*.md")):
        title = path.read_text().splitlines()[0].removeprefix("# ").split(": ", 1)
        if title[0] != "ADR-0000":
            assert f"| [{title[0]}]({path.name}) | {title[1]} |" in index, path.name
        for part in ("Status: ", "Date: ", "## Context", "## Decision", "## Consequences"):
            assert part in path.read_text(), (path.name, part)


def test_fills_explains_every_block_code_and_advice_every_guard():
    fills = (DOCS / "fills.md").read_text()
    for code in t.Code:
        if t.Code.NONE < code < t.Code.FILLED:
            assert f"| `{code.name.lower()}` |" in fills, code
        elif code >= t.Code.FILLED:
            assert f"`{code.name.lower()}`" in fills, code
    advice = (DOCS / "advice.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", advice, re.MULTILINE) == list(CODES)


def test_commands_of_the_documents_exist():
    """Every `paperbot …` that a page shows is a command with the options that it has."""
    helps = {}
    pattern = re.compile(r"^(?:PYTHONPATH=src )?paperbot ((?:[a-z]+ ?)+)(.*)$", re.MULTILINE)
    for page in PAGES:
        blocks = "\n".join(re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text(), re.DOTALL))
        for words, rest in pattern.findall(blocks):
            command = tuple(words.split())
            if command not in helps:
                code, _, err = call([*command, "--help"], ROOT)
                assert code == 0, (page, words, err)
                helps[command] = (DOCS / "cli.md").read_text()
            for option in re.findall(r"--[a-z][a-z-]+", rest.partition("#")[0]):
                assert option in helps[command], (page, words, option)


def test_poetry_puts_the_environment_into_the_checkout():
    assert "in-project = true" in (ROOT / "poetry.toml").read_text()


def test_version_is_the_packages():
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.long
@pytest.mark.parametrize("command", [["ruff", "check"], ["flake8"]])
def test_linters_find_nothing(command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_no_page_speaks_of_the_workplace():
    for page in [*PAGES, *(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "config").rglob("*")]:
        if page.is_file() and page.name not in {"conftest.py", "test_docs.py"}:
            assert "../shared" not in page.read_text(), page


def test_readme_shows_what_a_run_prints(tmp_path):
    """Each line of the README's run, cut where it says …, is part of one line of a real one, in order."""
    shown = re.search(r"## What a run looks like\n\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    code, out, _ = run(["demo"], tmp_path, PROMETHEUS_PORT="0")
    assert code == 0
    lines = iter(out.splitlines())
    for line in shown.splitlines():
        if line != "…":
            parts = line.split("…")
            assert any(all(part in real for part in parts) for real in lines), line
