#!/usr/bin/env bash
# Builds FerretDB, a server that speaks MongoDB's protocol over SQLite, by the Go toolchain: tests/servers/ferretdb.sh FILE
set -euo pipefail

target=$(realpath -m "${1:-$HOME/.cache/recstack/ferretdb}")
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder" && rm -rf "$folder"' EXIT
cd "$folder"
go mod init example.com/build
go get -tool github.com/FerretDB/FerretDB/cmd/ferretdb@v1.24.2
cp -r "$(go list -m -f '{{.Dir}}' github.com/FerretDB/FerretDB)" source
chmod -R u+w source
# The release's own build writes this file; without it the program does not start.
echo v1.24.2 >source/build/version/version.txt
mkdir -p "$(dirname "$target")"
go build -C source -o "$target" ./cmd/ferretdb
