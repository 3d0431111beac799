# Perigee on Debian slim: built from the system's packages alone; runs as nobody, with nothing beside what the binary links
# and the example models with their data. Mount your models over /schemas.
FROM debian:trixie-slim AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev cmake ninja-build pkg-config libluajit-5.1-dev libuv1-dev \
        libcurl4-openssl-dev libsqlite3-dev nettle-dev zlib1g-dev libpq-dev libssl-dev libllhttp-dev libyyjson-dev libhiredis-dev iso-codes sqlite3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY lua lua
COPY gateway gateway
RUN cmake --preset release && ninja -C build/release perigee && strip build/release/perigee
COPY scripts/geodata scripts/geodata
RUN scripts/geodata

FROM debian:trixie-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libluajit-5.1-2 libuv1t64 libcurl4t64 libsqlite3-0 libpq5 libssl3t64 libnettle8t64 zlib1g libyyjson0 \
        lua-cjson ca-certificates \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY --from=build /src/build/release/perigee /usr/local/bin/perigee
COPY --from=build /src/build/geo.sqlite /usr/share/perigee/geo.sqlite
COPY schemas /schemas
ENV GEO_DB=/usr/share/perigee/geo.sqlite

ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
ARG LICENSES=NOASSERTION
LABEL org.opencontainers.image.title="perigee" \
    org.opencontainers.image.description="A Lua-scriptable cache gateway" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.licenses="${LICENSES}"

USER 65532:65532
EXPOSE 3633 3634
ENTRYPOINT ["perigee"]
CMD ["serve", "/schemas", "--listen", "0.0.0.0:3633", "--admin", "0.0.0.0:3634"]
