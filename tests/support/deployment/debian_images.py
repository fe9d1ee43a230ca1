"""Images of Debian's packages, so that no registry of images is asked.

Both trust what this machine trusts, since they install packages by its way to them.
"""

from tests.support.deployment.docker_engine import DockerEngine

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_PIP = "[global]\\ncert = /etc/ssl/certs/ca-certificates.crt\\n"


def make_python_image(context: DockerEngine) -> None:
    """`python:3.11-slim`, as far as a build goes that needs Python 3.11, pip and useradd."""
    context.run(
        "mmdebstrap --quiet --variant=apt --include=python3,python3-venv,ca-certificates,passwd"
        " --aptopt='Acquire::Retries \"3\"'"
        f" --customize-hook='copy-in {_CERTIFICATES} /etc/ssl/certs'"
        " --customize-hook='ln -s /usr/bin/python3 $1/usr/local/bin/python'"
        f" --customize-hook='printf \"{_PIP}\" > $1/etc/pip.conf'"
        " bookworm - | docker import - python:3.11-slim"
    )


def make_machine_image(context: DockerEngine) -> None:
    """`machine`: a Debian machine that has been set up, with the proxies of the page."""
    packages = "systemd dbus nginx-light caddy curl openssl"
    dockerfile = (
        "FROM python:3.11-slim\n"
        f"RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends {packages} \\\n"
        " && systemctl disable nginx caddy && rm /etc/nginx/sites-enabled/default\n"
        'CMD ["/lib/systemd/systemd"]\n'
    )
    context.run("docker build --quiet --tag machine -", stdin=dockerfile.encode())
