"""Images of Debian's packages, so that no registry of images is asked.

Both trust what this machine trusts, since they install packages by its way to them.
"""

import json

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


#: What the official image does with these variables at its first start, and then at each.
_POSTGRES = """
set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  chown postgres "$PGDATA" && chmod 700 "$PGDATA"
  echo "$POSTGRES_PASSWORD" > /tmp/password && chown postgres /tmp/password
  as_user initdb --username "$POSTGRES_USER" --pwfile /tmp/password --auth-local trust \\
    --auth-host scram-sha-256 --encoding UTF8 --locale C.UTF-8
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | as_user postgres --single -D "$PGDATA" postgres
fi
exec setpriv --reuid postgres --regid postgres --clear-groups postgres -c "listen_addresses=*"
"""


def make_postgres_image(context: DockerEngine, name: str) -> None:
    """The official image of Postgres, as far as a compose file goes that gives it a password."""
    as_user = 'as_user() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }'
    dockerfile = (
        "FROM python:3.11-slim\n"
        "RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends postgresql \\\n"
        " && mkdir -p /var/lib/postgresql/data && ln -s /usr/lib/postgresql/* /usr/lib/postgres\n"
        "ENV PATH=/usr/lib/postgres/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data\n"
        f"ENTRYPOINT {json.dumps(['bash', '-c', as_user + _POSTGRES])}\n"
    )
    context.run(f"docker build --quiet --tag {name} -", stdin=dockerfile.encode())
