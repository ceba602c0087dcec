"""What all tests share: where the recorded market data lies, and which tests a run leaves out."""

import os
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck

import effort
from paperbot.market import instruments

ROOT = Path(__file__).resolve().parent.parent


def real_data_folder() -> Path:
    return Path(os.environ.get("PAPERBOT_REAL_DATA", ROOT.parent / "shared" / "data"))


def _folder_or_skip() -> Path:
    folder = real_data_folder()
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real market data in {folder} (set PAPERBOT_REAL_DATA)")
    return folder


@pytest.fixture
def real_data() -> Path:
    """The folder of recorded market data; a test that needs it is skipped where there is none."""
    return _folder_or_skip()


@pytest.fixture(scope="module")
def real_data_module() -> Path:
    """The same for fixtures of a module."""
    return _folder_or_skip()


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory):
    """What the tests' strategies are remembered by is not the developer's; started processes take it over."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.getbasetemp() / "state")


@pytest.fixture(autouse=True)
def _no_kept_rules(tmp_path_factory, monkeypatch):
    """No test depends on what a developer has fetched from a venue."""
    monkeypatch.setattr(instruments, "FOLDER", tmp_path_factory.getbasetemp() / "instruments")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options for more than `make test` runs."""
    parser.addoption("--long", action="store_true", help="run the long tests too, and all of each test's examples")
    parser.addoption("--slow", action="store_true", help="run the slow tests too; includes --long")


def pytest_configure(config: pytest.Config) -> None:
    """Set how much effort each test makes, before any test is imported. No example has a deadline: machines differ."""
    effort.is_slow = config.getoption("--slow")
    effort.is_long = effort.is_slow or config.getoption("--long")
    is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
    hypothesis.settings.register_profile("paperbot", deadline=None, suppress_health_check=is_fine)
    hypothesis.settings.load_profile("paperbot")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this run leaves out, each with the command that runs it."""
    for item in items:
        if item.get_closest_marker("slow") and not effort.is_slow:
            item.add_marker(pytest.mark.skip(reason="slow: `make slow` runs it"))
        elif item.get_closest_marker("long") and not effort.is_long:
            item.add_marker(pytest.mark.skip(reason="long: `make test-all` runs it"))
