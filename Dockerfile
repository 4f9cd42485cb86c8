FROM rust:1-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --locked --package kmic-payments --no-default-features \
 && cargo build --release --locked --package cloudpayments-sandbox

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 kmic
COPY --from=build /source/target/release/kmic-payments /source/target/release/cloudpayments-sandbox /usr/local/bin/
USER kmic
EXPOSE 8080
CMD ["kmic-payments", "serve"]
