#!/usr/bin/env bash
# Builds versitygw, an S3 server over a folder, by the Go toolchain: tests/servers/versitygw.sh FILE
set -euo pipefail

target=$(realpath -m "${1:-$HOME/.cache/recstack/versitygw}")
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder" && rm -rf "$folder"' EXIT
cd "$folder"
go mod init example.com/build
go get -tool github.com/versity/versitygw/cmd/versitygw@v1.8.0
mkdir -p "$(dirname "$target")"
go build -ldflags "-X main.Version=v1.8.0" -o "$target" github.com/versity/versitygw/cmd/versitygw
