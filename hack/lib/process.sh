# shellcheck shell=bash
# Processes that outlive the calling shell, recorded by id. Needs RUN, STATE and log.sh.
#
# A record is $RUN/pids/NAME with "PID START", START being the kernel's start time of the process: a number that was
# given to another process meanwhile is never mistaken for ours.

# started_at PID: start time in clock ticks since boot. Fields are counted after the name, which may hold blanks.
started_at() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  [[ $1 != Z ]] || return 1
  printf '%s\n' "${20}"
}

# start NAME COMMAND...: NAME may have a folder (node-1.kubelet has its log in log/node-1.kubelet.log).
start() {
  local name=$1 pid
  shift
  # 9 is the lock of this command: a daemon that inherited it would hold it for good.
  # setsid does not fork here (a background job of a script leads no group), so $! is the program itself.
  setsid -- "$@" </dev/null >"$STATE/log/$name.log" 2>&1 9>&- &
  pid=$!
  printf '%s %s\n' "$pid" "$(started_at "$pid" || echo 0)" >"$RUN/pids/$name"
}

# pid_of NAME: its id, if it still runs
pid_of() {
  local pid start
  read -r pid start 2>/dev/null <"$RUN/pids/$1" || return 1
  [[ $(started_at "$pid") == "$start" ]] || return 1
  printf '%s\n' "$pid"
}

# recorded [PATTERN]: names of the recorded processes
recorded() {
  local file
  for file in "$RUN"/pids/${1:-*}; do
    if [[ -f $file ]]; then printf '%s\n' "${file##*/}"; fi
  done
}

# dead: the first recorded process that does not run
dead() {
  local name
  for name in $(recorded); do
    if ! pid_of "$name" >/dev/null; then
      printf '%s\n' "$name"
      return 0
    fi
  done
  return 1
}

# wait_for SECONDS LOG WHAT COMMAND...: until COMMAND succeeds. LOG names the process to blame.
wait_for() {
  local limit=$((SECONDS + $1)) log=$STATE/log/$2.log what=$3 name
  shift 3
  until "$@" >/dev/null 2>&1; do
    if name=$(dead); then fail_with_log "$STATE/log/$name.log" "$name ended while waiting for $what"; fi
    if ((SECONDS >= limit)); then fail_with_log "$log" "gave up waiting for $what"; fi
    sleep 0.1
  done
}

# gone SECONDS PID...: waits until none of them runs
gone() {
  local limit=$((SECONDS + $1)) pid
  shift
  for pid in "$@"; do
    while started_at "$pid" >/dev/null; do
      if ((SECONDS >= limit)); then return 1; fi
      sleep 0.05
    done
  done
}

# stop PATTERN: ends the recorded processes and forgets them. By force: all they could do before they end is to take
# care of data that is removed with the cluster, and the API server alone would take many seconds over it.
stop() {
  local name pid pids=()
  for name in $(recorded "$1"); do
    if pid=$(pid_of "$name"); then pids+=("$pid"); fi
  done
  end_processes "${pids[@]}"
  for name in $(recorded "$1"); do rm -f "$RUN/pids/$name"; done
}

# end_processes PID...: and waits until they are gone, for their names, addresses and mounts are used again
end_processes() {
  (($#)) || return 0
  kill -KILL "$@" 2>/dev/null || true
  gone 10 "$@" || say "warning: some processes do not end: $*"
}
