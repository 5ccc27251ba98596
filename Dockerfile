# Lenslet as a container image, for amd64 and arm64 (each built on its own kind of machine).
#
#   docker build --tag lenslet .                        the service; what k8s/ runs
#   docker build --target lambda --tag lenslet-lambda . behind AWS Lambda's web adapter
#   docker build --target cloudrun --tag lenslet-run .  for Cloud Run and other Knative hosts
#
# `make image` does the first with whichever engine there is. BuildKit or Buildah is needed, for
# the cache mounts.

# --- the binary --------------------------------------------------------------------------------
# The same Debian as below, so that the glibc which is linked is the glibc which is there.
FROM rust:1.95-trixie AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ARG TARGETARCH
# The codecs' assembly: nasm speaks x86 only, on arm64 the compiler does it alone. Versions are
# those of the Debian release that the base image fixes.
# hadolint ignore=DL3008
RUN case "${TARGETARCH:-$(dpkg --print-architecture)}" in amd64) nasm=nasm ;; *) nasm= ;; esac \
    && apt-get update \
    && apt-get install --yes --no-install-recommends cmake meson ninja-build ${nasm:+"$nasm"} \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /build
# No debug information: two thirds of the binary. Panics still name their function.
ENV CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo

# The dependencies, with every codec, are a layer of their own, built around an empty crate: it is
# built again only when Cargo.toml or Cargo.lock change. Every file that Cargo.toml names has to
# exist.
COPY Cargo.toml Cargo.lock ./
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    sed -n 's/^[a-z]* = "\(.*\.rs\)"/\1/p' Cargo.toml | while read -r target; do \
        mkdir -p "$(dirname "$target")" && echo 'fn main() {}' >"$target"; \
    done \
    && touch src/lib.rs \
    && cargo build --release --locked --bin lenslet

COPY config config
COPY src src
# The empty crate is younger than the files of the context: without new times it would stay.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    find src -name '*.rs' -exec touch {} + \
    && cargo build --release --locked --bin lenslet \
    && install -D target/release/lenslet /out/lenslet \
    && /out/lenslet --version

# --- what every image has ----------------------------------------------------------------------
# libc, libgcc, certificates and time zones; no shell and no package manager.
FROM gcr.io/distroless/cc-debian13:nonroot AS service
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=
LABEL org.opencontainers.image.title="lenslet" \
      org.opencontainers.image.description="On-demand image transformation: a URL asks for a picture, Lenslet makes it once and keeps it in your bucket" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY LICENSE-APACHE LICENSE-MIT THIRD-PARTY.md /usr/share/doc/lenslet/
COPY --from=build /out/lenslet /usr/local/bin/lenslet
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
STOPSIGNAL SIGTERM
# There is no shell and no curl to ask with, so the binary asks.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/lenslet", "health"]
ENTRYPOINT ["/usr/local/bin/lenslet"]
CMD ["serve"]

# --- AWS Lambda --------------------------------------------------------------------------------
# The adapter turns Lambda's events into requests to port 8080. It waits for /health before the
# first one. AWS_LAMBDA_FUNCTION_NAME, which Lambda sets, makes writes wait for the store: the
# sandbox freezes once the answer is out. Nobody reaches the admin listener there.
FROM service AS lambda
COPY --from=public.ecr.aws/awsguru/aws-lambda-adapter:1.0.0 /lambda-adapter /opt/extensions/lambda-adapter
ENV AWS_LWA_PORT=8080 \
    AWS_LWA_READINESS_CHECK_PATH=/health \
    LENSLET_LISTEN=127.0.0.1:8080 \
    LENSLET_DRAIN_DELAY=0s

# --- Cloud Run, Knative ------------------------------------------------------------------------
# The port is that of PORT, which the platform sets, and 8080 without; LENSLET_LISTEN would hide
# it. K_SERVICE makes writes wait for the store, as above. The platform looks away before SIGTERM
# and leaves ten seconds after it, so nothing is waited for.
FROM service AS cloudrun
ENV LENSLET_DRAIN_DELAY=0s

# --- the service: the default, because it is the last ------------------------------------------
# Probes and Prometheus come from outside of the container. Port 8081 is not exposed, so that
# `docker run --publish-all` does not publish it.
FROM service AS runtime
ENV LENSLET_ADMIN_LISTEN=0.0.0.0:8081
EXPOSE 8080
