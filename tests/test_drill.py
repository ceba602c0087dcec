"""The kill-switch drill, in processes of their own: gauge, trip, blocks; the halt outlives the process."""

import hashlib
import re
import signal

import pytest

from paperbot.app.drill import STATE
from shell import call, finish, read_until, run, scrape, start, url_of


def signed(content, header):
    """The state with another header, its checksum made anew."""
    body = content[:12] + len(header).to_bytes(4, "little") + header + b"state"
    return body + hashlib.sha256(body).digest()


@pytest.fixture(scope="module")
def tripped(tmp_path_factory):
    """A folder where the drill was run and held, and what its metrics said meanwhile."""
    folder = tmp_path_factory.mktemp("drill")
    process = start(["drill", "killswitch", "--hold", "60"], folder, PROMETHEUS_PORT="0")
    out = read_until(process, "^kill switch: ")
    text = scrape(url_of(out))
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert (code, err) == (0, "")
    return folder, out, text


def test_killswitch_drill_flips_the_gauge_trips_once_and_blocks_orders(tripped):
    _, out, text = tripped
    assert 'paperbot_killswitch_active{market="crypto"} 1.0' in text
    assert re.search(r"^killswitch_trips_total 1\.0$", text, re.MULTILINE)
    assert 'orders_blocked_total{reason="killswitch"} 2.0' in text
    assert len(re.findall(r"killswitch_tripped", out)) == 1
    assert "kill switch: halted (daily_loss); trips: 1; orders blocked by it here: 2" in out
    order = [out.index(words) for words in ("order submitted: ", "fill: ", "killswitch_tripped", "order_blocked")]
    assert order == sorted(order)


def test_killswitch_halt_outlives_the_process_and_only_resume_lifts_it(tripped):
    folder, _, _ = tripped
    for reload in (run, call):
        code, out, _ = reload(["drill", "reload"], folder, PROMETHEUS_PORT="0")
        assert code == 0
        assert "kill switch: halted (daily_loss); trips: 1; orders blocked by it here: 1" in out
        assert "order submitted" not in out
    code, out, _ = call(["drill", "reload", "--resume"], folder, PROMETHEUS_PORT="0")
    assert code == 0
    assert "killswitch_lifted" in out
    assert "order submitted: " in out
    code, out, _ = call(["drill", "reload"], folder, PROMETHEUS_PORT="0")
    assert "kill switch: not halted" in out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content[:-1], "is damaged"),
        (lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:], "is damaged"),
        (lambda content: b"x" * len(content), "is not a saved state"),
        (lambda content: content[:8] + b"\x63" + content[9:], "has schema 99, but this version reads up to 2"),
        (lambda _: b"", "is not a saved state"),
        (lambda content: signed(content, b'{"link": 5}'), "its header cannot be read"),
        (lambda content: signed(content, b"[" * 50_000), "its header cannot be read"),
        (lambda content: signed(content, b'{"link": "00", "extra": {}, "layout": []}'), "its header cannot be read"),
        (lambda content: signed(content, b"\xff"), "its header cannot be read"),
    ],
)
def test_saved_state_that_is_not_whole_is_refused_and_kept(tripped, tmp_path, change, message):
    folder, _, _ = tripped
    content = change((folder / "data/drill" / STATE).read_bytes())
    (tmp_path / STATE).write_bytes(content)
    code, _, err = call(["drill", "reload", "--out", str(tmp_path)], folder, PROMETHEUS_PORT="0")
    assert code == 2
    assert message in " ".join(err.split())
    assert (tmp_path / STATE).read_bytes() == content


def test_saved_state_of_another_run_is_refused(tripped):
    folder, _, _ = tripped
    code, _, err = call(["drill", "reload", "--set", "symbols=[ETH/USDT]"], folder, PROMETHEUS_PORT="0")
    assert code == 2
    assert "was saved with symbols = ['BTC/USDT'], but this run has ['ETH/USDT']" in " ".join(err.split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["risk.daily_loss_cap=0", "risk.max_drawdown=0"], "both 0: the kill switch is off"),
        (["risk.daily_loss_cap=0.9", "risk.max_drawdown=0.9"], "the kill switch did not trip"),
    ],
)
def test_a_drill_that_cannot_trip_says_so(tmp_path, settings, message):
    arguments = [part for setting in settings for part in ("--set", setting)]
    code, _, err = call(["drill", "killswitch", *arguments], tmp_path, PROMETHEUS_PORT="0")
    assert code == 2
    assert message in " ".join(err.split())
    assert not (tmp_path / "data/drill" / STATE).exists()


def test_reload_without_a_state_says_so(tmp_path):
    code, _, err = call(["drill", "reload"], tmp_path, PROMETHEUS_PORT="0")
    assert code == 2
    assert "no saved state; create it" in err
