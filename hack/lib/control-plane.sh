# shellcheck shell=bash
# etcd, API server, controller manager and scheduler: in the main network namespace, on the bridge's address or on
# loopback. Needs STATE, TOOLS, PKI, the addresses and process.sh.

start_etcd() {
  # A cluster for tests is thrown away: waiting for the disk would only make everything slower.
  start etcd etcd --name local --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://$ETCD:2379" --advertise-client-urls "http://$ETCD:2379" \
    --listen-peer-urls "http://$ETCD:2380" --initial-advertise-peer-urls "http://$ETCD:2380" \
    --initial-cluster "local=http://$ETCD:2380"
}

start_apiserver() {
  # shellcheck disable=SC2054
  local flags=(
    --etcd-servers="http://$ETCD:2379"
    --bind-address="$CONTROL_PLANE" --advertise-address="$CONTROL_PLANE" --secure-port=6443
    --service-cluster-ip-range="$SERVICE_CIDR"
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --cert-dir="$STATE/apiserver"
    --client-ca-file="$PKI/ca.crt"
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction
    --allow-privileged=true
    --service-account-issuer=https://kubernetes.default.svc.cluster.local
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key"
    --kubelet-certificate-authority="$PKI/ca.crt"
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt"
    --kubelet-client-key="$PKI/apiserver-kubelet-client.key"
    # The nodes' names resolve nowhere.
    --kubelet-preferred-address-types=InternalIP
    # `down` need not wait for watches to end.
    --shutdown-delay-duration=0s
    --profiling=false
  )
  start kube-apiserver "$TOOLS/bin/kube-apiserver" "${flags[@]}"
}

start_controllers() {
  # One of each: nothing to elect. Their rate limits are raised, or they would be what tests wait for.
  start kube-controller-manager "$TOOLS/bin/kube-controller-manager" --leader-elect=false \
    --kubeconfig="$PKI/kube-controller-manager.conf" --bind-address="$CONTROL_PLANE" \
    --authentication-skip-lookup=true --cert-dir="$STATE/kube-controller-manager" \
    --use-service-account-credentials=true --service-account-private-key-file="$PKI/sa.key" \
    --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" \
    --cluster-signing-key-file="$PKI/ca.key" --cluster-cidr="$POD_CIDR" --allocate-node-cidrs=false \
    --service-cluster-ip-range="$SERVICE_CIDR" --kube-api-qps=200 --kube-api-burst=400 --profiling=false
  start kube-scheduler "$TOOLS/bin/kube-scheduler" --leader-elect=false --kubeconfig="$PKI/kube-scheduler.conf" \
    --bind-address="$CONTROL_PLANE" --authentication-skip-lookup=true --cert-dir="$STATE/kube-scheduler" \
    --kube-api-qps=200 --kube-api-burst=400 --profiling=false
}

kube() { "$TOOLS/bin/kubectl" --kubeconfig "$STATE/kubeconfig" "$@"; }

api_ready() { kube --request-timeout=2s get --raw /readyz; }
