# podman pod: containers that share namespaces with one that only waits.
podman() { command podman --storage-driver vfs --root "$DIR/s" --runroot "$RUNROOT" --tmpdir "$DIR/t" --runtime "$RUNTIME" "$@"; }
podman import --quiet --change 'ENTRYPOINT ["/bin/sleep","1000"]' "$IMAGE" infra >/dev/null || exit 1
podman import --quiet "$IMAGE" bb >/dev/null || exit 1

t 0 podman pod create --name p --cgroup-parent="/$GROUP" --hostname inpod --share net,ipc,uts,pid --infra-image infra
t 0 podman run --detach --pod p --name m bb sleep 1000
t 0 podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'
# Both members' commands and the one that waits are seen; all namespaces that are shared are one.
t 0 podman run --rm --pod p bb sh -c 'hostname; ps | grep -c "[s]leep 1000"'
for kind in net ipc uts pid mnt; do
  t 0 sh -c "[ \"\$1\" = \"\$2\" ] && echo shared || echo own" $kind \
    "$(podman exec m readlink /proc/self/ns/$kind)" "$(podman run --rm --pod p bb readlink /proc/self/ns/$kind)" |
    grep -v '^\$'
done
t 0 podman pod pause p
t 0 podman inspect --format '{{.State.Status}}' m
t 0 podman pod unpause p
t 0 podman inspect --format '{{.State.Status}}' m
t 0 podman pod stop --time 0 p
t 0 podman pod start p
t 0 podman exec m hostname
t 0 podman pod rm --force --time 0 p
t 0 podman ps --all --quiet
