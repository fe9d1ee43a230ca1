"""`python -m benchmarks.planning.provider [SECONDS FIRST PLAN]`: answers with one OpenAI plan.

It does so at once, or after so many seconds, but for the first requests. Prints its port. A process
of its own, so that its CPU is not counted.
"""

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: What an answer takes, in seconds.
DELAY = float(sys.argv[1]) if __name__ == "__main__" else 0.0

#: Which requests are answered at once whatever it takes.
FIRST = range(int(sys.argv[2]) if __name__ == "__main__" else 0)

_requests = itertools.count()

TODOS = json.dumps(
    {
        "steps": [
            {"reasoning": "add it", "tool": "todo_store.add", "input": {"text": "buy milk"}},
            {"reasoning": "show all", "tool": "todo_store.list", "input": {"status": None}},
        ]
    }
)

#: Two steps that cost the same after any number of runs, where a list would have grown.
SUMS = json.dumps(
    {
        "steps": [
            {"reasoning": "add", "tool": "calculator", "input": {"expression": "40 + 2"}},
            {"reasoning": "double", "tool": "calculator", "input": {"expression": "42 * 2"}},
        ]
    }
)

PLAN = sys.argv[3] if __name__ == "__main__" else TODOS
BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": PLAN},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 850, "completion_tokens": 70, "total_tokens": 920},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
    len(BODY),
    BODY,
)


@contextmanager
def provider(delay: float = 0.0, *, first: int = 0, plan: str = TODOS) -> Iterator[str]:
    """Where the model answers, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.planning.provider", str(delay), str(first), plan]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
    finally:
        process.terminate()
        process.wait(10)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until it is closed."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            if next(_requests) not in FIRST:
                await asyncio.sleep(DELAY)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
