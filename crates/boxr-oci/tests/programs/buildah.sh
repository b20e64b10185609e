# buildah: RUN of a build, and commands in a working container.
buildah() { command buildah --storage-driver vfs --root "$DIR/s" --runroot "$RUNROOT" "$@"; }
run() { buildah run --runtime "$RUNTIME" --isolation oci --network none "$@"; }
mkdir context
cp "$IMAGE" context/image.tar
cat >context/Dockerfile <<'D'
FROM scratch
ADD image.tar /
ENV X=y
WORKDIR /w
RUN echo built-$X > f && id -u > u && pwd
RUN ["/bin/sh", "-c", "cat f u && test -d /proc/self"]
USER 1000
RUN id -u; grep Cap /proc/self/status; touch /tmp/mine
CMD ["/bin/cat", "/w/f"]
D
sed 's/^CMD.*/RUN exit 5/' context/Dockerfile >context/Broken
build() { buildah bud --quiet --runtime "$RUNTIME" --isolation oci --network none "$@" context; }

# --quiet keeps the steps' output too; the log names it.
t 0 build --tag x --logfile log
grep -v -e '^-->' -e '^[0-9a-f]*$' log
t 5 build --file context/Broken
t 0 buildah from --name w x
t 5 run w -- sh -c 'id; exit 5'
t 0 run --user 0 w -- sh -c 'id; cat /w/f; cat /proc/1/comm'
t 1 run w -- nosuch
t 0 run --terminal w -- tty
t 0 run --volume "$DIR/context:/v:ro" w -- ls /v
t 1 run --volume "$DIR/context:/v:ro" w -- touch /v/x
t 0 run --cap-drop all w -- grep CapBnd /proc/self/status
t 0 run --hostname blue w -- hostname
t 0 buildah rm --all
t 0 buildah rmi --all --force
