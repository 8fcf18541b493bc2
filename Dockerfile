# A container with energan.
#   docker build -t energan .                                              for CPUs
#   docker build -t energan:cuda --build-arg DEVICE=cuda .                 for GPUs
#   docker run -v "$PWD:/work" energan train ebgan-digits
#   docker run --gpus all -v "$PWD:/work" energan:cuda train ebgan-digits
# torch's own packages for Linux hold CUDA and run on CPUs too; TORCH_INDEX names an index with
# those for CPUs alone, which are 2 GB smaller.
ARG PYTHON=3.12
ARG DEVICE=cpu

FROM python:${PYTHON}-slim AS base
ARG TORCH_INDEX=""
RUN python -m venv /opt/energan
ENV PATH="/opt/energan/bin:$PATH" PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY constraints.txt ./
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install -c constraints.txt '.[tensorboard,formats,tiff]'

FROM base AS cpu

FROM base AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM ${DEVICE}
RUN useradd --create-home energan && mkdir /work && chown energan /work
USER energan
WORKDIR /work
ENTRYPOINT ["energan"]
CMD ["--help"]
