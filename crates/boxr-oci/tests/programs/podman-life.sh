# podman: containers that stay, and everything that is done to them.
podman() { command podman --storage-driver vfs --root "$DIR/s" --runroot "$RUNROOT" --tmpdir "$DIR/t" --runtime "$RUNTIME" "$@"; }
changes() { podman diff "$1" | sort; }
start() { podman run --detach --cgroup-parent="/$GROUP" "$@"; }
podman import --quiet "$IMAGE" bb >/dev/null || exit 1
says() { podman logs "$1" 2>&1 | grep -q "$2"; }

t 0 start --name c bb sh -c 'sleep 1000 & trap "echo term; exit 3" TERM; echo started; wait'
until_so says c started
t 0 podman exec c echo hi
t 9 podman exec c sh -c 'exit 9'
t 137 podman exec c sh -c 'kill -KILL $$'
t 127 podman exec c nosuch
t 126 podman exec c /etc/passwd
t 127 podman exec -w /nosuch c pwd
t 0 podman exec -u 1000 c id
t 0 podman exec -w /tmp -e A=b c sh -c 'pwd; echo $A'
t 0 podman exec -t c tty
t 0 podman exec c grep -E '^(Cap|NoNew|Secc)' /proc/self/status
t 0 podman exec --privileged c grep Cap /proc/self/status
t 0 podman exec -d c sh -c 'echo detached > /tmp/d'
until_so podman exec c test -s /tmp/d
t 0 podman exec c cat /tmp/d
echo through | podman exec -i c cat || failed=1
t 0 podman top c user comm
t 0 podman stats --no-stream --format '{{.Name}} {{.PIDs}}' c
t 0 podman inspect --format '{{.State.Status}} {{.State.Running}} {{.State.Paused}}' c
t 0 podman pause c
t 0 podman inspect --format '{{.State.Status}}' c
t 255 podman exec c true
t 0 podman unpause c
t 0 podman cp /etc/passwd c:/tmp/p
t 0 podman exec c test -s /tmp/p
t 0 podman commit --quiet c bb2
t 0 podman stop --time 10 c
t 0 podman wait c
t 0 podman logs c
t 0 podman inspect --format '{{.State.Status}} {{.State.ExitCode}}' c
t 0 podman start c
t 0 podman restart --time 5 c
t 0 podman kill c
t 0 podman wait c
t 255 podman exec c true
t 0 changes c
t 0 podman rm c

# one that is created first, one that shares the host's processes, one that runs out of memory
t 0 podman create --cgroup-parent="/$GROUP" --name c bb sh -c 'echo created; exit 4'
t 4 podman start --attach c
t 0 podman init c
t 0 podman inspect --format '{{.State.Status}}' c
t 0 podman rm --force c
t 0 start --name c --pid host bb sh -c 'sleep 1000 & sleep 1000'
t 0 podman kill c
t 0 podman wait c
t 0 podman rm --force c
t 0 start --name c --memory 20m bb dd if=/dev/zero of=/dev/null bs=100M count=1
t 0 podman wait c
t 0 podman rm --force c
t 0 start --name c bb sleep 1000
t 0 podman update --memory 50m c
t 0 podman exec c sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'
t 0 podman rm --force --time 0 c
t 0 podman ps --all --quiet
