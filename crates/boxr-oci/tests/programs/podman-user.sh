# podman of an ordinary user: with subordinate ids.
podman() { command podman --storage-driver vfs --root "$DIR/s" --runroot "$RUNROOT" --tmpdir "$DIR/t" --runtime "$RUNTIME" "$@"; }
run() { podman run --rm "$@"; }

podman import --quiet "$IMAGE" bb >/dev/null || exit 1
mkdir v

t 0 run bb sh -c 'id; cat /proc/self/uid_map | wc -l'
t 7 run bb sh -c 'exit 7'
t 127 run bb nosuch
t 0 run --user 1000 bb sh -c 'id; touch /tmp/x; ls -n /tmp/x | cut -d" " -f 1-15'
t 0 run --userns keep-id bb id -u
t 0 run --userns nomap bb id -u
t 0 run --uidmap 0:1:100 bb cat /proc/self/uid_map
t 0 run -v "$DIR/v:/v" bb sh -c 'echo inside > /v/a; ls -nd /v | cut -c1-30'
t 0 cat v/a
t 1 run --read-only bb touch /x
t 0 run --device /dev/null:/dev/n bb sh -c 'echo x > /dev/n'
t 0 run --privileged bb grep CapEff /proc/self/status
t 0 run --pid host bb true
t 0 run --net host bb true
t 0 run --sysctl net.ipv4.ip_forward=1 bb cat /proc/sys/net/ipv4/ip_forward
t 0 run -t bb tty
t 0 podman run --detach --name c bb sleep 1000
t 3 podman exec c sh -c 'id -u; exit 3'
t 0 podman exec -t c tty
t 0 podman exec -u 5 c id
t 0 podman top c pid comm
t 0 podman ps --format '{{.Names}} {{.Command}}'
t 0 podman kill c
t 0 podman wait c
t 0 podman rm c
t 0 podman ps --all --quiet
podman rmi --all --force >/dev/null
# Ends the process that holds podman's own user namespace.
podman system migrate
