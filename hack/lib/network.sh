# shellcheck shell=bash
# The network of one cluster: a bridge in the main network namespace, with the control plane's address on it, and one
# network namespace per node. Needs RUN, ID, NUMBER, NODES and log.sh.
#
#   10.N.0.1          control plane (main network namespace)
#   10.N.0.11 ...     node-1 ...
#   10.N.65.0/24 ...  pods of node-1 ...
#   10.N.128.0/20     Services
#
# Nothing leaves the machine: the nodes' default route is an address on the bridge that nobody has.

BRIDGE=weft-$ID

node_address() { printf '10.%s.0.%s' "$NUMBER" $((10 + $1)); }
pod_subnet() { printf '10.%s.%s.0/24' "$NUMBER" $((64 + $1)); }
namespace_of() { printf 'weft-%s-node-%s' "$ID" "$1"; }
veth_of() { printf 'wf-%s-%s' "$ID" "$1"; }

# set_addresses: what follows from NUMBER
# shellcheck disable=SC2034
set_addresses() {
  CONTROL_PLANE=10.$NUMBER.0.1
  POD_CIDR=10.$NUMBER.64.0/18
  SERVICE_CIDR=10.$NUMBER.128.0/20
  FIRST_SERVICE=10.$NUMBER.128.1
  DNS_SERVICE=10.$NUMBER.128.10
  # Loopback, so that only this machine's main network namespace reaches it.
  ETCD=127.0.$NUMBER.1
}

# choose_number: the N of 10.N.0.0/16. It follows from the checkout, but passes by what the machine already uses:
# another checkout's cluster (alive or left over), a VPN, the machine's own network.
choose_number() {
  local used try
  used=$(
    ip -4 -o address show
    ip -4 route show table all
    cat /run/weft-*/instance 2>/dev/null || true
  )
  for ((try = 0; try < 40; try++)); do
    NUMBER=$((210 + (16#$ID + try) % 40))
    if ! grep -qE "(^|[^0-9.])10\.$NUMBER\.|^NUMBER=$NUMBER$" <<<"$used"; then return 0; fi
  done
  die "no free subnet among 10.210.0.0/16 ... 10.249.0.0/16"
}

in_node() {
  local node=$1
  shift
  # Not `ip netns exec`: that hides the cgroup mounts, and runc needs them.
  nsenter --net="/run/netns/$(namespace_of "$node")" -- "$@"
}

network_up() {
  local node other space
  ip link add "$BRIDGE" type bridge
  ip address add "$CONTROL_PLANE/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
  for ((node = 1; node <= NODES; node++)); do
    space=$(namespace_of "$node")
    ip netns add "$space"
    ip link add "$(veth_of "$node")" type veth peer name eth0 netns "$space"
    ip link set "$(veth_of "$node")" master "$BRIDGE" up
    {
      echo "link set lo up"
      echo "address add $(node_address "$node")/24 dev eth0"
      echo "link set eth0 up"
      # 254: nobody. There must be some route, or connections to Service addresses fail before kube-proxy sees them.
      echo "route add default via 10.$NUMBER.0.254"
      # 253: what CoreDNS is told to ask for foreign names. Refused at once instead of a wait for nobody's answer.
      echo "route add unreachable 10.$NUMBER.0.253"
      for ((other = 1; other <= NODES; other++)); do
        if ((other != node)); then echo "route add $(pod_subnet "$other") via $(node_address "$other")"; fi
      done
    } | ip -netns "$space" -batch -
    # A node says "unreachable" each time, not once a second: the others would wait for an answer in vain.
    in_node "$node" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv4/icmp_ratelimit'
    ip route add "$(pod_subnet "$node")" via "$(node_address "$node")"
  done
  # Service addresses work from the main network namespace too (the API server calls webhooks by them): node-1's
  # kube-proxy sends them on. Without this route they would leave by the machine's default route.
  ip route add "$SERVICE_CIDR" via "$(node_address 1)"
}

# network_down: by name, not by NODES, so that it also removes what a half-done `up` or another version left.
network_down() {
  local space pids
  for space in $(ip netns list | awk -v p="weft-$ID-" 'index($1, p) == 1 { print $1 }'); do
    pids=$(ip netns pids "$space")
    # shellcheck disable=SC2086
    if [[ $pids ]]; then end_processes $pids; fi
    ip netns delete "$space"
  done
  if ip link show "$BRIDGE" >/dev/null 2>&1; then ip link delete "$BRIDGE"; fi
}
