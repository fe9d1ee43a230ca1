"""`python -m benchmarks.answers.provider WORDS`: streams so many words at once, in OpenAI's form.

Prints its port. A process of its own, so that its CPU is not counted.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.models.streams import openai_stream


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
    """Answer requests until their client goes."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
    try:
        while True:
            asked = await reader.readuntil(b"\r\n\r\n")
            lengths = [
                line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length")
            ]
            await reader.readexactly(int(lengths[0].partition(b":")[2]))
            writer.write(head % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve(words: int) -> None:
    """Listen on a free port, for ever."""
    body = "".join(openai_stream([f"word{n} " for n in range(words)])).encode()
    server = await asyncio.start_server(lambda *pair: answer(*pair, body), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def provider(words: int) -> Iterator[str]:
    """The base of a started one."""
    command = [sys.executable, "-m", "benchmarks.answers.provider", str(words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
