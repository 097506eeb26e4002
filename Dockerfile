# Images of clipose_ros for CPU (default) and CUDA. NOT BUILT YET: written and linted with hadolint only.
#
#   docker build --target cpu -t clipose_ros:cpu .
#   docker build --target cuda -t clipose_ros:cuda .
#   docker run --rm --shm-size 256m -v "$PWD/demo_output:/output" clipose_ros:cpu
#
# Both targets hold ROS 2 Kilted as Python wheels, as `make env` installs them. They have no ros2 commands and no
# launch system. The node is started with
#   docker run --rm --network host --ipc host clipose_ros:cpu python -m clipose_ros.ros.pose_node --ros-args ...

ARG PYTHON_VERSION=3.12
FROM python:${PYTHON_VERSION}-slim-bookworm AS base

# cmake and g++ generate the messages of underlay/; g++ also serves torch.compile in the CUDA engine.
# Debian's package versions change with each point release and are not pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake g++ git make \
    && rm -rf /var/lib/apt/lists/*

ARG USER_ID=1000
RUN useradd --create-home --uid "${USER_ID}" clipose \
    && mkdir /output \
    && chown clipose:clipose /output
USER ${USER_ID}
WORKDIR /home/clipose/clipose_ros

# Read by the Makefile: the environment lies outside the checkout, the demo writes to /output.
ENV VENV=/home/clipose/venv \
    OUTPUT=/output \
    PIP_NO_CACHE_DIR=1 \
    PATH=/home/clipose/venv/bin:${PATH} \
    PYTHONPATH=/home/clipose/clipose_ros


# What the environment is made from, and nothing else: changed sources do not install it again.
FROM base AS requirements
COPY --chown=clipose:clipose Makefile ./
COPY --chown=clipose:clipose environment environment
COPY --chown=clipose:clipose underlay underlay


FROM requirements AS cuda
# PyPI's torch brings its CUDA libraries. The driver comes from the host (NVIDIA Container Toolkit).
RUN make env
COPY --chown=clipose:clipose . .
CMD ["make", "demo"]


FROM requirements AS cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN make env PIP_ARGS="--extra-index-url ${TORCH_INDEX}"
COPY --chown=clipose:clipose . .
CMD ["make", "demo"]
