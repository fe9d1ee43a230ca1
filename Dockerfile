# One image for servers and workers: `docker compose up` starts both, and what they share. A server
# alone keeps its runs in a file below /data.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
# What is installed, with hashes; to plan with models, "constraints-postgres.txt constraints-models.txt".
ARG PINS=constraints-postgres.txt
RUN python -m venv /opt/runwright \
 && for pins in $PINS; do \
      /opt/runwright/bin/pip install --no-cache-dir --no-deps --require-hashes -r $pins || exit; \
    done \
 && /opt/runwright/bin/pip install --no-deps --no-build-isolation .

FROM python:3.11-slim
COPY --from=build /opt/runwright /opt/runwright
RUN useradd --uid 10001 --create-home --home-dir /data runwright
USER 10001
WORKDIR /data
ENV RUNWRIGHT_HOST=0.0.0.0 \
    RUNWRIGHT_DATABASE_URL=sqlite:////data/runwright.db
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=10s CMD ["/opt/runwright/bin/python", "-c", \
  "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
ENTRYPOINT ["/opt/runwright/bin/runwright"]
CMD ["serve"]
