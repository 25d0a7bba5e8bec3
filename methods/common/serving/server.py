"""The server of a method: HTTP over a unix socket, one model behind one lock, stateless requests."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from methods.common.contract.answers import Responder
from methods.common.contract.errors import MethodError
from methods.common.serving.protocol import request_read, respond

_LARGEST_BODY = 64 * 1024 * 1024
#: Prompts that the platform may put into one request: the more, the more is read at once.
_BATCH = 64


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def serve(responder: Responder, socket_path: Path) -> None:
    """Listen on `socket_path` until the process ends. The socket appears only once it can answer."""
    socket_path.unlink(missing_ok=True)
    with _UnixServer(str(socket_path), _handler_for(responder)) as server:
        # The platform connects as another user than the one that this process runs as.
        socket_path.chmod(0o666)
        print(json.dumps({"progress": 1.0, "stage": "serving"}), flush=True)
        server.serve_forever()


def _handler_for(responder: Responder) -> type[BaseHTTPRequestHandler]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 600
        disable_nagle_algorithm = False  # There is no such thing on a unix socket.

        def do_GET(self) -> None:
            if self.path.split("?")[0] == "/health":
                self._answer(200, {"status": "ok", "batch": _BATCH})
            else:
                self._answer(404, _error("path", f"{self.path} is unknown; ask GET /health or POST /v1/completions"))

        def do_POST(self) -> None:
            body = self._body()
            if body is None:
                return
            if self.path.split("?")[0] != "/v1/completions":
                self._answer(404, _error("path", f"{self.path} is unknown; ask POST /v1/completions"))
                return
            try:
                with lock:
                    answer = respond(request_read(json.loads(body), responder), responder)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                self._answer(400, _error("body", f"body: is not JSON: {error}; send a JSON object"))
            except MethodError as error:
                self._answer(400, _error(error.field, str(error)))
            except Exception:  # noqa: BLE001 - one bad request must not end the server
                traceback.print_exc(file=sys.stderr)
                self._answer(500, _error("server", "the method failed; its log says why"))
            else:
                self._answer(200, answer)

        def _body(self) -> bytes | None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _LARGEST_BODY:
                self.close_connection = True
                self._answer(411, _error("Content-Length", f"is missing or above {_LARGEST_BODY} bytes"))
                return None
            return self.rfile.read(int(length))

        def _answer(self, status: int, data: dict[str, Any]) -> None:
            # allow_nan=False: NaN or Infinity is no JSON, and a client may read it as anything.
            payload = json.dumps(data, allow_nan=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name for it
            """Say nothing: a line a request would fill the log with what was asked."""

    return Handler


def _error(field: str, message: str) -> dict[str, Any]:
    return {"error": {"type": "invalid_request_error", "param": field, "message": message}}
