# shellcheck shell=bash
# Messages. Standard output is kept for results (`hack/cluster kubeconfig` prints a path), so these go to standard error.

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

# fail_with_log FILE MESSAGE: the message, after the end of the log that explains it.
fail_with_log() {
  say "--- the end of $1:"
  tail -n 30 "$1" >&2 || true
  say "---"
  die "$2"
}
