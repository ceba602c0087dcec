"""Who answers the advisor's questions: an endpoint in OpenAI's dialect, or the recorded answers of an earlier run."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

from pydantic import SecretStr

from paperbot.errors import ConfigError
from paperbot.llm.contract import FAILURES, ProviderError, Question, Reply

MAX_ANSWER_TOKENS = 500
MAX_RESPONSE_BYTES = 1 << 20


class RecordedProvider:
    """Answers with what stands in a file of exchanges, one JSON object a line, at the times that stand there.

    A line needs `ts` (ns UTC) and `answer`; with a `prompt_sha256` it only answers that very prompt.
    """

    def __init__(self, path: Path) -> None:
        self._rows: dict[int, dict[str, Any]] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: recorded answers cannot be read: {error}") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                row = _row(line)
                if row is None:
                    raise ConfigError(f'{path}: line {number}: expected an object with "ts" (ns) and "answer" (text)')
                self._rows[row["ts"]] = row

    def ask(self, question: Question) -> Reply:
        """The recorded answer of this time. Raises ProviderError, also the one that was recorded."""
        row = self._rows.get(question.ts)
        if row is None:
            raise ProviderError("no_answer", "nothing was recorded for this time")
        if row.get("prompt_sha256") not in {None, question.prompt_sha256}:
            raise ProviderError("no_answer", "the recorded answer belongs to another prompt")
        if row["answer"] is None:
            outcome = row.get("outcome")
            raise ProviderError(outcome if outcome in FAILURES else "no_answer", str(row.get("detail", "")))
        return Reply(row["answer"], int(row.get("prompt_tokens", 0)), int(row.get("answer_tokens", 0)))


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    is_row = isinstance(row, dict) and isinstance(row.get("ts"), int) and isinstance(row.get("answer"), str | None)
    return row if is_row else None


class OpenAiProvider:
    """Asks an endpoint that speaks OpenAI's chat completions, once for each question: nothing is retried.

    `timeout_s` bounds the whole exchange once the answer has begun, and each step before. Needs the extra `llm`; raises
    ConfigError without it.
    """

    def __init__(self, base_url: str, model: str, key: SecretStr, timeout_s: float) -> None:
        try:
            import httpx  # noqa: PLC0415  (both come with the optional extra)
            import openai  # noqa: PLC0415
        except ImportError:
            raise ConfigError("llm.provider: openai needs the extra `llm`: pip install 'paperbot[llm]'") from None
        self._openai = openai
        self._model = model
        transport = _bounded(httpx, timeout_s)
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=key.get_secret_value(),
            max_retries=0,
            timeout=timeout_s,
            http_client=httpx.Client(transport=transport, timeout=timeout_s),
        )

    def ask(self, question: Question) -> Reply:
        """Ask once. Raises ProviderError for whatever is no usable answer."""
        openai = self._openai
        try:
            completion = self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": question.text}],
                response_format={"type": "json_object"},
                temperature=0,
                max_completion_tokens=MAX_ANSWER_TOKENS,
            )
        except openai.APITimeoutError as error:
            raise ProviderError("timeout", str(error)) from None
        except openai.APIConnectionError as error:
            outcome = "bad_response" if isinstance(error.__cause__, ResponseTooLargeError) else "unreachable"
            raise ProviderError(outcome, f"{error} {error.__cause__ or ''}".strip()) from None
        except openai.APIStatusError as error:
            raise ProviderError("http_error", f"status {error.status_code}") from None
        except (openai.OpenAIError, ValueError) as error:
            raise ProviderError("bad_response", f"{type(error).__name__}: {error}") from None
        return _reply(completion)


def _reply(completion: Any) -> Reply:
    """The text and its cost. The SDK does not check what an endpoint sends, so this does."""
    try:
        text = completion.choices[0].message.content
    except (AttributeError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise ProviderError("bad_response", "the response holds no answer")
    usage = getattr(completion, "usage", None)
    counts = [getattr(usage, name, 0) for name in ("prompt_tokens", "completion_tokens")]
    prompt, answer = (count if isinstance(count, int) and count > 0 else 0 for count in counts)
    return Reply(text, prompt, answer)


class ResponseTooLargeError(Exception):
    """An endpoint sent more than `MAX_RESPONSE_BYTES`."""


def _bounded(httpx: Any, timeout_s: float) -> Any:
    """An HTTP transport whose responses end, with an error, at a size and at a time."""

    class Stream(httpx.SyncByteStream):  # type: ignore[misc]
        def __init__(self, inner: Iterable[bytes]) -> None:
            self._inner = inner

        def __iter__(self) -> Iterator[bytes]:
            size, deadline = 0, monotonic() + timeout_s
            for part in self._inner:
                size += len(part)
                if size > MAX_RESPONSE_BYTES:
                    raise ResponseTooLargeError(f"more than {MAX_RESPONSE_BYTES} bytes")
                if monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer took too long")
                yield part

        def close(self) -> None:
            self._inner.close()  # type: ignore[attr-defined]

    class Transport(httpx.HTTPTransport):  # type: ignore[misc]
        def handle_request(self, request: Any) -> Any:
            response = super().handle_request(request)
            response.stream = Stream(response.stream)
            return response

    return Transport()
