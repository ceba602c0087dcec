"""Log lines: formats, levels, and no secret in any of them, whatever path it takes."""

import io
import json
import logging
import subprocess
import sys

import pytest

from paperbot import cli
from paperbot.config import masked
from paperbot.environment import known_secrets
from paperbot.redact import Redactor, is_secret_name
from paperbot.telemetry.logs import PLAIN, WHOLE, make_log
from shell import ROOT, environment, run

CANARY = 'cana"ry/+secret=4711'


def lines(log_format="console", level="INFO", secrets=()):
    out = io.StringIO()
    return make_log(log_format, level, Redactor(secrets), out), lambda: out.getvalue().splitlines()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_plain_and_whole_lines_are_the_same_in_every_format(log_format):
    log, written = lines(log_format)
    log.info("fill", **{PLAIN: True}, price=1.5, symbol="Ä\n")
    log.info("execution demo complete", **{PLAIN: True})
    log.info("pattern_detected", **{WHOLE: True}, rsi=None)
    assert written() == [
        'fill: {"price": 1.5, "symbol": "\\u00c4\\n"}',
        "execution demo complete",
        '{"event": "pattern_detected", "rsi": null}',
    ]


def test_other_lines_follow_the_format():
    log, written = lines("json")
    log.warning("order_blocked", reason="funds")
    (line,) = written()
    fields = json.loads(line)
    assert (fields.pop("level"), fields) == ("warning", {**fields, "event": "order_blocked", "reason": "funds"})
    log, written = lines("console")
    log.warning("order_blocked", reason="funds")
    assert "order_blocked" in written()[0]
    assert not written()[0].startswith("{")


def test_level_decides_what_is_written():
    log, written = lines(level="WARNING")
    log.info("quiet")
    log.warning("loud")
    assert len(written()) == 1


def _fields(log):
    log.error("failed", text=f"at https://x/?signature={CANARY}&a=1", nested={"deep": [CANARY]})


def _plain(log):
    log.info("fill", **{PLAIN: True}, text=CANARY)


def _by_key(log):
    log.info(
        "request", headers={"X-MBX-APIKEY": "short", "api_key": "abc", "token": "xyz"}, more=[{"secretKey": "def"}]
    )


def _exception(log):
    try:
        int(CANARY)
    except ValueError:
        log.exception("failed")


def _foreign(log):
    logging.getLogger("some.library").warning("cannot sign %s", CANARY)


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("how", [_fields, _plain, _exception, _foreign])
def test_no_secret_is_logged_whatever_way_it_takes(log_format, how):
    log, written = lines(log_format, secrets=[CANARY])
    how(log)
    text = "\n".join(written())
    assert text
    assert "********" in text
    assert "4711" not in text
    assert "ry/+secret" not in text


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_a_key_calls_secret_is_masked(log_format):
    log, written = lines(log_format)
    _by_key(log)
    for value in ("short", "abc", "xyz", "def"):
        assert value not in written()[0]


@pytest.mark.parametrize(
    "name", ["api_key", "apiKey", "secretKey", "X-MBX-APIKEY", "accessToken", "passphrase", "signature", "llm.token"]
)
def test_names_that_say_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["max_tokens_per_day", "symbol", "keys_seen_not", "monkey", "order_id", "notional"])
def test_names_that_do_not(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "form",
    [
        CANARY,
        "cana%22ry%2F%2Bsecret%3D4711",
        "cana%22ry%2f%2bsecret%3d4711",
        'cana\\"ry/+secret=4711',
        "Y2FuYSJyeS8rc2VjcmV0PTQ3MTE",
    ],
)
def test_a_secret_is_found_in_its_usual_disguises(form):
    assert Redactor([CANARY])(f"x{form}y") == "x********y"


def test_a_secret_with_quotes_and_backslashes_is_found_in_a_traceback():
    value = "back\\slash'q\"x"
    log, written = lines("json", secrets=[value])
    try:
        int(value)
    except ValueError:
        log.exception("failed", text=value)
    assert "\\slash" not in "".join(written())


def test_the_user_part_of_an_address_is_masked():
    assert Redactor()("at https://u:hunter2pass@host/x?a=1") == "at https://********@host/x?a=1"


def test_words_of_ours_are_not_taken_for_secrets(monkeypatch):
    for name, value in (("PARTITION_KEY", "symbol"), ("A_TOKEN", "complete"), ("MY_SECRET", "strategy")):
        monkeypatch.setenv(name, value)
    assert not {"symbol", "complete", "strategy"} & set(known_secrets())


def test_a_short_value_is_no_secret():
    assert Redactor(["bar", "foo"])("bars of food") == "bars of food"


def test_configuration_masks_secrets():
    assert masked("llm.api_key", "abc") == "********"
    assert masked("llm.credential_env", "OPENAI_API_KEY") == "OPENAI_API_KEY"


def test_errors_and_tracebacks_are_redacted(tmp_path, monkeypatch, capsys):
    code, out, err = run(["config", "show", "--set", f"llm.base_url=https://x/?a={CANARY}"], ROOT, MY_API_KEY=CANARY)
    assert code == 0
    assert "llm.base_url" in out
    assert "4711" not in out + err
    code, out, err = run([CANARY], tmp_path, MY_API_KEY=CANARY)
    assert "4711" not in out + err
    code, _, err = run(["replay", f"BTC/USDT={CANARY}.csv"], tmp_path, MY_API_KEY=CANARY)
    assert code == 2
    assert "there is no such file" in " ".join(err.split())
    assert "4711" not in err
    monkeypatch.setenv("MY_API_KEY", CANARY)

    def fail(_arguments):
        raise RuntimeError(CANARY)

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main(["x"])
    assert stopped.value.code == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "4711" not in err


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_runs_own_log_knows_the_credentials(tmp_path, place):
    """A secret that gets into a log line of a real run, here as the name of a strategy, is masked there."""
    (tmp_path / "config").mkdir()
    name = "canary47"
    strategies = f"strategies: [{{name: {name}, kind: mean_reversion}}]\n"
    (tmp_path / "config/config.yaml").write_text(strategies)
    variables = {"BINANCE_SPOT_TESTNET_API_KEY": name}
    if place == ".env":
        (tmp_path / ".env").write_text(f"BINANCE_SPOT_TESTNET_API_KEY={name}\n")
        variables = {}
    code, out, err = run(["demo"], tmp_path, PROMETHEUS_PORT="0", **variables)
    assert code == 0, err
    assert '"strategy": "********"' in out
    assert "canary47" not in out + err


def test_a_dotenv_that_is_no_text_is_one_sentence(tmp_path):
    (tmp_path / ".env").write_bytes(b"\xff\xfeO\x00F\x00")
    code, _, err = run([], tmp_path)
    assert (code, len(err.strip().splitlines())) == (2, 1)
    assert ".env: is not UTF-8" in err


def test_secrets_have_no_repr():
    code = "from paperbot.environment import secret; s = secret('THE_API_KEY'); print(repr(s), str(s), [s])"
    env = environment(THE_API_KEY="canary4711")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "canary4711" not in done.stdout
    assert "****" in done.stdout
