"""What docs/deployment.md asks its reader to run and to write, block by block."""

import re

from tests.support.checkout import ROOT

PAGE = (ROOT / "docs" / "deployment.md").read_text()


def blocks(language: str) -> list[str]:
    """In their order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


# A new block has no name here, so that whoever adds one comes by and has it run.
[
    CHECK,
    INSTALL,
    START,
    BESIDE_THE_SERVICE,
    CONTAINER,
    NEW_KEY,
    BACKUP,
    BACKUP_FOLDER,
    CONTAINER_BACKUP,
    POSTGRES,
    FLEET,
    UPGRADE,
    CONTAINER_UPGRADE,
    TRACES,
    WEBHOOKS,
] = blocks("sh")
[UNIT, SETTINGS] = blocks("ini")
[OWN_TOOLS] = blocks("dockerfile")
[NGINX] = blocks("nginx")
[CADDYFILE] = blocks("caddyfile")
