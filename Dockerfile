# syntax=docker/dockerfile:1
# One image for the API, the worker and the one-shot migration; docker-compose.yml says which it is.

# The GraphiQL page. web/build brings its own Node (from the hashed Python wheel that web/node-requirements.txt pins),
# so that this stage needs no second base image and builds what a development machine builds.
FROM python:3.11-slim-bookworm AS web
WORKDIR /app
COPY web ./web
RUN python web/build

FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /app

# A named volume takes its owner from this folder when it is first mounted.
RUN groupadd --system --gid 10001 colloquy \
    && useradd --system --uid 10001 --gid colloquy --home-dir /data --no-create-home --shell /usr/sbin/nologin colloquy \
    && install --directory --owner=colloquy --group=colloquy --mode=0700 /data

COPY requirements.lock ./
RUN pip install --no-cache-dir --no-deps --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY --from=web /app/web/dist ./web/dist
# Editable, as on a development machine: the page above is found beside src/.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .

USER colloquy
ENV ENVIRONMENT=production \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data
EXPOSE 8000
CMD ["colloquy", "serve"]
