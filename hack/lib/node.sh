# shellcheck shell=bash
# One node: containerd, kubelet and kube-proxy in the node's network namespace.
# Needs STATE, RUN, TOOLS, PKI, the addresses and process.sh.
#
# $RUN/node-I holds sockets and containerd's mounts (short paths: a socket's is at most 107 bytes),
# $STATE/node-I everything else.

PAUSE_IMAGE=docker.io/weft-local/pause:1

zone_of() {
  local zones=(a b c)
  printf 'zone-%s' "${zones[($1 - 1) % 3]}"
}

write_containerd_config() {
  # shellcheck disable=SC2153
  local state=$STATE/node-$1 run=$RUN/node-$1
  cat >"$state/containerd.toml" <<TOML
version = 2
root = "$state/containerd"
state = "$run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]

[grpc]
address = "$run/containerd.sock"

[ttrpc]
address = "$run/containerd.sock.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$PAUSE_IMAGE"
# Without CAP_SYS_RESOURCE no score may be lowered, and every pod would fail with
# "can't get final child's PID from pipe".
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "$run/runc"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "$state/cni"
TOML
}

write_cni_config() {
  local state=$STATE/node-$1
  # ptp as in kind: each pod is routed by its node. On a bridge, the answer of a pod on the same node would pass by
  # the node's connection tracking, and a Service would not work (unless the kernel has br_netfilter).
  cat >"$state/cni/10-weft.conflist" <<JSON
{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "mtu": 1500,
      "ipam": {
        "type": "host-local",
        "dataDir": "$state/ipam",
        "ranges": [[{"subnet": "$(pod_subnet "$1")"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
}

write_kubelet_config() {
  local state=$STATE/node-$1 run=$RUN/node-$1
  cat >"$state/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$run/containerd.sock
address: $(node_address "$1")
healthzBindAddress: 127.0.0.1
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $PKI/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $PKI/node-$1.crt
tlsPrivateKeyFile: $PKI/node-$1.key
clusterDomain: cluster.local
clusterDNS: [$DNS_SERVICE]
resolvConf: $STATE/resolv.conf
podLogsDir: $state/pod-logs
volumePluginDir: $state/volume-plugins
# Several kubelets share this machine and its cgroups: none may own them.
cgroupDriver: cgroupfs
cgroupsPerQOS: false
# Without cgroups per pod, Kubernetes 1.34's kubelet crashes when it takes a pod for one to be resized in place.
featureGates: {InPlacePodVerticalScaling: false}
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
localStorageCapacityIsolation: false
# Images come from \`hack/cluster load\` only: a node that makes room by removing one cannot get it back.
imageGCHighThresholdPercent: 100
# No pod is ever evicted: what is free belongs to the whole machine, not to this node.
evictionHard:
  memory.available: "0%"
  nodefs.available: "0%"
  nodefs.inodesFree: "0%"
  imagefs.available: "0%"
# Changes arrive quickly: tests wait for them.
syncFrequency: 10s
configMapAndSecretChangeDetectionStrategy: Watch
nodeStatusUpdateFrequency: 5s
kubeAPIQPS: 200
kubeAPIBurst: 400
eventRecordQPS: 0
YAML
}

write_proxy_config() {
  cat >"$STATE/node-$1/kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: node-$1
clientConnection: {kubeconfig: $PKI/kube-proxy.conf}
mode: iptables
detectLocalMode: ClusterCIDR
clusterCIDR: $POD_CIDR
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
iptables:
  minSyncPeriod: 100ms
# 0: leave alone. These are settings of the whole machine, which a node may not change.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
}

start_containerd() {
  local node=$1
  mkdir -p "$RUN/node-$node/loaded" "$STATE/node-$node"/{cni,ipam,kubelet,pod-logs,volume-plugins}
  write_containerd_config "$node"
  write_cni_config "$node"
  write_kubelet_config "$node"
  write_proxy_config "$node"
  start "node-$node.containerd" nsenter --net="/run/netns/$(namespace_of "$node")" -- \
    containerd --config "$STATE/node-$node/containerd.toml" --log-level warn
}

# start_kubelet NODE: together with kube-proxy; the API server must answer, for both retry slowly
start_kubelet() {
  local node=$1 state=$STATE/node-$1 enter
  enter=(nsenter --net="/run/netns/$(namespace_of "$node")" --)
  start "node-$node.kubelet" "${enter[@]}" "$TOOLS/bin/kubelet" --config="$state/kubelet.yaml" \
    --kubeconfig="$PKI/node-$node.conf" --root-dir="$state/kubelet" --cert-dir="$state/kubelet-pki" \
    --hostname-override="node-$node" --node-ip="$(node_address "$node")" \
    --node-labels="topology.kubernetes.io/zone=$(zone_of "$node")"
  start "node-$node.kube-proxy" "${enter[@]}" "$TOOLS/bin/kube-proxy" --config="$state/kube-proxy.yaml"
}

ctr_of() {
  local node=$1
  shift
  ctr -a "$RUN/node-$node/containerd.sock" -n k8s.io "$@"
}

# end_containers: by force; the cluster goes away with them
end_containers() {
  local file id group shims=() groups=() rest=()
  # A shim is ours if it was told the address of a containerd of ours.
  for file in /proc/[0-9]*/cmdline; do
    if [[ $(tr '\0' ' ' 2>/dev/null <"$file") == *containerd-shim*" -address $RUN/node-"* ]]; then
      file=${file#/proc/}
      shims+=("${file%%/*}")
    fi
  done
  for file in "$RUN"/node-*/containerd/io.containerd.runtime.v2.task/k8s.io/*; do
    [[ -d $file ]] || continue
    id=${file##*/}
    # cgroup v1 has one folder per controller, v2 a single one.
    for group in /sys/fs/cgroup/k8s.io/"$id" /sys/fs/cgroup/*/k8s.io/"$id"; do
      if [[ -d $group ]]; then groups+=("$group"); fi
    done
    # What containerd keeps at places that no setting moves: the shim's socket and the results of CNI.
    rest+=("$(sed 's|^unix://||' "$file/address" 2>/dev/null || true)" /var/lib/cni/results/*-"$id"-*)
  done
  # Shims first, so that none of them is busy cleaning up below our hands.
  end_processes "${shims[@]}"
  if ((${#groups[@]})); then end_groups "${groups[@]}"; fi
  for file in "${rest[@]}"; do
    if [[ $file ]]; then rm -f "$file"; fi
  done
}

# end_groups FOLDER...: every process in these cgroups, and the cgroups
end_groups() {
  local pids try
  for ((try = 0; try < 100; try++)); do
    pids=$(find "$@" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -nu) || true
    [[ $pids ]] || break
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  # Folder by folder, the deepest first: the files in a cgroup cannot be removed.
  find "$@" -depth -type d -exec rmdir {} + 2>/dev/null || true
  # Their parent is shared with other clusters, and goes with the last of them.
  rmdir /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io 2>/dev/null || true
}

# unmount_below FOLDER: deepest first
unmount_below() {
  local folder target
  folder=$(readlink -f "$1") || return 0
  awk '{ print $5 }' /proc/self/mountinfo | sort -r | while IFS= read -r target; do
    target=$(printf '%b' "$target")
    if [[ $target == "$folder"/* ]]; then umount "$target" 2>/dev/null || umount -l "$target"; fi
  done
}
