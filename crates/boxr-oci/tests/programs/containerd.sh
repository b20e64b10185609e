# containerd: its runc shim by `ctr`, and its CRI plugin as a kubelet uses it. In namespaces of this script's
# own: sockets of the shim are always below /run.
ip link set lo up && mount -t tmpfs none /run || exit 1
cat >config.toml <<C
version = 2
root = "$DIR/root"
state = "/run/c/state"
[grpc]
address = "/run/c.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "$DIR/opt"
[plugins."io.containerd.grpc.v1.cri"]
disable_tcp_service = true
disable_apparmor = true
restrict_oom_score_adj = true
sandbox_image = "docker.io/library/pause:1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
default_runtime_name = "tested"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.tested.options]
BinaryName = "$RUNTIME"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$DIR/cni"
conf_dir = "$DIR/cni"
C
containerd --config config.toml >log 2>&1 &
daemon=$!
ctr() { command ctr --address /run/c.sock "$@"; }
until_so ctr version

# Images as `docker save` writes them, one layer each.
digest() { sha256sum "$1" | cut -d' ' -f1; }
archive() {
  mkdir "$1" && cp "$IMAGE" "$1/layer.tar" && cd "$1" || exit 1
  echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sleep\",\"1000\"],\"Env\":[\"PATH=/bin\"]},
    \"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:$(digest layer.tar)\"]}}" >config.json
  echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"docker.io/library/$1:1\"],\"Layers\":[\"layer.tar\"]}]" >manifest.json
  tar -cf "../$1.tar" manifest.json config.json layer.tar
  cd ..
  for namespace in default k8s.io; do
    command ctr --address /run/c.sock --namespace $namespace images import --snapshotter native "$1.tar" >/dev/null || failed=1
  done
}
archive bb
archive pause

image=docker.io/library/bb:1
run() { name=$1; shift; ctr run --snapshotter native --runc-binary "$RUNTIME" --cgroup "/$GROUP/$name" "$@"; }
# Of a command that ends at once ctr may give up the pipe before it has opened it. This one reads to the end of its
# input, which comes when it was heard.
heard() {
  rm -f in heard
  mkfifo in
  "$@" <in >heard 2>unheard &
  running=$!
  exec 8>in
  until_so test -s heard
  exec 8>&-
  wait $running
  status=$?
  cat heard
  cat unheard >&2
  return $status
}
t 0 run a --rm $image a true
t 6 heard run a --rm $image a sh -c 'echo hi; id; cat; exit 6'
t 1 run a --rm $image a nosuch
grep -o 'exec: .*' err
t 0 heard run a --rm --env A=b --cwd /tmp $image a sh -c 'echo $A; pwd; cat'
t 1 run a --rm --read-only $image a touch /x
t 0 run a --rm --memory-limit 33554432 $image a sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'
t 0 heard run a --rm --mount "type=bind,src=$DIR/bb,dst=/m,options=rbind:ro" $image a sh -c 'ls /m; cat'
t 0 run b --detach $image b sh -c 'sleep 1000 & trap "exit 3" TERM; wait'
t 4 ctr task exec --exec-id e b sh -c 'exit 4'
# The same of one that is executed.
number=0
says_x() {
  number=$((number + 1))
  ctr task exec --exec-id "e$number" b echo x | grep -q x
}
until_so says_x
t 1 ctr task exec --exec-id e b nosuch
t 0 ctr task pause b
ctr task ls | awk '{print $1, $3}'
t 0 ctr task resume b
# As wide as the pids are.
ctr task ps b | head -n 1 | tr -s ' '
t 0 sh -c 'command ctr --address /run/c.sock task metrics b | grep -c .'
t 0 ctr task kill --signal TERM b
until_so sh -c 'ctr --address /run/c.sock task ls | grep STOPPED'
t 0 ctr task rm b
t 0 ctr container rm b
t 0 ctr container ls --quiet

t 0 /usr/bin/python3 "../cri.py" /run/c.sock $image "$GROUP"

kill $daemon
wait $daemon
