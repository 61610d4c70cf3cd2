#!/usr/bin/env bash
# Installs the Debian packages and builds the programs that up.sh starts, into
# $KUBE_CACHE (default flyte-ts/kube in the user's cache folder). Does again only what is missing
# or whose sources changed. Parts: control-plane, node, kwok (default: all three).
#
#   build.sh [control-plane] [node] [kwok]
#
# Environment:
#   KUBE_PLEG_MS     how often the kubelet looks at its containers, in ms (200).
#                    Upstream has 1000, a constant; with 1000 nothing is changed.
#   KUBE_BUILD_JOBS  compilers at a time (2)
#   KUBE_PREBUILT    a folder with NAME-linux-amd64.zst and NAME.stamp, the result of
#                    an earlier build: unpacked instead of built where the stamp is
#                    the one that a build would have now (prebuilt/ beside this file)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${KUBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flyte-ts/kube}
kwok_version=v0.8.0
pleg_ms=${KUBE_PLEG_MS:-200}
prebuilt=${KUBE_PREBUILT:-$here/../../../shared/kube/prebuilt}
parts=("$@")
((${#parts[@]})) || parts=(control-plane node kwok)

say() { echo "build: $*" >&2; }
die() { say "$*"; exit 1; }

# One build at a time in one cache.
mkdir -p "$cache/bin" "$cache/images"
exec 9>"$cache/build.lock"
flock 9

# Leave a core to others: two compilers at a low priority.
export GOFLAGS="-p=${KUBE_BUILD_JOBS:-2}" CGO_ENABLED=0

# build NAME STAMP COMMAND...: runs COMMAND unless bin/NAME was built from STAMP.
build() {
  local name=$1 stamp=$2 begin=$SECONDS
  shift 2
  if [[ -x $cache/bin/$name && $(cat "$cache/bin/.$name.stamp" 2>/dev/null) == "$stamp" ]]; then
    say "$name: already built"
    return
  fi
  if [[ $(uname -sm) == "Linux x86_64" && $(cat "$prebuilt/$name.stamp" 2>/dev/null) == "$stamp" ]] &&
    command -v zstd >/dev/null; then
    zstd -q -d -f "$prebuilt/$name-linux-amd64.zst" -o "$cache/bin/$name"
    chmod 755 "$cache/bin/$name"
    echo "$stamp" >"$cache/bin/.$name.stamp"
    say "$name: unpacked"
    return
  fi
  if [[ -x $cache/bin/$name ]] && ! command -v go >/dev/null; then
    say "$name: there is one, and no Go to make another"
    return
  fi
  command -v go >/dev/null || die "$name: Go is not on PATH, and $prebuilt has no build of these sources"
  say "$name: building"
  "$@"
  echo "$stamp" >"$cache/bin/.$name.stamp"
  say "$name: $((SECONDS - begin)) s, $(stat -c %s "$cache/bin/$name") bytes"
}

# go_version: of the Go at hand; without one, of the Go that made what is in $prebuilt.
go_version() {
  if command -v go >/dev/null; then go env GOVERSION; else cut -d' ' -f2 "$prebuilt/kwok.stamp" 2>/dev/null || true; fi
}

# sources DIR: a digest of a module's own files and of the Go version.
sources() { { go_version; cat "$1"/*.go "$1"/go.mod "$1"/go.sum; } | sha256sum | cut -d' ' -f1; }

# packages NAME...: installs the Debian packages that are missing.
packages() {
  local missing=() name
  for name; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  ((${#missing[@]})) || return 0
  say "installing ${missing[*]}"
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${missing[@]}" >&2
}

# Builds from a copy of the module with a shorter kubelet relist period.
go_build_kube() {
  local flags=() dir
  if ((pleg_ms != 1000)); then
    go mod download -C "$here/kube" k8s.io/kubernetes
    dir=$(go list -C "$here/kube" -m -f '{{.Dir}}' k8s.io/kubernetes)
    rm -rf "$cache/src"
    mkdir -p "$cache/src/kubernetes"
    cp -r --no-preserve=mode "$dir"/{cmd,pkg,plugin,third_party,go.mod} "$cache/src/kubernetes/"
    cp "$here/kube/go.mod" "$cache/src/kube.mod"
    cp "$here/kube/go.sum" "$cache/src/kube.sum"
    chmod u+w "$cache"/src/kube.{mod,sum}
    sed -i "s/^\(\tgenericPlegRelistPeriod  *= \)time.Second \* 1$/\1time.Millisecond * $pleg_ms/" \
      "$cache/src/kubernetes/pkg/kubelet/kubelet.go"
    grep -q "genericPlegRelistPeriod .*Millisecond \* $pleg_ms" "$cache/src/kubernetes/pkg/kubelet/kubelet.go" ||
      die "the kubelet's relist period is not where it was: set KUBE_PLEG_MS=1000"
    go mod edit -replace "k8s.io/kubernetes=$cache/src/kubernetes" "$cache/src/kube.mod"
    flags=(-modfile "$cache/src/kube.mod")
  fi
  nice -n 10 go build -C "$here/kube" ${flags[@]+"${flags[@]}"} -trimpath -buildvcs=false -ldflags "$1" -o "$cache/bin/kube" .
  rm -rf "$cache/src"
}

control_plane() {
  packages openssl curl zstd
  local version minor v=k8s.io/component-base/version
  version=$(awk '$1 == "k8s.io/kubernetes" || $2 == "k8s.io/kubernetes" { print $NF; exit }' "$here/kube/go.mod")
  minor=${version#v1.}
  minor=${minor%%.*}
  build etcd "$(sources "$here/etcd")" \
    nice -n 10 go build -C "$here/etcd" -trimpath -buildvcs=false -ldflags '-s -w' -o "$cache/bin/etcd" .
  build kube "$(sources "$here/kube") pleg=$pleg_ms" go_build_kube \
    "-s -w -X $v.gitVersion=$version -X $v.gitMajor=1 -X $v.gitMinor=$minor -X $v.gitTreeState=clean"
}

node() {
  packages containerd runc containernetworking-plugins busybox-static mount util-linux iproute2
  [[ -s $cache/images/pause.tar ]] ||
    "$here/mkimage.sh" -t localhost/pause:1 -b -o "$cache/images/pause.tar" -- /bin/sleep infinity
  [[ -s $cache/images/busybox.tar ]] ||
    "$here/mkimage.sh" -t localhost/busybox:1 -b -o "$cache/images/busybox.tar" -- /bin/sh
}

kwok() {
  build kwok "$kwok_version $(go_version)" \
    env GOBIN="$cache/bin" nice -n 10 go install -trimpath -ldflags '-s -w' "sigs.k8s.io/kwok/cmd/kwok@$kwok_version"
}

for part in "${parts[@]}"; do
  case $part in
    control-plane) control_plane ;;
    node) node ;;
    kwok) kwok ;;
    *) die "unknown part: $part" ;;
  esac
done
