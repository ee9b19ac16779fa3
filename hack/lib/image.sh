# shellcheck shell=bash
# Container images without any registry: of one static binary each, and of Debian's programs. Needs REPO, TOOLS, log.sh and
# tools.sh, and debian.sh for the latter.

# build_image NAME BINARY FILE [USER]: FILE becomes a docker-archive of docker.io/NAME with BINARY as its entry point.
# Nothing is done if FILE holds just that already.
build_image() {
  local name=docker.io/$1 binary=$2 file=$3 user=${4:-65532:65532} program=${2##*/} want context
  want="$name $user $program $(cat "$binary" "$REPO/hack/Dockerfile" | sha256sum)"
  if image_is "$file" "$want"; then return 0; fi
  mkdir -p "$(dirname "$file")"
  context=$(mktemp -d "$file.context.XXXXXX")
  # Readable and executable by everyone: the image must run as any user.
  install -m 0755 "$binary" "$context/$program"
  # By its own name, which is what one sees in a list of processes.
  sed "s/program/$program/g" "$REPO/hack/Dockerfile" >"$context/Dockerfile"
  archive_image "$name" "$file" "$want" "$context" --build-arg "USER=$user"
}

# build_programs_image NAME FILE: the same with Debian's programs in it (debian.sh) and no entry point
build_programs_image() {
  local name=docker.io/$1 file=$2 want context
  want="$name $(cat "$REPO/hack/lib/debian.sh" "$REPO/hack/Dockerfile.programs" | sha256sum)"
  if image_is "$file" "$want"; then return 0; fi
  mkdir -p "$(dirname "$file")"
  context=$(mktemp -d "$file.context.XXXXXX")
  unpack_debian "$context"
  cp "$REPO/hack/Dockerfile.programs" "$context/Dockerfile"
  archive_image "$name" "$file" "$want" "$context"
}

# image_is FILE WANT: whether FILE was made of just that
image_is() { [[ -f $1 && $(cat "$1.stamp" 2>/dev/null) == "$2" ]]; }

# archive_image NAME FILE WANT CONTEXT ARGUMENTS...: by the Dockerfile in CONTEXT, which is removed
archive_image() {
  local name=$1 file=$2 want=$3 context=$4
  shift 4
  install_packages buildah
  # A store of our own; vfs needs neither mounts nor privileges, and images of one layer cost nothing to copy.
  local buildah=(buildah --root "$TOOLS/buildah/root" --runroot "$TOOLS/buildah/run" --storage-driver vfs)
  {
    "${buildah[@]}" bud --isolation chroot --layers=false --timestamp 0 "$@" \
      -f "$context/Dockerfile" -t "$name" "$context" &&
      rm -f "$file.new" && "${buildah[@]}" push "$name" "docker-archive:$file.new:$name" &&
      "${buildah[@]}" rmi "$name"
  } >"$file.log" 2>&1 || {
    rm -rf "$context"
    fail_with_log "$file.log" "could not build image $name"
  }
  rm -rf "$context"
  mv -f "$file.new" "$file"
  printf '%s\n' "$want" >"$file.stamp"
}

# image_key ARCHIVE: what is in it. The manifest names the images and the digests of their configurations and layers.
image_key() {
  tar -xOf "$1" manifest.json 2>/dev/null || die "$1 is no docker-archive (no manifest.json in it)"
}

# load_images ARCHIVE...: into every node, unless the node has just that under the same name
load_images() {
  local node archive key name jobs=()
  for archive in "$@"; do
    [[ -f $archive ]] || die "no such file: $archive"
    key=$(image_key "$archive")
    name=$(sed -n 's/.*"RepoTags":\["\([^"]*\)".*/\1/p' <<<"$key")
    for ((node = 1; node <= NODES; node++)); do
      local mark=$RUN/node-$node/loaded/${name//\//_}
      if [[ $(cat "$mark" 2>/dev/null) == "$key" ]]; then continue; fi
      {
        ctr_of "$node" images import "$archive" && printf '%s\n' "$key" >"$mark"
      } >"$STATE/log/node-$node.load.log" 2>&1 9>&- &
      jobs+=("$!:$node")
    done
    for node in "${jobs[@]}"; do
      wait "${node%:*}" || fail_with_log "$STATE/log/node-${node#*:}.load.log" "node-${node#*:} could not load $archive"
    done
    jobs=()
  done
}
