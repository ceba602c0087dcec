"""The shipped observability stack, read from its files, and a real Prometheus with the shipped configuration."""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
import yaml

from shell import PATIENCE_S, ROOT, wait_until

CONFIG = ROOT / "config"
RULES = CONFIG / "rules/paperbot.yml"
DASHBOARD = CONFIG / "grafana/dashboards/paperbot-overview.json"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRAPE = "bot:8000"


def need(program: str) -> str:
    """The program's path; the test is skipped where there is none."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"no {program} here (make stack-tools)")
    return path


# ---- what is shipped ----------------------------------------------------------------------------------------------
def rows() -> dict[str, list[dict]]:
    """The dashboard's panels by row, folded rows included."""
    found: dict[str, list[dict]] = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        if panel["type"] == "row":
            row = found[panel["title"]] = list(panel["panels"])
        else:
            row.append(panel)
    return found


def _panel_queries(kind: str) -> dict[str, str]:
    return {
        f"panel {panel['title']} {target['refId']}": target["expr"]
        for panels in rows().values()
        for panel in panels
        for target in panel["targets"]
        if target["datasource"]["type"] == kind
    }


def rules(kind: str) -> dict[str, dict]:
    """Rules of a kind (`alert` or `record`) by name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule[kind]: rule for group in groups for rule in group["rules"] if kind in rule}


def _documented(language: str) -> dict[str, str]:
    return {
        f"{page.name}: {line}": line
        for page in DOCUMENTS
        for block in re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    }


def promql() -> dict[str, str]:
    """Every PromQL line there is, by where it stands, with the dashboard's variables at All."""
    recorded = {f"record {name}": rule["expr"] for name, rule in rules("record").items()}
    recorded |= {f"recorded {name}": name for name in rules("record")}
    alerts = {f"alert {name}": rule["expr"] for name, rule in rules("alert").items()}
    every = {**_panel_queries("prometheus"), **recorded, **alerts, **_documented("promql")}
    return {where: query.replace("$market", ".*").replace("$symbol", ".*") for where, query in every.items()}


def logql() -> dict[str, str]:
    """Every LogQL line there is, by where it stands."""
    return {**_panel_queries("loki"), **_documented("logql")}


# ---- a real Prometheus --------------------------------------------------------------------------------------------
class Prometheus:
    """A Prometheus of its own with the shipped configuration, in which only the bot's address is another one."""

    def __init__(self, folder: Path, target: str) -> None:
        program = need("prometheus")
        shipped = (CONFIG / "prometheus.yml").read_text()
        assert shipped.count(SCRAPE) == 1
        folder.mkdir(exist_ok=True)
        (folder / "prometheus.yml").write_text(shipped.replace(SCRAPE, target))
        (folder / "rules").symlink_to(CONFIG / "rules")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self._log = (folder / "log").open("wb")
        command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command.append(f"--web.listen-address={self.url.removeprefix('http://')}")
        self.process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=self._log)

    def __enter__(self):
        self.wait(self._is_ready, lambda: "Prometheus is not ready")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._log.close()

    def _is_ready(self) -> bool:
        """An OSError while it is not: no one listens yet, or it answers that it is starting."""
        with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE_S):  # noqa: S310
            return True

    def _get(self, path: str, **parameters: str):
        url = f"{self.url}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None

    def query(self, promql: str) -> list[dict]:
        """The series that an instant query answers with."""
        return self._get("/api/v1/query", query=promql)["result"]

    def targets(self) -> list[dict]:
        return self._get("/api/v1/targets")["activeTargets"]

    def firing(self) -> set[str]:
        """Names of alerts that fire."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def wait(self, condition, otherwise) -> None:
        """Wait until the condition holds; a question that is not answered in time is asked again."""

        def holds() -> bool:
            with contextlib.suppress(OSError):
                return condition()
            return False

        wait_until(holds, otherwise)

    def wait_for_series(self, promql: str) -> None:
        self.wait(lambda: self.query(promql), lambda: f"no series: {promql}")

    def wait_for_scrapes(self, count: int) -> None:
        """Wait until the bot has answered so many scrapes, and the rules were evaluated after that."""
        self.wait_for_series(f'sum_over_time(up{{job="paperbot"}}[1h]) >= {count}')
        began = self.query("time()")[1]
        self.wait_for_series(f"min(timestamp(paperbot:orders_blocked:rate5m)) > {began}")
