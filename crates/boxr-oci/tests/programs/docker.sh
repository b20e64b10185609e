# dockerd with its own containerd, driven by the docker command. In namespaces of this script's own, so that
# it finds nothing of the machine's to change.
ip link set lo up && mount -t tmpfs none /run || exit 1
echo '{}' >daemon.json
dockerd --config-file "$DIR/daemon.json" --bridge=none --iptables=false --ip6tables=false \
  --storage-driver vfs --data-root "$DIR/data" --exec-root /run/d --pidfile /run/pid \
  --host unix:///run/d.sock --cgroup-parent "/$GROUP" --add-runtime "tested=$RUNTIME" >log 2>&1 &
daemon=$!
docker() { command /usr/bin/docker --host unix:///run/d.sock "$@"; }
until_so docker version
docker import "$IMAGE" bb >/dev/null || exit 1
# The limits are ones that a root without CAP_SYS_RESOURCE can have.
run() { docker run --runtime tested --network none --ulimit nofile=1024:1024 "$@"; }

t 0 run --rm bb true
t 6 run --rm bb sh -c 'echo hi; exit 6'
t 137 run --rm bb sh -c 'sh -c "kill -KILL \$\$"; exit $?'
t 127 run --rm bb nosuch
t 126 run --rm bb /etc/passwd
t 125 run --rm --nosuchflag bb true
t 0 run --rm --user 5:6 --read-only --tmpfs /t bb sh -c 'id; touch /t/x && ls /t'
t 1 run --rm --read-only bb touch /x
t 0 run --rm bb grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status
t 0 run --rm --cap-drop ALL --cap-add CHOWN bb grep CapEff /proc/self/status
t 0 run --rm --memory 20m bb sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'
t 0 run --rm --init bb cat /proc/1/comm
t 0 run --rm --hostname blue --env A=b bb sh -c 'hostname; echo $A'
t 0 run --rm --volume "$DIR/daemon.json:/v:ro" bb cat /v
t 0 run --rm --pid host bb sh -c '[ $$ -gt 1 ] && echo host'
t 0 run --rm --device /dev/null:/dev/mynull bb sh -c 'echo x > /dev/mynull && echo written'
echo through | run --rm --interactive bb cat || failed=1

t 0 run --detach --name one bb sh -c 'sleep 1000 & trap "echo term; exit 3" TERM; echo started; wait'
until_so sh -c '/usr/bin/docker --host unix:///run/d.sock logs one | grep started'
t 4 docker exec one sh -c 'id -u; exit 4'
t 126 docker exec one nosuch
t 0 docker exec --user 1000 --workdir /tmp one sh -c 'id -u; pwd'
t 0 docker exec --detach one sh -c 'echo x > /tmp/d'
until_so docker exec one test -s /tmp/d
t 0 sh -c '/usr/bin/docker --host unix:///run/d.sock top one -o pid,comm | grep -c " sh"'
t 0 docker stats --no-stream --format '{{.Name}}'
t 0 docker pause one
t 0 docker inspect --format '{{.State.Status}}' one
t 1 docker exec one true
t 0 docker unpause one
t 0 docker update --memory 30m --memory-swap 60m one
t 0 docker exec one sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'
t 0 docker stop one
t 0 docker inspect --format '{{.State.Status}} {{.State.ExitCode}}' one
t 0 docker logs one
t 0 docker restart one
t 0 docker kill one
t 0 docker wait one
t 0 docker inspect --format '{{.State.Status}}' one
t 0 docker rm one
t 0 docker ps --all --quiet

kill $daemon
wait $daemon
