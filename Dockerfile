# The steps of `make run` in an image: the locked packages, then the project itself.

FROM python:3.13-slim AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/tidings
# The lock alone first: its layer is made anew only when the lock changes.
COPY requirements/run.txt requirements/run.txt
RUN /opt/tidings/bin/python -m pip install --require-hashes --requirement requirements/run.txt
COPY LICENSE pyproject.toml ./
COPY api api
COPY domain domain
COPY projections projections
RUN /opt/tidings/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/tidings tidings
COPY --from=build /opt/tidings /opt/tidings
ENV PATH=/opt/tidings/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/var/lib/tidings \
    HOST=0.0.0.0 \
    PORT=8000
USER tidings
WORKDIR /var/lib/tidings
VOLUME /var/lib/tidings
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/livez', timeout=4)"]
CMD ["tidings", "serve"]
