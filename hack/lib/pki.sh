# shellcheck shell=bash
# Certificates and kubeconfigs, made anew by each `up` (a fraction of a second). Needs STATE and the addresses.

PKI=$STATE/pki

make_authority() {
  mkdir -p "$PKI"
  chmod 700 "$PKI"
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/ca.key"
  openssl req -x509 -new -key "$PKI/ca.key" -subj "/CN=weft-local" -days 3650 -out "$PKI/ca.crt" \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature
  # Service account tokens are signed with this one.
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}

# make_certificate NAME SUBJECT [ALTERNATIVE_NAMES]: for a client, and for a server if it has names
make_certificate() {
  local name=$1 subject=$2 names=${3:-} usage=clientAuth
  if [[ $names ]]; then usage+=,serverAuth; fi
  openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$name.key"
  openssl req -new -key "$PKI/$name.key" -subj "$subject" -out "$PKI/$name.csr"
  openssl x509 -req -in "$PKI/$name.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -days 3650 \
    -set_serial "0x$(openssl rand -hex 8)" -out "$PKI/$name.crt" -extfile <(
      echo "keyUsage=critical,digitalSignature"
      echo "extendedKeyUsage=$usage"
      if [[ $names ]]; then echo "subjectAltName=$names"; fi
    ) 2>/dev/null
  rm "$PKI/$name.csr"
}

# make_kubeconfig FILE NAME: with everything embedded, so that the file can be used from anywhere
make_kubeconfig() {
  local file=$1 name=$2
  cat >"$file" <<YAML
apiVersion: v1
kind: Config
clusters:
- name: weft-local
  cluster:
    server: https://$CONTROL_PLANE:6443
    certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")
users:
- name: $name
  user:
    client-certificate-data: $(base64 -w0 "$PKI/$name.crt")
    client-key-data: $(base64 -w0 "$PKI/$name.key")
contexts:
- name: weft-local
  context: {cluster: weft-local, user: $name}
current-context: weft-local
YAML
  chmod 600 "$file"
}

make_pki() {
  local node
  make_authority
  make_certificate apiserver /CN=kube-apiserver "$(printf %s \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local," \
    "DNS:localhost,IP:127.0.0.1,IP:$CONTROL_PLANE,IP:$FIRST_SERVICE")"
  make_certificate apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
  make_certificate admin /O=system:masters/CN=admin
  make_certificate kube-controller-manager /CN=system:kube-controller-manager
  make_certificate kube-scheduler /CN=system:kube-scheduler
  make_certificate kube-proxy /CN=system:kube-proxy
  make_kubeconfig "$STATE/kubeconfig" admin
  for name in kube-controller-manager kube-scheduler kube-proxy; do make_kubeconfig "$PKI/$name.conf" "$name"; done
  for ((node = 1; node <= NODES; node++)); do
    make_certificate "node-$node" "/O=system:nodes/CN=system:node:node-$node" \
      "DNS:node-$node,IP:$(node_address "$node")"
    make_kubeconfig "$PKI/node-$node.conf" "node-$node"
  done
}
