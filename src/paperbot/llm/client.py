"""Providers for the advisor: an endpoint with OpenAI's API, or the recorded answers of an earlier run."""

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from paperbot.errors import ConfigError
from paperbot.llm.contract import FAILURES, ProviderError, Question, Reply
from paperbot.redact import Redactor

MAX_ANSWER_TOKENS = 500
MAX_RESPONSE_BYTES = 1 << 20
MAX_TOKENS = 10**9
CHARS_A_TOKEN = 4
"""A common estimate, for endpoints that do not report token counts."""

Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]


class _Recorded(BaseModel):
    """A line of a recording; other keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")

    ts: int
    answer: str | None
    prompt_sha256: str | None = None
    prompt_tokens: Tokens = 0
    answer_tokens: Tokens = 0
    outcome: str = "no_answer"
    detail: str = ""


class RecordedProvider:
    """Answers questions from a file with one JSON object per line, matched by time.

    A line needs `ts` (ns UTC) and `answer`; with `prompt_sha256`, it answers that prompt only. Raises ConfigError for a
    file or a line that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._rows: dict[int, _Recorded] = {}
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: the recorded answers cannot be read: {error}") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    row = _Recorded.model_validate(json.loads(line))
                except (ValueError, RecursionError, ValidationError):
                    raise ConfigError(
                        f'{path}: line {number}: expected an object with "ts" (ns) and "answer" (text)'
                    ) from None
                self._rows[row.ts] = row

    def ask(self, question: Question) -> Reply:
        """Return the recorded answer for the question's time. Raises ProviderError, also if a failure was recorded."""
        row = self._rows.get(question.ts)
        if row is None:
            raise ProviderError("no_answer", "nothing was recorded for this time")
        if row.prompt_sha256 not in {None, question.prompt_sha256}:
            raise ProviderError("no_answer", "the recorded answer belongs to another prompt")
        if row.answer is None:
            outcome = row.outcome if row.outcome in FAILURES else "no_answer"
            raise ProviderError(outcome, row.detail, row.prompt_tokens)
        return Reply(row.answer, row.prompt_tokens, row.answer_tokens)


class OpenAiProvider:
    """Asks an endpoint with OpenAI's chat completions API once per question, without retries.

    `timeout_s` bounds the whole exchange, whatever the endpoint does: each question runs on its own thread, and on
    time-out its connection is closed. A response may have at most MAX_RESPONSE_BYTES and must not be compressed. It is
    parsed here, because the SDK does not validate it. Needs the extra `llm`; raises ConfigError without it, or for an
    invalid address.
    """

    def __init__(self, base_url: str, model: str, key: SecretStr, timeout_s: float) -> None:
        try:
            import httpx  # noqa: PLC0415  (both come with the optional extra)
            import openai  # noqa: PLC0415
        except ImportError:
            raise ConfigError("llm.provider: openai needs the extra `llm`: pip install 'paperbot[llm]'") from None
        self._openai, self._httpx = openai, httpx
        self._model, self._key, self._timeout_s = model, key, timeout_s
        self._redact = Redactor([key.get_secret_value()])
        try:
            self._base_url = httpx.URL(base_url)
        except (httpx.InvalidURL, TypeError) as error:
            raise ConfigError(f"llm.base_url = {base_url!r}: is not a valid address: {error}") from None
        self._client = self._make_client()

    def _make_client(self) -> Any:
        transport = _bounded(self._httpx)
        return self._openai.OpenAI(
            base_url=self._base_url,
            api_key=self._key.get_secret_value(),
            max_retries=0,
            timeout=self._timeout_s,
            http_client=self._httpx.Client(transport=transport, timeout=self._timeout_s, follow_redirects=False),
        )

    def ask(self, question: Question) -> Reply:
        """Ask once. Raises ProviderError if there is no usable answer."""
        answers: queue.Queue[Reply | ProviderError] = queue.Queue()
        client = self._client
        threading.Thread(target=lambda: answers.put(self._answer(client, question)), daemon=True).start()
        try:
            answer = answers.get(timeout=self._timeout_s)
        except queue.Empty:
            self._client = self._make_client()
            client.close()
            raise ProviderError("timeout", f"no answer within {self._timeout_s:g} s", _cost(question.text)) from None
        if isinstance(answer, ProviderError):
            raise answer
        return answer

    def _answer(self, client: Any, question: Question) -> Reply | ProviderError:
        """Send one request. Every exception of the SDK or the layers below becomes a ProviderError."""
        openai = self._openai
        estimate = _cost(question.text)
        try:
            raw = client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=[{"role": "user", "content": question.text}],
                response_format={"type": "json_object"},
                temperature=0,
                max_completion_tokens=MAX_ANSWER_TOKENS,
            )
            return _reply(raw.http_response.content, question, self._redact)
        except ProviderError as error:
            return error
        except openai.APITimeoutError:
            return ProviderError("timeout", f"no answer within {self._timeout_s:g} s", estimate)
        except openai.APIConnectionError as error:
            cause = type(error.__cause__).__name__
            if isinstance(error.__cause__, UnwantedResponseError):
                return ProviderError("bad_response", cause, estimate)
            return ProviderError("unreachable", cause)
        except openai.APIStatusError as error:
            return ProviderError("http_error", f"status {error.status_code}")
        except Exception as error:  # noqa: BLE001
            return ProviderError("bad_response", type(error).__name__, estimate)


def _cost(prompt: str) -> int:
    """Estimate the tokens of a question whose cost the endpoint did not report."""
    return len(prompt) // CHARS_A_TOKEN + MAX_ANSWER_TOKENS


def _reply(content: bytes, question: Question, redact: Redactor) -> Reply:
    """Return the text and its cost. Every level of the response is checked. Raises ProviderError."""
    no_answer = ProviderError("bad_response", "the response holds no answer", _cost(question.text))
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        raise ProviderError("bad_response", "the response is not JSON", _cost(question.text)) from None
    choices = tree.get("choices") if isinstance(tree, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    text = message.get("content") if isinstance(message, dict) else None
    if not isinstance(text, str):
        raise no_answer
    usage = tree.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt = _tokens(usage.get("prompt_tokens"), len(question.text))
    answer = _tokens(usage.get("completion_tokens"), len(text))
    return Reply(redact(text), prompt, answer)


def _tokens(count: Any, chars: int) -> int:
    """Return the reported count, or an estimate if it is missing or implausible."""
    is_plausible = isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MAX_TOKENS
    return count if is_plausible else chars // CHARS_A_TOKEN


class UnwantedResponseError(Exception):
    """An endpoint sent more than `MAX_RESPONSE_BYTES`, or a content encoding that was not requested."""


def _bounded(httpx: Any) -> Any:
    """Return an HTTP transport that requests and accepts only uncompressed responses of bounded size."""

    class Stream(httpx.SyncByteStream):  # type: ignore[misc]
        def __init__(self, inner: Iterable[bytes]) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self._inner:
                size += len(part)
                if size > MAX_RESPONSE_BYTES:
                    raise UnwantedResponseError(f"more than {MAX_RESPONSE_BYTES} bytes")
                yield part

        def close(self) -> None:
            self._inner.close()  # type: ignore[attr-defined]

    class Transport(httpx.HTTPTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            request.headers["Accept-Encoding"] = "identity"
            for name in ("OpenAI-Organization", "OpenAI-Project"):  # The SDK sets them from the environment.
                request.headers.pop(name, None)
            response = super().handle_request(request)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                response.close()
                raise UnwantedResponseError("compressed without being asked")
            response.stream = Stream(response.stream)
            return response

    return Transport()
