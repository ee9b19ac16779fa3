# shellcheck shell=bash
# The programs the cluster is made of: Debian packages, and Go programs built from pinned modules.
# Sourced by hack/cluster and hack/images; needs REPO, TOOLS and the functions of log.sh.

# package:program pairs. The program tells whether the package is there without asking dpkg.
PACKAGES=(
  containerd:containerd runc:runc containernetworking-plugins:/usr/lib/cni/bridge etcd-server:etcd
  iptables:iptables conntrack:conntrack buildah:buildah iproute2:ip util-linux:nsenter openssl:openssl
  gcc:gcc python3:python3 ipset:ipset
)

# install_packages [PROGRAM...]: installs what is missing (of all packages, or of those with the given programs).
install_packages() {
  local pair missing=()
  for pair in "${PACKAGES[@]}"; do
    if (($#)) && [[ " $* " != *" ${pair#*:} "* ]]; then continue; fi
    command -v "${pair#*:}" >/dev/null || missing+=("${pair%%:*}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing: ${missing[*]} (install them; this script knows apt-get only)"
  ((EUID == 0)) || die "missing: ${missing[*]} (run as root to have them installed)"
  say "installing packages: ${missing[*]}"
  # A service that starts by itself (etcd, containerd) would take the ports and folders of others on this machine.
  {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } >"$TOOLS/apt.log" 2>&1 || fail_with_log "$TOOLS/apt.log" "apt-get could not install: ${missing[*]}"
}

# module_version FOLDER MODULE: the version that FOLDER/go.mod requires, e.g. v1.34.4
module_version() {
  awk -v m="$2" '$1 == "require" && $2 == m { print $3 } $1 == m && $2 ~ /^v/ { print $2 }' "$1/go.mod" | head -n 1
}

# build_tool NAME FOLDER PACKAGE NOTE LDFLAGS: builds one Go program of the module in FOLDER, unless it is up to date.
build_tool() {
  local name=$1 folder=$2 package=$3 note=$4 flags=$5 stamp=$TOOLS/stamp/$1 want
  want=$(cat "$folder/go.mod" "$folder/go.sum" - <<<"$package $flags" | sha256sum)
  if [[ -x $TOOLS/bin/$name && $(cat "$stamp" 2>/dev/null) == "$want" ]]; then return 0; fi
  command -v go >/dev/null || die "missing: go (1.24 or newer), to build $name"
  say "building $name${note:+ ($note the first time)} ..."
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS='' GOWORK=off go build -buildvcs=false -trimpath -ldflags "-s -w $flags" \
    -o "$TOOLS/bin/$name.new" "$package") >"$TOOLS/$name.log" 2>&1 ||
    fail_with_log "$TOOLS/$name.log" "could not build $name"
  # Renamed into place: a running cluster keeps the program it has mapped.
  mv -f "$TOOLS/bin/$name.new" "$TOOLS/bin/$name"
  printf '%s\n' "$want" >"$stamp"
}

# build_tools: everything below target/tools/bin. One builder at a time: two would only slow each other down.
build_tools() {
  mkdir -p "$TOOLS/bin" "$TOOLS/stamp"
  exec 8>"$TOOLS/lock"
  flock 8
  local folder=$REPO/hack/kubernetes version minor flags='' package name note
  version=$(module_version "$folder" k8s.io/kubernetes)
  minor=${version#v1.}
  minor=${minor%%.*}
  # Without these, servers and clients call themselves v0.0.0 and refuse version-dependent behaviour.
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
    flags+=" -X $package.gitTreeState=clean"
  done
  for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    note="about half a minute"
    if [[ $name == kube-apiserver ]]; then note="about 3 min"; fi
    build_tool "$name" "$folder" "k8s.io/kubernetes/cmd/$name" "$note" "$flags"
  done
  build_tool coredns "$folder/coredns" github.com/coredns/coredns "about 1 min" ""
  version=$(module_version "$folder/helm" helm.sh/helm/v3)
  flags="-X helm.sh/helm/v3/internal/version.version=$version"
  # The Kubernetes version `helm template` and `helm lint` assume.
  for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
    flags+=" -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
  done
  build_tool helm "$folder/helm" helm.sh/helm/v3/cmd/helm "about 1 min" "$flags"
  exec 8>&-
}
