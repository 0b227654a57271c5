# docker build -t fanfare .
#
# It serves on CPUs, and on NVIDIA's GPUs with --gpus all. Torch has smaller builds for CPUs alone:
# --build-arg TORCH_INDEX=… takes it from the package index that its makers name for them.
FROM python:3.12-slim AS build
ARG TORCH_INDEX=""
WORKDIR /src
RUN python -m venv /opt/fanfare
ENV PATH=/opt/fanfare/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN pip install --no-cache-dir --constraint constraints.txt \
    ${TORCH_INDEX:+--index-url ${TORCH_INDEX}} torch
COPY src src
RUN pip install --no-cache-dir --constraint constraints.txt ".[server]"

FROM python:3.12-slim
COPY --from=build /opt/fanfare /opt/fanfare
RUN useradd --create-home --uid 1000 fanfare \
    && install -d -o fanfare -g fanfare /data /cache
ENV PATH=/opt/fanfare/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FANFARE_HOME=/data \
    FANFARE_CACHE_DIR=/cache/fanfare \
    HF_HOME=/cache/huggingface \
    FANFARE_HOST=0.0.0.0
USER 1000
VOLUME ["/data", "/cache"]
EXPOSE 8000
# What is played when the container is stopped has this long; the rest goes on at the next start.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health-check', timeout=4)"]
# Refuses to start without FANFARE_TOKENS, unless `--open` is added.
ENTRYPOINT ["fanfare"]
CMD ["serve"]
