#!/usr/bin/env bash
# Starts a one-machine Kubernetes on loopback addresses and prints the path of
# an administrator's kubeconfig. Needs root for --node only.
#
#   up.sh [--api | --control-plane | --node | --kwok]
#
#   --api            etcd and kube-apiserver only (no garbage collector; the
#                    ServiceAccount admission is off, so that pods can be made)
#   --control-plane  also kube-controller-manager and kube-scheduler (default)
#   --node           also containerd and a kubelet: node 127.0.0.1, real pods
#   --kwok           also kwok: fake nodes (label type=kwok), fake pods
#   --node --kwok    may be given together: then the fake nodes have the taint
#                    kwok=true:NoSchedule
#
# Environment:
#   KUBE_CACHE  programs and images, from build.sh   (~/.cache/flyte-ts/kube)
#   KUBE_RUN    this cluster's state, emptied at each start ($KUBE_CACHE/run)
#   KUBE_PORT   first of ten consecutive ports       (26440)
#   KUBE_POD_CIDR  pods' addresses on the node       (10.251.0.0/24)
#   KUBE_IMAGES    image archives to import, besides $KUBE_CACHE/images/*.tar
#   KUBE_KWOK_NODES  number of fake nodes            (1)
#   KUBE_FEATURES  feature gates, as A=true,B=false  (none)
#   KUBE_API_FLAGS more flags for kube-apiserver     (none)
#   KUBE_APPLY     manifests to apply before the controllers start: put CRDs
#                  here, since a running garbage collector learns of a new kind
#                  only after up to 40 s
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${KUBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flyte-ts/kube}
run=${KUBE_RUN:-$cache/run}
port=${KUBE_PORT:-26440}
pod_cidr=${KUBE_POD_CIDR:-10.251.0.0/24}
gates=${KUBE_FEATURES:-}

api_port=$port etcd_port=$((port + 1)) peer_port=$((port + 2)) kcm_port=$((port + 3))
scheduler_port=$((port + 4)) kubelet_port=$((port + 5)) health_port=$((port + 6)) kwok_port=$((port + 7))

controllers=1 node=0 kwok=0
for arg; do
  case $arg in
    --api) controllers=0 ;;
    --control-plane) ;;
    --node) node=1 ;;
    --kwok) kwok=1 ;;
    *) sed -n '2,28s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done

say() { echo "up: $*" >&2; }
die() { say "$*"; exit 1; }
now() { local t=${EPOCHREALTIME/./}; echo $((t / 1000)); }

