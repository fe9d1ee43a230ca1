"""`python -m benchmarks.planning.provider`: answers every request at once with one OpenAI plan.

Prints its port. A process of its own, so that its CPU is not counted.
"""

import asyncio
import json

PLAN = json.dumps(
    {
        "steps": [
            {"reasoning": "add it", "tool": "todo_store.add", "input": {"text": "buy milk"}},
            {"reasoning": "show all", "tool": "todo_store.list", "input": {"status": None}},
        ]
    }
)
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


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until it is closed."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
