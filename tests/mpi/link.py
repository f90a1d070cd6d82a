#!/usr/bin/env python3
"""A slow and lossy network between two network namespaces, where the kernel has no netem: frames of a tap device
in each come out of the other after a delay, or not at all.

    tests/mpi/link.py NAMESPACE NAMESPACE MILLISECONDS LOST_SHARE

Says "ready" once both devices, called `link0`, are up, with the addresses 10.77.0.1 and 10.77.0.2.
"""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, TAP, NO_INFO = 0x400454CA, 0x0002, 0x1000
NEW_NETWORK = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    with open(namespace) as handle:
        if libc.setns(handle.fileno(), NEW_NETWORK) != 0:
            sys.exit(f"tests/mpi/link.py: {namespace}: {os.strerror(ctypes.get_errno())}")


def tap(namespace, address):
    enter(f"/run/netns/{namespace}")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"link0", TAP | NO_INFO))
    for words in (f"addr add {address}/24 dev link0", "link set link0 up", "link set lo up"):
        subprocess.run(["ip", *words.split()], check=True)
    return device


first, second, delay, loss = sys.argv[1:]
delay, loss = float(delay) / 1e3, float(loss)
devices = [tap(first, "10.77.0.1"), tap(second, "10.77.0.2")]
to = {devices[0]: devices[1], devices[1]: devices[0]}
chance = random.Random(7)
waiting = []
number = 0
print("ready", flush=True)
while True:
    due = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
    for device in select.select(devices, [], [], due)[0]:
        try:
            while True:
                frame = os.read(device, 65536)
                if chance.random() >= loss:
                    number += 1
                    heapq.heappush(waiting, (time.monotonic() + delay, number, to[device], frame))
        except BlockingIOError:
            pass
    while waiting and waiting[0][0] <= time.monotonic():
        _, _, device, frame = heapq.heappop(waiting)
        try:
            os.write(device, frame)
        except BlockingIOError:
            # A queue that is full loses frames, too.
            pass
