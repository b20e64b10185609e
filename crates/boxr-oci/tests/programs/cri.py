"""What a kubelet asks of containerd's CRI plugin, spoken by hand: python3-grpcio has no such messages.

Usage: cri.py SOCKET IMAGE CGROUP. Field numbers are those of k8s.io/cri-api, pkg/apis/runtime/v1/api.proto.
"""

import sys
import time

import grpc

socket, image, cgroup = sys.argv[1:]
channel = grpc.insecure_channel("unix://" + socket)


def number(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(fields):
    """A message of numbers, texts, messages (as dictionaries) and lists of these, by field number."""
    out = b""
    for field, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                out += number(field << 3) + number(value)
                continue
            value = message(value) if isinstance(value, dict) else value.encode()
            out += number(field << 3 | 2) + number(len(value)) + value
    return out


def fields(data):
    """The last value of each field: a number or bytes."""
    found, at = {}, 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read()
        value = read()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        found[key >> 3] = value
    return found


def call(method, request):
    stub = channel.unary_unary("/runtime.v1.RuntimeService/" + method)
    return fields(stub(message(request), timeout=30, wait_for_ready=True))


def state(container):
    """State (1 running, 2 exited) and exit code."""
    status = fields(call("ContainerStatus", {1: container})[1])
    return status.get(3, 0), status.get(7, 0)


NODE = 2
sandbox_config = {
    1: {1: "pod", 2: "uid-1", 3: "tests"},
    # The network of the host, for there are no CNI plugins, and so its hostname.
    8: {1: "/" + cgroup, 2: {1: {1: NODE}}},
}


def create(pod, name, command):
    config = {1: {1: name}, 2: {1: image}, 3: command, 15: {1: {4: 64 << 20}}}
    return call("CreateContainer", {1: pod, 2: config, 3: sandbox_config})[1].decode()


pod = call("RunPodSandbox", {1: sandbox_config})[1].decode()
print("sandbox", fields(call("PodSandboxStatus", {1: pod})[1]).get(3, 0))

container = create(pod, "sleeper", ["sleep", "1000"])
print("created", state(container))
call("StartContainer", {1: container})
print("started", state(container))
answer = call("ExecSync", {1: container, 2: ["sh", "-c", "id -u; echo err >&2; exit 5"], 3: 10})
print("exec", answer.get(1), answer.get(2), answer.get(3, 0))
shared = [call("ExecSync", {1: container, 2: ["readlink", "/proc/self/ns/" + kind]})[1] for kind in ("ipc", "net")]
call("UpdateContainerResources", {1: container, 2: {4: 48 << 20}})
limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true"
print("limit", call("ExecSync", {1: container, 2: ["sh", "-c", limit]})[1])
try:
    print("missing", call("ExecSync", {1: container, 2: ["nosuch"]}))
except grpc.RpcError as error:
    print("missing", "executable file not found in $PATH" in error.details())

second = create(pod, "short", ["sh", "-c", "exit 9"])
call("StartContainer", {1: second})
end = time.monotonic() + 20
while state(second)[0] != 2 and time.monotonic() < end:
    time.sleep(0.02)
print("ended", state(second))
third = create(pod, "member", ["sleep", "1000"])
call("StartContainer", {1: third})
own = [call("ExecSync", {1: third, 2: ["readlink", "/proc/self/ns/" + kind]})[1] for kind in ("ipc", "net")]
print("shared", shared == own)
try:
    bad = create(pod, "bad", ["nosuch"])
    call("StartContainer", {1: bad})
    print("bad started")
except grpc.RpcError as error:
    print("bad", "executable file not found in $PATH" in error.details(), state(bad))
    call("RemoveContainer", {1: bad})

call("StopContainer", {1: container, 2: 0})
print("stopped", state(container))
for each in (container, second, third):
    call("StopContainer", {1: each, 2: 0})
    call("RemoveContainer", {1: each})
call("StopPodSandbox", {1: pod})
call("RemovePodSandbox", {1: pod})
print("left", call("ListContainers", {}), call("ListPodSandbox", {}))