((${#run} <= 80)) || die "the path $run is too long for a socket in it"
[[ ! -e $run/pids ]] || die "$run is in use: run down.sh first"
for program in etcd kube; do
  [[ -x $cache/bin/$program ]] || die "no $cache/bin/$program: run build.sh first"
done
((!kwok)) || [[ -x $cache/bin/kwok ]] || die "no $cache/bin/kwok: run build.sh kwok"
if ((node)); then
  ((EUID == 0)) || die "--node needs root"
  command -v containerd runc >/dev/null || die "no containerd or runc: run build.sh node"
fi

! grep -q " $run/" /proc/self/mounts || die "something is mounted under $run: run down.sh first"
rm -rf --one-file-system "$run"
mkdir -p "$run"/{pki,conf,log}
chmod 700 "$run"
: >"$run/pids"
trap '(($? == 0)) || { say "failed; see $run/log"; "$here/down.sh" || true; }' EXIT

begin=$(now)

# start NAME COMMAND...: runs it in its own session and notes its pid with its
# start time, so that down.sh ends that very process.
start() {
  local name=$1 pid
  shift
  setsid "$@" </dev/null >"$run/log/$name.log" 2>&1 &
  pid=$!
  echo "$name $pid $(cut -d' ' -f22 "/proc/$pid/stat")" >>"$run/pids"
}

alive() { grep -q '^State:.[^Z]' "/proc/$(sed -n "s/^$1 \([0-9]*\) .*/\1/p" "$run/pids")/status" 2>/dev/null; }

# wait_for NAME SECONDS COMMAND...: until the command succeeds or NAME dies.
wait_for() {
  local name=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    alive "$name" || { tail -n 5 "$run/log/$name.log" >&2; die "$name died"; }
    ((SECONDS < end)) || die "$name is not ready in time"
    sleep 0.1
  done
  say "$name ready at $(($(now) - begin)) ms"
}

# --- keys and certificates ---------------------------------------------------
pki=$run/pki
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$pki/$1.key" 2>/dev/null; }

# cert NAME SUBJECT [ALT_NAMES]: a certificate signed by the cluster's CA.
cert() {
  key "$1"
  openssl req -new -key "$pki/$1.key" -subj "$2" -out "$pki/$1.csr" 2>/dev/null
  openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -days 30 \
    -set_serial "0x$(openssl rand -hex 8)" -out "$pki/$1.crt" 2>/dev/null -extfile <(
      echo 'keyUsage=digitalSignature'
      echo 'extendedKeyUsage=serverAuth,clientAuth'
      [[ -z ${3:-} ]] || echo "subjectAltName=$3"
    )
}

key ca
openssl req -x509 -new -key "$pki/ca.key" -subj /CN=flyte-kube-ca -days 30 -out "$pki/ca.crt" \
  -addext keyUsage=critical,keyCertSign,digitalSignature 2>/dev/null
key sa
openssl ec -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
gateway=${pod_cidr%.*}.1
cert apiserver /CN=kube-apiserver \
  "IP:127.0.0.1,IP:$gateway,IP:10.250.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
cert admin /O=system:masters/CN=admin
cert controllers /CN=system:kube-controller-manager
cert scheduler /CN=system:kube-scheduler
token=$(openssl rand -hex 16)
echo "$token,admin,admin,system:masters" >"$run/conf/tokens.csv"

server=https://127.0.0.1:$api_port
base64_of() { base64 -w0 <"$1"; }

# kubeconfig NAME CERTIFICATE [TOKEN]
kubeconfig() {
  cat >"$run/$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: flyte
clusters:
- name: flyte
  cluster:
    server: $server
    certificate-authority-data: $(base64_of "$pki/ca.crt")
contexts:
- name: flyte
  context: {cluster: flyte, user: $1}
users:
- name: $1
  user:
    client-certificate-data: $(base64_of "$pki/$2.crt")
    client-key-data: $(base64_of "$pki/$2.key")
${3:+    token: $3}
YAML
}
kubeconfig admin admin "$token"
kubeconfig controllers controllers
kubeconfig scheduler scheduler

cat >"$run/env" <<SH
export KUBECONFIG=$run/admin.kubeconfig
export KUBE_SERVER=$server
export KUBE_TOKEN=$token
export KUBE_CA=$pki/ca.crt
export KUBE_GATEWAY=$gateway
export KUBECTL="$cache/bin/kube kubectl"
export CTR="ctr -a $run/containerd.sock -n k8s.io"
SH

# --- control plane -----------------------------------------------------------
start etcd "$cache/bin/etcd" --name flyte --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
  --listen-peer-urls "http://127.0.0.1:$peer_port" --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" \
  --initial-cluster "flyte=http://127.0.0.1:$peer_port"

admission=()
((controllers)) || admission=(--disable-admission-plugins=ServiceAccount)
kubelet_client=()
if ((node)); then
  cert kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  kubelet_client=(--kubelet-client-certificate "$pki/kubelet-client.crt" --kubelet-client-key "$pki/kubelet-client.key"
    --kubelet-certificate-authority "$pki/ca.crt")
fi
start kube-apiserver "$cache/bin/kube" kube-apiserver \
  --etcd-servers "http://127.0.0.1:$etcd_port" \
  --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$api_port" --endpoint-reconciler-type none \
  --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
  --client-ca-file "$pki/ca.crt" --token-auth-file "$run/conf/tokens.csv" \
  --authorization-mode Node,RBAC --allow-privileged --profiling=false \
  --service-cluster-ip-range 10.250.0.0/24 \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/sa.pub" \
  --service-account-signing-key-file "$pki/sa.key" \
  --feature-gates "$gates" \
  ${KUBE_API_FLAGS:-} ${admission[@]+"${admission[@]}"} ${kubelet_client[@]+"${kubelet_client[@]}"}

get() { curl -sf --cacert "$pki/ca.crt" -H "Authorization: Bearer $token" "$server$1"; }
wait_for kube-apiserver 120 get /readyz

for manifest in ${KUBE_APPLY:-}; do
  "$cache/bin/kube" kubectl --kubeconfig "$run/admin.kubeconfig" apply --server-side -f "$manifest" >&2
done

if ((controllers)); then
  start kube-controller-manager "$cache/bin/kube" kube-controller-manager \
    --kubeconfig "$run/controllers.kubeconfig" --authentication-kubeconfig "$run/controllers.kubeconfig" \
    --authorization-kubeconfig "$run/controllers.kubeconfig" \
    --bind-address 127.0.0.1 --secure-port "$kcm_port" --leader-elect=false --profiling=false \
    --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/sa.key" \
    --use-service-account-credentials --kube-api-qps 500 --kube-api-burst 1000 --feature-gates "$gates"
  start kube-scheduler "$cache/bin/kube" kube-scheduler \
    --kubeconfig "$run/scheduler.kubeconfig" --authentication-kubeconfig "$run/scheduler.kubeconfig" \
    --authorization-kubeconfig "$run/scheduler.kubeconfig" \
    --bind-address 127.0.0.1 --secure-port "$scheduler_port" --leader-elect=false --profiling=false \
    --kube-api-qps 500 --kube-api-burst 1000 --feature-gates "$gates"
fi

# --- a real node -------------------------------------------------------------
if ((node)); then
  # The name is an address, so that the kubelet takes it as the node's own.
  name=127.0.0.1
  cert "kubelet" "/O=system:nodes/CN=system:node:$name" "IP:$name"
  kubeconfig kubelet kubelet
  mkdir -p "$run/cni" "$run/kubelet/plugins"

  # The pods' bridge, made now so that this machine has its address on it.
  ip link add flyte-kube0 type bridge || die "flyte-kube0 exists: one node at a time"
  touch "$run/bridge"
  ip addr add "$gateway/${pod_cidr#*/}" dev flyte-kube0
  ip link set flyte-kube0 up

  cat >"$run/conf/containerd.toml" <<TOML
version = 2
root = "$run/containerd/root"
state = "$run/containerd/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "$run/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  disable_apparmor = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "$run/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$run/cni"
TOML

  # Pods see each other and this machine (at the bridge's address), and have no
  # route to anything else.
  cat >"$run/cni/10-flyte.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "flyte-kube", "plugins": [
  {"type": "bridge", "bridge": "flyte-kube0", "isGateway": false, "ipMasq": false,
   "ipam": {"type": "host-local", "dataDir": "$run/cni-ipam", "ranges": [[{"subnet": "$pod_cidr"}]]}}
]}
JSON

  cat >"$run/conf/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
healthzBindAddress: 127.0.0.1
healthzPort: $health_port
readOnlyPort: 0
tlsCertFile: $pki/kubelet.crt
tlsPrivateKeyFile: $pki/kubelet.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix://$run/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
podLogsDir: $run/pods
volumePluginDir: $run/kubelet/plugins
resolvConf: ""
maxPods: 250
serializeImagePulls: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi"}
kubeAPIQPS: 500
kubeAPIBurst: 1000
eventRecordQPS: 0
YAML

  start containerd containerd --config "$run/conf/containerd.toml"
  ctr=(ctr -a "$run/containerd.sock" -n k8s.io)
  wait_for containerd 30 "${ctr[@]}" version
  for image in "$cache"/images/*.tar ${KUBE_IMAGES:-}; do
    "${ctr[@]}" images import "$image" >>"$run/log/images.log" 2>&1
  done
  start kubelet "$cache/bin/kube" kubelet --config "$run/conf/kubelet.yaml" \
    --kubeconfig "$run/kubelet.kubeconfig" --hostname-override "$name" \
    --root-dir "$run/kubelet" --cert-dir "$run/pki"
  node_ready() { [[ $(get "/api/v1/nodes/$1") =~ \"type\":\ *\"Ready\",[[:space:]]*\"status\":\ *\"True\" ]]; }
  wait_for kubelet 120 node_ready "$name"
fi

# --- fake nodes --------------------------------------------------------------
if ((kwok)); then
  taint=
  ((!node)) || taint='{"key":"kwok","value":"true","effect":"NoSchedule"}'
  start kwok "$cache/bin/kwok" --kubeconfig "$run/admin.kubeconfig" --config "$here/kwok/stages.yaml" \
    --manage-nodes-with-label-selector type=kwok --cidr 10.252.0.0/16 --node-ip 127.0.0.1 \
    --server-address "127.0.0.1:$kwok_port"
  for ((i = 0; i < ${KUBE_KWOK_NODES:-1}; i++)); do
    printf '{"apiVersion":"v1","kind":"Node","metadata":{"name":"kwok-%d","labels":{"type":"kwok","kubernetes.io/hostname":"kwok-%d"}},"spec":{"taints":[%s]}}' "$i" "$i" "$taint" |
      curl -sf -o /dev/null --cacert "$pki/ca.crt" -H "Authorization: Bearer $token" \
        -H 'Content-Type: application/json' --data-binary @- "$server/api/v1/nodes"
  done
  kwok_ready() { [[ $(get /api/v1/nodes/kwok-0) =~ \"phase\":\ *\"Running\" ]]; }
  wait_for kwok 60 kwok_ready
fi

# Pods need their namespace's default service account, which a controller makes.
if ((controllers)); then
  wait_for kube-controller-manager 60 get /api/v1/namespaces/default/serviceaccounts/default
fi
say "up in $(($(now) - begin)) ms"
echo "$run/admin.kubeconfig"
