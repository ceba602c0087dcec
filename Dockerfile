# Two stages: what is needed to install stays behind, the second one is what runs.
FROM python:3.12.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
WORKDIR /app
COPY requirements-run.lock ./
RUN /opt/venv/bin/pip install -q --require-hashes --only-binary :all: -r requirements-run.lock
COPY src src
COPY config config
# The core is compiled once, here, for any processor of this kind, so that a container starts in seconds.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app/src \
    NUMBA_CPU_NAME=generic \
    PAPERBOT_CACHE_DIR=/opt/cache
RUN python -m compileall -q src \
    && OFFLINE_DEMO=1 PROMETHEUS_PORT=0 LOG_LEVEL=ERROR python -m paperbot.main > /dev/null \
    && rm -rf data \
    && chmod -R a+rX /app

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin paperbot \
    && install -d -o paperbot -g paperbot /app/data
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/cache /opt/cache
COPY --from=build /app/src src
COPY --from=build /app/config config
COPY --chmod=755 docker/paperbot /usr/local/bin/paperbot
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app/src \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CPU_NAME=generic \
    PAPERBOT_CACHE_DIR=/tmp/cache \
    XDG_STATE_HOME=/app/data/.state \
    METRICS_HOST=0.0.0.0 \
    PROMETHEUS_PORT=8000
USER 10001:10001
VOLUME /app/data
EXPOSE 8000
# The start period is longer than compiling the core would take, should its cache not fit this machine.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
    CMD ["paperbot", "healthcheck"]
ENTRYPOINT ["paperbot"]
CMD []
