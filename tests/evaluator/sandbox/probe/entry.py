"""The method of the sandbox tests: a stdlib program that misbehaves in the way its arguments ask for."""

from __future__ import annotations

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

OUT = Path(os.environ.get("PALIMPSEST_OUT", "/out"))


def say(*words: str) -> None:
    for word in words:
        print(word, flush=True)


def progress(*_: str) -> None:
    say('{"progress": 0.25, "stage": "reading"}', "not json {", '{"progress": NaN}', '{"progress": 7, "stage": 3}')
    time.sleep(0.3)
    print('{"progress": 0.75, "stage": "editing"}', flush=True)


def write(name: str = "result.json", text: str = "{}") -> None:
    (OUT / name).write_text(text)


def symlink(target: str, name: str) -> None:
    (OUT / name).symlink_to(target)


def leave(code: str) -> None:
    sys.stderr.write("about to leave\n")
    os._exit(int(code))


def sleep(seconds: str = "60") -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say("sleeping")
    time.sleep(float(seconds))


def memory() -> None:
    held = []
    while True:
        held.append(bytearray(8 << 20))


def memory_of_child() -> None:
    done = subprocess.run([sys.executable, __file__, "unlearn", "memory"], check=False)
    sys.exit(1 if done.returncode else 0)


def processes() -> None:
    alive = []
    try:
        while True:
            alive.append(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]))
    except OSError as error:
        print("children:", len(alive), error, flush=True)
        os._exit(1)


def threads() -> None:
    while True:
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()


def disk() -> None:
    with (OUT / "big").open("wb") as file:
        while True:
            file.write(bytes(1 << 20))


def files() -> None:
    for number in range(1_000_000):
        (OUT / str(number)).touch()


def flood(megabytes: str) -> None:
    block = b"x" * (1 << 20)
    for _ in range(int(megabytes)):
        sys.stdout.buffer.write(block)
    sys.stdout.buffer.write(b"\nthe end\n")


def show() -> None:
    print(json.dumps({"env": dict(os.environ), "argv": sys.argv[1:], "in": sorted(os.listdir("/in"))}), flush=True)


class Answer(BaseHTTPRequestHandler):
    """200 for /health; the rest of the protocol is not this room's business."""

    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(3)
        body = json.dumps({"state": sorted(os.listdir(os.environ["PALIMPSEST_STATE"]))}).encode()
        self.send_response(200 if "sick" not in sys.argv else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def serve(how: str = "well") -> None:
    path = os.environ["PALIMPSEST_SOCKET"]
    os.umask(0)
    if how == "link":
        os.symlink("/run/other.sock", path)
        time.sleep(30)
    if how == "never":
        time.sleep(30)
    server = Server(path, Answer)
    os.chmod(path, 0o666)
    server.serve_forever()


ACTIONS = (
    progress,
    write,
    leave,
    sleep,
    memory,
    memory_of_child,
    processes,
    threads,
    disk,
    files,
    flood,
    show,
    say,
    serve,
    symlink,
)

if __name__ == "__main__":
    role, name, *rest = sys.argv[1:]
    {action.__name__: action for action in ACTIONS}[name](*rest)
