"""The container of docs/deployment.md, built and started by the page's commands."""

import re
import socket
import subprocess
from pathlib import Path

import httpx

from tests.support.checkout import packed_checkout
from tests.support.deployment import deployment_page as page
from tests.support.deployment.docker_engine import DockerEngine
from tests.support.patience import wait_until
from tests.support.servers.server_process import http_client

_BUILD, _NEW_KEY, _RUN, DOCTOR = page.CONTAINER.replace("\\\n", "").splitlines()


class Container:
    """The page's image and a container of it; `client` calls with a key."""

    def __init__(self, context: DockerEngine, checkout: Path) -> None:
        self.context = context
        subprocess.run(["tar", "-x"], cwd=checkout, input=packed_checkout(), check=True)
        context.run(_BUILD, folder=checkout)
        made = context.run(_NEW_KEY)
        [self.key] = re.findall(r"rw_\S+", made)
        [self._entry] = re.findall(r"alice:\w+", made)
        self.start()

    def start(self) -> None:
        """As the page says, and until it is ready."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = f"127.0.0.1:{free.getsockname()[1]}"
        command = _RUN.replace("127.0.0.1:8000", place).replace("alice:…", self._entry)
        self.context.run(command)
        self.client = http_client(f"http://{place}", headers={"x-api-key": self.key})
        self.await_ready()

    def await_ready(self) -> None:
        """Until runs are accepted."""
        wait_until(self._is_ready, otherwise=lambda: self.context.run("docker logs runwright"))

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    def inspect(self, name: str) -> str:
        """What Docker says of it."""
        return self.context.run(f"docker inspect --format '{{{{{name}}}}}' runwright")
