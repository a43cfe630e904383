# The service in an image that holds no compiler: docs/docker.md.
ARG BASE=docker.io/library/python:3.13-slim

FROM ${BASE} AS build
# mysqlclient, the faster driver of MySQL, comes as source.
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends gcc libc6-dev libmariadb-dev pkg-config python3-dev python3-venv
WORKDIR /srv/billing
COPY . .
# pip stays behind. The lock of the tests has mysqlclient, as an optional package.
RUN python3 -m venv /pip && python3 -m venv --without-pip .venv \
    && awk '/^[^ #]/ { wanted = /^mysqlclient==/ } wanted' requirements-dev.txt >/mysqlclient.txt \
    && /pip/bin/pip --python .venv/bin/python install --quiet --no-cache-dir --require-hashes \
    -r requirements.txt -r /mysqlclient.txt \
    && .venv/bin/python -m compileall -q billing *.py \
    && rm requirements*.txt && chmod -R a+rX .

FROM ${BASE}
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends ca-certificates libmariadb3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && groupadd --gid 10001 billing \
    && useradd --uid 10001 --gid billing --home-dir /data --no-create-home billing \
    && install -d -m 0700 -o billing -g billing /data
COPY --from=build /srv/billing /srv/billing

# The one folder that is written: all else may be mounted read-only.
VOLUME /data
WORKDIR /srv/billing
# SQLite sorts long answers in files. PORT makes gunicorn listen on every address.
ENV PATH=/srv/billing/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    SQLITE_TMPDIR=/data \
    DATABASE_URL=sqlite:////data/billing.db \
    USAGE_CACHE=/data/usage-cache.db \
    PORT=8000
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/srv/billing/deploy/image/healthcheck"]
ENTRYPOINT ["/srv/billing/deploy/image/entrypoint"]
CMD ["gunicorn", "wsgi:app"]

ARG VERSION=1.1.0
LABEL org.opencontainers.image.title="billing" \
    org.opencontainers.image.description="The OpenAI dashboard billing API for LLM gateways" \
    org.opencontainers.image.version="${VERSION}"
