# What the scripts of this directory have in common. They get the variables
#   RUNTIME   the OCI runtime                 DIR     a directory of this run's own
#   IMAGE     a tar archive with busybox      GROUP   a cgroup of this run's own, below which all go
#   RUNROOT   a directory with a short name
# and their output is compared with that of the same script with another runtime.
set -u
cd "$DIR"
failed=0

# t STATUS COMMAND…: tells what the command says, and fails the script when it ends otherwise.
t() {
  expected=$1
  shift
  echo "\$ $*"
  "$@" >out 2>err </dev/null
  status=$?
  cat out
  # What a runtime says is its own; who starts it adds to that what we compare by status.
  [ "$status" = "$expected" ] || {
    failed=1
    echo "ended with $status, not $expected:"
    cat err
  }
}

# until_so COMMAND…: waits until it succeeds, for ten seconds at most.
until_so() {
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || {
      failed=1
      echo "never so: $*"
      return
    }
    sleep 0.05
  done
}
