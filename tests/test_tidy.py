"""The house rules, as a test: layers, one file for each vendor, banned calls, lengths. Exceptions stand here by name,
and the list only shrinks."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "paperbot"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "shipped" not in path.parts)  # Templates for users.

LAYERS = [
    {"main"},
    {"cli"},
    {"app"},
    {"live", "research", "exchange", "web"},
    {"engine", "market", "store", "llm", "telemetry"},
    {
        *("events", "ports", "strategy", "config", "settings", "knobs", "environment", "names"),
        *("provenance", "cash", "figures", "redact", "failpoint", "errors", "clock"),
        *("signals", "symbols", "timeframe", "validation", "yaml12"),
    },
    {"core"},
]
"""From the top: a module imports from lower layers, and from its own folder; in braces nobody imports a sibling."""

WITHIN_LAYER = {
    *(("config", other) for other in ("settings", "knobs", "errors", "redact", "validation", "yaml12")),
    *(("provenance", other) for other in ("config", "knobs", "ports")),
    *(("cash", other) for other in ("config", "errors")),
    ("ports", "events"),
    ("validation", "errors"),
    ("clock", "errors"),
    *(("signals", other) for other in ("clock", "events")),
    ("settings", "knobs"),
    ("environment", "errors"),
    ("symbols", "errors"),
    *(("timeframe", other) for other in ("errors", "knobs")),
}

CORE_IMPORTS = {"numpy", "numba", "enum", "math", "typing", "collections"}
CORE_EXCEPTIONS = {
    "core/numeric.py": {"hashlib", "os", "pathlib"},  # It places the cache of machine code.
    "core/pointer.py": {"llvmlite", "operator"},  # Numba's extension interface.
}
VENDORS = {
    "numba": {"core/numeric.py", "core/pointer.py"},
    "pydantic": {
        *("settings.py", "knobs.py", "config.py", "environment.py", "validation.py"),
        *("llm/contract.py", "llm/client.py", "market/ccxt_source.py"),
    },
    "pydantic_settings": {"environment.py"},
    "dotenv": {"environment.py"},
    "yaml": {"yaml12.py"},
    "structlog": {"telemetry/logs.py"},
    "prometheus_client": {"telemetry/metrics.py"},
    "openai": {"llm/client.py"},
    "httpx": {"llm/client.py"},
    "typer": {"cli/options.py", "cli/offline.py", "cli/live.py", "cli/look.py", "cli/research.py"},
    "rich": {f"cli/{name}.py" for name in ("options", "summary", "offline", "look", "research")},
    "pyarrow": {
        *("market/files.py", "market/sheets.py", "market/times.py", "market/numbers.py"),
        "market/trades.py",
        "store/tables.py",
        "store/parquet.py",
        "store/bars.py",
        "store/chart.py",
        "store/days.py",
        "store/results.py",
        "store/sweeps.py",
    },
    "plotly": {"web/page.py"},
    "ray": {"research/schedule.py"},
    "ccxt": {"market/ccxt_source.py"},
    "tenacity": {"market/ccxt_source.py", "market/source.py", "store/journal.py"},
    "aiohttp": {"exchange/venue.py", "market/bounded.py"},
    "sqlite3": {"store/journal.py"},
    "apprise": {"telemetry/notify.py"},
}
MAX_LINES = 400
MAX_FUNCTION = 70
LONG_FILES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {"post_fill": 75}

BANNED_IN_CORE = {"exp", "log", "pow", "random", "time", "sum", "datetime", "fastmath", "print", "open"}
DECLARED = {f"core/{name}.py" for name in ("types", "codes", "fields", "inputs", "memory", "results")}
"""Codes and records: nothing there is compiled."""
CHECKPOINT = {"insert": {"core/orders.py", "core/risk.py"}}
"""Only the gate places orders."""


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def layer_of(module: str) -> int | None:
    return next((rank for rank, names in enumerate(LAYERS) if module in names), None)


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.fixture(scope="module")
def trees():
    return {name_of(path): ast.parse(path.read_text()) for path in FILES}


def test_layers_only_look_down(trees):
    for name, tree in trees.items():
        own = name.split("/")[0].removesuffix(".py")
        if own == "__init__":
            continue
        rank = layer_of(own)
        assert rank is not None, f"{name} belongs to no layer"
        for module in imports(tree):
            if not module.startswith("paperbot."):
                continue
            other = module.split(".")[1]
            if other != own:
                assert layer_of(other) > rank or (own, other) in WITHIN_LAYER, f"{name} imports {module}"


def test_no_import_leads_back_to_where_it_started(trees):
    """Over all imports, those inside functions and those for types alone included."""
    modules = {"paperbot." + name.removesuffix(".py").replace("/", "."): tree for name, tree in trees.items()}
    graph = {}
    for module, tree in modules.items():
        found = {name for name in imports(tree) if name in modules}
        for node in ast.walk(tree):  # `from paperbot.core import types` names a module, too.
            if isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names} & modules.keys()
        graph[module] = found - {module}
    TopologicalSorter(graph).prepare()  # Raises CycleError.


def test_core_imports_next_to_nothing(trees):
    for name, tree in trees.items():
        if name.startswith("core/"):
            allowed = CORE_IMPORTS | CORE_EXCEPTIONS.get(name, set())
            foreign = {module.split(".")[0] for module in imports(tree)} - allowed - {"paperbot"}
            assert not foreign, f"{name} imports {foreign}"


def test_a_vendor_is_imported_where_it_belongs(trees):
    for name, tree in trees.items():
        for module in imports(tree):
            home = VENDORS.get(module.split(".")[0])
            assert home is None or name in home, f"{name} imports {module}"


def test_banned_calls_in_the_core(trees):
    for name, tree in trees.items():
        if not name.startswith("core/") or name in DECLARED:
            continue
        for node in ast.walk(tree):
            called = getattr(node, "id", None) or getattr(node, "attr", None)
            assert called not in BANNED_IN_CORE, f"{name}:{node.lineno} uses {called}"
            power = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
            assert not power, f"{name}:{node.lineno} uses **"


def test_records_are_read_by_key_not_by_attribute(trees):
    fields = {"free", "locked", "quantity", "filled", "cost", "close_ts", "open_ts", "halted"}
    for name, tree in trees.items():
        if name.startswith("core/") and name not in DECLARED:
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in fields, f"{name}:{node.lineno} reads .{node.attr}"


def test_events_are_made_in_one_place():
    """Elsewhere they are copied, cut and flagged, but none is put together from its fields."""
    for path in FILES:
        name = name_of(path)
        if name != "events.py" and not name.startswith("core/"):
            assert not re.search(r"dtype=(t\.)?(BAR|SIGNAL|ORDER|CONTROL)_EVENT", path.read_text()), name


def test_only_the_gate_places_orders(trees):
    for called, homes in CHECKPOINT.items():
        for name, tree in trees.items():
            if name in homes or not name.startswith("core/"):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and node.module == "paperbot.core.orders":
                    assert called not in {alias.name for alias in node.names}, f"{name} imports {called}"


def test_lengths(trees):
    for path in FILES:
        name = name_of(path)
        lines = len(path.read_text().splitlines())
        assert lines <= LONG_FILES.get(name, MAX_LINES), f"{name} has {lines} lines"
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = node.end_lineno - node.lineno + 1
                assert size <= LONG_FUNCTIONS.get(node.name, MAX_FUNCTION), f"{name}: {node.name} has {size} lines"


def test_app_only_wires():
    """It builds, connects and closes; what decides stands in another room."""
    assert sum(len(path.read_text().splitlines()) for path in FILES if name_of(path).startswith("app/")) < 1000


def test_one_folder_level():
    assert all(len(path.relative_to(PACKAGE).parts) <= 2 for path in FILES)


def test_no_error_is_swallowed(trees):
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or getattr(node.type, "id", "") in {"Exception", "BaseException"}
                silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
                assert not (broad and silent), f"{name}:{node.lineno}"


def test_nothing_is_left_to_do():
    for path in FILES:
        assert not re.search(r"\b(FIXME|TODO|XXX)\b", path.read_text()), path


def test_every_module_is_used(trees):
    """A module that nobody imports is dead."""
    used = {module for tree in trees.values() for module in imports(tree)}
    used |= {
        f"{node.module}.{alias.name}"
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    entry = {"paperbot", "paperbot.main"}
    for path in FILES:
        module = "paperbot." + name_of(path).removesuffix(".py").replace("/", ".")
        module = module.removesuffix(".__init__")
        children = any(other.startswith(module + ".") for other in used)
        assert module in used | entry or children, f"{module} is imported by nobody"


def test_help_is_quick_because_it_imports_no_engine():
    code = "import sys; from paperbot import cli; print([m for m in ('numba','ccxt','pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_module_reads_the_clocks(trees):
    """Another may wait (`time.sleep`), but asks `clock.py` what time it is."""
    readings = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "now", "utcnow"}
    for name, tree in trees.items():
        if name == "clock.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
                assert not readings & {alias.name for alias in node.names}, name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                reads = node.attr in readings and node.value.id in {"time", "datetime", "date"}
                assert not reads, f"{name}: line {node.lineno} reads a clock"
