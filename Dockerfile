# One image for the operator and for the Jobs it creates: a Python interpreter and our virtual environment, nothing else.
#
# Ordered by how often a part changes: the interpreter, the dependencies (minutes), our own code (seconds).
# Built by `make image`; a plain `docker build .` does the same where the package index needs no settings of its own.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock deploy/local/build.lock /locks/
# The secrets are optional: pip's settings of the machine that builds, and the certificates its network needs.
# Byte code is compiled here, and never compared with its source again: the file system is read-only later.
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf --mount=type=secret,id=ca-bundle \
    python3 -m venv /build \
 && /build/bin/pip install --quiet --require-hashes -r /locks/build.lock \
 && python3 -m venv --without-pip /opt/zanith \
 && /build/bin/pip --python /opt/zanith/bin/python install --quiet --require-hashes --no-compile -r /locks/requirements.lock \
 && /opt/zanith/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/zanith/lib

FROM dependencies AS wheel
COPY pyproject.toml README.md LICENSE /source/
COPY operator /source/operator
RUN /build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheel /source \
 && /build/bin/pip --python /opt/zanith/bin/python install --quiet --no-deps --no-index --no-compile --root /layer /wheel/*.whl \
 && /opt/zanith/bin/python -m compileall -q --invalidation-mode unchecked-hash /layer

FROM ${BASE_IMAGE}
# The official Python images come without byte code of the standard library, which costs 0.3 s of CPU at every start.
RUN python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))' \
  | xargs python3 -m compileall -q -j 0 -x '/(test|tests|lib2to3|site-packages|dist-packages)/' --invalidation-mode unchecked-hash
COPY --from=dependencies /opt/zanith /opt/zanith
COPY --from=wheel /layer /
# A name and a home for a user that is only a number.
ENV PATH=/opt/zanith/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 USER=zanith HOME=/tmp
USER 65532:65532
ENTRYPOINT ["zanith"]
ARG VERSION=0
LABEL org.opencontainers.image.title="zanith" \
      org.opencontainers.image.description="History-as-data schema migrations for PostgreSQL on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
