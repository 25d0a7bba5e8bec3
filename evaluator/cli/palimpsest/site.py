"""The site's REST API as a few methods; every refusal becomes `SiteRefused` with the site's own problems."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from evaluator.cli.palimpsest.config import Config

_TIMEOUT_S = 30.0
Problem = dict[str, str]


class SiteRefused(Exception):
    """The site said no, or could not be reached. `problems` are {field, value, problem, remedy}."""

    def __init__(self, problems: list[Problem], status: int = 0) -> None:
        super().__init__("; ".join(f"{p['field']}: {p['problem']}" for p in problems))
        self.problems = problems
        self.status = status


class Site:
    """A connection to one site. Use it as a context."""

    def __init__(self, config: Config, *, transport: httpx2.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Token {config.token}"} if config.token else {}
        self.url = config.url
        self._http = httpx2.Client(
            base_url=config.url, headers=headers, timeout=_TIMEOUT_S, transport=transport, follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        """GET `/api/v1/<path>`."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST `/api/v1/<path>`."""
        return self._call("POST", path, json=body)

    def delete(self, path: str) -> None:
        """DELETE `/api/v1/<path>`."""
        self._call("DELETE", path)

    def file(self, path: str) -> bytes:
        """A small file of the site, such as a receipt."""
        return self._answer("GET", path).content

    def download(self, path: str, target: Path, *, on_bytes: Callable[[int, int], None]) -> str:
        """Stream `path` into `target` (whole or not at all); `on_bytes(done, total)`. Returns the SHA-256."""
        digest, done = hashlib.sha256(), 0
        draft = target.with_name(target.name + ".part")
        try:
            with self._http.stream("GET", path) as answer:
                if answer.status_code != httpx2.codes.OK:
                    answer.read()
                    raise SiteRefused(_problems(answer), answer.status_code)
                total = int(answer.headers.get("content-length", 0))
                with draft.open("wb") as handle:
                    for chunk in answer.iter_bytes():
                        handle.write(chunk)
                        digest.update(chunk)
                        done += len(chunk)
                        on_bytes(done, total)
            draft.replace(target)
        except httpx2.HTTPError as error:
            raise SiteRefused([_unreachable(self.url, error)]) from error
        finally:
            draft.unlink(missing_ok=True)
        return digest.hexdigest()

    def send(self, method: str, path: str, *, headers: dict[str, str], content: bytes = b"") -> dict[str, str]:
        """Any method on `/api/v1/<path>`, body no JSON; the answer's headers, by names in small letters."""
        answer = self._answer(method, f"/api/v1/{path}", headers=headers, content=content)
        return {name.lower(): value for name, value in answer.headers.items()}

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        answer = self._answer(method, f"/api/v1/{path}", **arguments)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, **arguments: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **arguments)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise SiteRefused([_unreachable(self.url, error)]) from error
        if answer.is_redirect:
            raise SiteRefused(
                [
                    _problem(
                        "url",
                        self.url,
                        f"redirects to {answer.headers.get('location', '?')}",
                        "use that address (https?) as --url",
                    )
                ],
                answer.status_code,
            )
        if not answer.is_success:
            raise SiteRefused(_problems(answer), answer.status_code)
        return answer


def _problems(answer: httpx2.Response) -> list[Problem]:
    try:
        found = answer.json()["errors"]
        if found and all({"field", "problem", "remedy"} <= set(item) for item in found):
            return list(found)
    except (ValueError, KeyError, TypeError):
        pass
    return [
        _problem(
            "url",
            str(answer.request.url),
            f"answered {answer.status_code} {answer.reason_phrase}",
            "check the address; if it is right, ask the organisers",
        )
    ]


def _unreachable(url: str, error: Exception) -> Problem:
    return _problem("url", url, f"cannot be reached: {error}", "start the site, or give its address with --url")


def _problem(field: str, value: str, problem: str, remedy: str) -> Problem:
    return {"field": field, "value": value, "problem": problem, "remedy": remedy}
