"""`paperbot healthcheck`: fast, because containers run it often; it does not import the engine."""

import urllib.request

from paperbot.environment import Environment
from paperbot.errors import StateError


def healthcheck(environment: Environment, timeout_s: float) -> str:
    """The URL at which this environment's bot answers. Raises StateError when it does not answer."""
    host = "127.0.0.1" if environment.metrics_host in {"0.0.0.0", "::"} else environment.metrics_host  # noqa: S104
    url = f"http://{host}:{environment.prometheus_port}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            text = answer.read().decode()
    except (OSError, ValueError) as error:
        raise StateError(f"{url}: does not answer: {error}") from None
    if "paperbot_build_info" not in text:
        raise StateError(f"{url}: the answer is not from Paperbot")
    return url
