#!/usr/bin/env bash
# Builds Helm, as pinned in go.mod beside this file, into the user's cache folder; prints the program's path. Later calls
# take no time. HELM names a program to use instead.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/flyte-ts/helm

if [[ -n ${HELM:-} ]]; then
  echo "$HELM"
  exit
fi
version=$(awk '$1 == "helm.sh/helm/v4" || $2 == "helm.sh/helm/v4" { print $(NF - ($NF == "indirect" ? 2 : 0)); exit }' "$here/go.mod")
program=$cache/helm-$version
if [[ ! -x $program ]]; then
  command -v go >/dev/null || { echo "helm: Go is not on PATH; install it, or name a Helm in HELM" >&2; exit 1; }
  mkdir -p "$cache"
  exec 9>"$cache/build.lock"
  flock 9
  if [[ ! -x $program ]]; then
    echo "helm: building $version (some minutes, once)" >&2
    # A low priority and two compilers: others work here too.
    CGO_ENABLED=0 nice -n 10 go build -C "$here" -p 2 -trimpath -buildvcs=false -ldflags '-s -w' \
      -o "$program.draft" helm.sh/helm/v4/cmd/helm >&2
    mv "$program.draft" "$program"
  fi
fi
echo "$program"
