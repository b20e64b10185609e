# podman run: what reaches the runtime from its flags, and what comes back from it.
podman() { command podman --storage-driver vfs --root "$DIR/s" --runroot "$RUNROOT" --tmpdir "$DIR/t" --runtime "$RUNTIME" "$@"; }
run() { podman run --rm --cgroup-parent="/$GROUP" "$@"; }
podman import --quiet "$IMAGE" bb >/dev/null || exit 1
mkdir v && chmod 755 v

# statuses
t 0 run bb true
t 7 run bb sh -c 'echo out; echo err >&2; exit 7'
t 255 run bb sh -c 'exit 255'
t 143 run bb sh -c 'sh -c "kill -TERM \$\$"; exit $?'
t 127 run bb nosuch
t 127 run bb /nosuch
t 126 run bb /etc/passwd
t 126 run bb /etc
t 127 run --entrypoint /bin/nosuch bb x
t 125 run --nosuchflag bb true
t 126 run --workdir /nosuch bb true

# the user and its rights
t 0 run --user 1000 bb id
t 0 run --user user bb sh -c 'id; echo $HOME; pwd; umask'
t 0 run --user 1234:55 --group-add 7 bb id
t 0 run bb grep -E '^(Cap|NoNew|Groups)' /proc/self/status
t 0 run --cap-drop all bb grep -E '^(Cap|NoNew)' /proc/self/status
t 0 run --cap-drop CHOWN --cap-add SYS_TIME bb grep Cap /proc/self/status
t 0 run --user 1000 --cap-add NET_RAW bb grep Cap /proc/self/status
t 0 run --privileged bb grep -E 'Cap|Secc|NoNew' /proc/self/status
t 0 run --security-opt no-new-privileges bb grep -E 'NoNew' /proc/self/status
t 0 run --umask 0077 bb sh -c umask

# namespaces
t 0 run --pid host bb sh -c '[ $$ -gt 1 ] && echo host'
t 0 run --uts host bb hostname
t 0 run --hostname blue bb hostname
t 0 run --ipc host bb ls -d /dev/shm
t 0 run --uidmap 0:100000:1000 --gidmap 0:100000:1000 bb sh -c 'id -u; cat /proc/self/uid_map /proc/self/gid_map; ls -ln / | sed -n "s/ .* / /p" | head -n 3'
t 0 run --init bb cat /proc/1/comm
t 0 run --sysctl kernel.msgmax=5000 bb cat /proc/sys/kernel/msgmax

# files
t 1 run --read-only bb sh -c 'echo x > /tmp/x && echo x > /run/x && echo both; echo x > /x'
t 0 run --tmpfs /t:size=1m,mode=1700 bb sh -c 'grep " /t " /proc/self/mounts; stat -c %a /t'
t 0 run -v "$DIR/v:/v" bb sh -c 'echo inside > /v/a; ls -n /v | wc -l'
t 0 cat v/a
t 1 run -v "$DIR/v:/v:ro" bb touch /v/b
t 1 run --mount "type=bind,src=$DIR/v,dst=/m,ro=true" bb touch /m/x
t 0 run --volume vol1:/data bb sh -c 'echo kept > /data/x; cat /data/x'
t 0 run --volume vol1:/data bb cat /data/x
t 0 run --device /dev/null:/dev/mynull bb sh -c 'ls -l /dev/mynull | cut -c1; echo x > /dev/mynull && echo written'
t 1 run --cap-add MKNOD bb sh -c 'mknod /disk b 8 0 && cat /disk'
t 0 run --shm-size 2m bb sh -c 'df /dev/shm | tail -n 1'
t 0 run --security-opt mask=/etc/passwd bb sh -c 'wc -c < /etc/passwd'
t 0 run bb sh -c 'ls -l /dev | sed "s/ [A-Z][a-z][a-z] .*:[0-9]* / /" | grep -v core'
t 0 run bb sh -c 'cut -d" " -f 2,3 /proc/self/mounts | grep -v -e overlay -e /dev/null -e /sys/fs/cgroup/ -e /proc/keys -e /proc/timer_list -e ^/etc | sort'

# limits
t 0 run bb cat /proc/self/limits
t 0 run --oom-score-adj 300 bb cat /proc/self/oom_score_adj
t 0 run --memory 32m bb sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'
t 0 run --pids-limit 77 bb sh -c 'cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true'
t 0 run --cpuset-cpus 0 bb grep Cpus_allowed_list /proc/self/status

# environment and streams
t 0 run -e A=b bb sh -c 'env | grep -v HOSTNAME | sort'
t 0 run -t bb tty
t 0 run bb sh -c 'ls /proc/self/fd'
echo through | run -i bb cat || failed=1

podman volume rm vol1 >/dev/null || failed=1
t 0 podman ps --all --quiet
