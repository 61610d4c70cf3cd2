#!/usr/bin/env bash
# Stops exactly what up.sh started for $KUBE_RUN (default $KUBE_CACHE/run), by
# its file of pids, with the pods, mounts, network and cgroups that the node
# made. Logs stay in $KUBE_RUN/log until the next up.sh.
set -euo pipefail

cache=${KUBE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flyte-ts/kube}
run=${KUBE_RUN:-$cache/run}
[[ -e $run/pids ]] || { echo "down: nothing runs in $run" >&2; exit 0; }

# is_ours PID START: the process noted, and no later one of that id, still runs
# (one that has ended, but that nobody has waited for yet, does not).
is_ours() {
  local stat
  { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra stat <<<"${stat##*) }"
  [[ ${stat[19]} == "$2" && ${stat[0]} != Z ]]
}

# stop NAME SIGNAL SECONDS: ends the process noted under NAME, and waits.
stop() {
  local name pid start end
  while read -r name pid start; do
    [[ $name == "$1" ]] || continue
    is_ours "$pid" "$start" || continue
    kill "-$2" "$pid" 2>/dev/null || true
    end=$((SECONDS + $3))
    while is_ours "$pid" "$start" && ((SECONDS < end)); do sleep 0.05; done
    if is_ours "$pid" "$start"; then kill -KILL "$pid" 2>/dev/null || true; fi
  done <"$run/pids"
}

# Their state is thrown away, so none is asked to end in order.
for name in kwok kubelet kube-scheduler kube-controller-manager; do stop "$name" KILL 5; done

stop containerd KILL 5
stop kube-apiserver KILL 5
stop etcd KILL 5

# cgroups: the folders of the pods' cgroups, in each hierarchy.
cgroups() { find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name kubepods -prune 2>/dev/null || true; }

# What the node left: the pods' processes (all that is in their cgroups), the
# shims that watch over them (known by this cluster's socket) with their own
# sockets, the mounts under the run folder, the bridge and the cgroups.
if [[ -e $run/bridge ]]; then
  for dir in /proc/[0-9]*; do
    mapfile -d '' -t words 2>/dev/null <"$dir/cmdline" || continue
    [[ ${words[0]:-} == *containerd-shim* && " ${words[*]} " == *" $run/containerd.sock "* ]] || continue
    kill -KILL "${dir#/proc/}" 2>/dev/null || true
  done
  for try in {1..100}; do
    for dir in $(cgroups); do
      while read -r file; do
        while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$file" || true
      done < <(find "$dir" -name cgroup.procs 2>/dev/null)
      find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done
    [[ -n $(cgroups) ]] || break
    sleep 0.05
  done
  ((try < 100)) || echo "down: cgroups remain: $(cgroups | tr '\n' ' ')" >&2
  for file in "$run"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*/address; do
    [[ -e $file ]] || continue
    address=$(<"$file")
    [[ $address != unix:///run/containerd/s/* ]] || rm -f "${address#unix://}"
  done
  ip link del flyte-kube0 2>/dev/null || true
  for file in /var/lib/cni/results/flyte-kube-*-eth0; do
    [[ -e $file ]] || continue
    id=${file##*/flyte-kube-}
    rm -f "$file" "/var/lib/cni/results/cni-loopback-${id%-eth0}-lo"
  done
fi
while read -r path; do umount -l "$path" 2>/dev/null || true; done \
  < <(awk -v root="$run/" 'index($2, root) == 1 { print $2 }' /proc/self/mounts | sort -r)
mv "$run/pids" "$run/pids.stopped"
echo "down: stopped $run" >&2
