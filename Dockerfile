# SPDX-License-Identifier: Apache-2.0
# docker build -t colossal .                                 CPU
# docker build -t colossal --build-arg VARIANT=cuda .        CUDA and NCCL (run with --gpus all)
ARG VARIANT=cpu

FROM debian:12 AS build
ARG VARIANT
ARG COLOSSAL_PIP_ARGS=""
WORKDIR /src
COPY tools/debian-packages.txt tools/setup.sh tools/
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && tools/setup.sh "$([ "$VARIANT" = cuda ] && echo cuda)" && rm -rf /var/lib/apt/lists/*
# One place for the wheel in both variants; the toolkit's crt/ and nv/, which the CUDA wheel lacks, come from packages of their own.
RUN if [ "$VARIANT" = cuda ]; then mv .venv-cuda .venv \
    && .venv/bin/python -m pip install -q $COLOSSAL_PIP_ARGS "nvidia-cuda-crt==13.0.*" "nvidia-cuda-cccl==13.0.*"; fi
COPY . .
RUN cmake -S . -B build -G Ninja -DCOLOSSAL_TESTS=OFF -DCOLOSSAL_BENCH=OFF -DCOLOSSAL_EXAMPLES=OFF \
      -DCOLOSSAL_TORCH=/src/.venv -DCOLOSSAL_CUDA="$([ "$VARIANT" = cuda ] && echo ON || echo OFF)" \
    && cmake --build build && cmake --install build --prefix /opt/colossal

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
      libfmt9 libpcre2-8-0 libutf8proc2 libzstd1 libxxhash0 libstb0 zlib1g bible-kjv && rm -rf /var/lib/apt/lists/*
# The installed program finds libtorch through its rpath, so the wheel keeps its place.
COPY --from=build /src/.venv /src/.venv
COPY --from=build /opt/colossal /opt/colossal
ENV PATH=/opt/colossal/bin:$PATH
WORKDIR /work
ENTRYPOINT ["colossal"]
CMD ["--help"]
