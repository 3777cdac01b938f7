FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/ringback ./cmd/ringback \
 && mkdir -p /out/data /out/tmp

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ringback /ringback
COPY --from=build --chown=65532:65532 /out/data /data
# SQLite sorts what is large in files.
COPY --from=build --chown=65532:65532 /out/tmp /tmp
USER 65532:65532
WORKDIR /
ENV RINGBACK_LISTEN=0.0.0.0:8080 \
    RINGBACK_DATABASE_URL=sqlite:///data/ringback.db \
    RINGBACK_LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
# Calls under way may go on for RINGBACK_GRACE after SIGTERM: give `docker stop`
# as much time.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/ringback"]
CMD ["serve"]
