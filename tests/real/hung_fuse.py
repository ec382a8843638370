"""A FUSE file system whose server takes statfs requests and never answers them: a mount that hangs beyond kill -9.

`python hung_fuse.py MOUNTPOINT`, in a user and mount namespace of its own; prints "mounted" and serves until it is ended.
Protocol: linux/fuse.h, version 7.31.
"""

import ctypes
import os
import stat
import struct
import sys

ENOSYS, ENOENT = 38, 2
LOOKUP, FORGET, GETATTR, STATFS, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 17, 26, 36, 42
HEADER = struct.Struct("<IIQQIIII")


def main(path: str) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"hung", os.fsencode(path), b"fuse.hung", 0, options):
        sys.exit(os.strerror(ctypes.get_errno()))
    first = True
    while True:
        request = os.read(device, 1 << 18)
        _, opcode, unique, *_ = HEADER.unpack_from(request)
        if opcode == INIT:
            answer = struct.pack("<IIIIHHIIHHI", 7, 31, 4096, 0, 12, 9, 4096, 1, 1, 0, 0) + bytes(24)
        elif opcode == GETATTR:
            attributes = struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0)
            answer = struct.pack("<QII", 60, 0, 0) + attributes
        elif opcode in (FORGET, BATCH_FORGET, INTERRUPT, STATFS):
            answer = None
        else:
            answer = b""
        if answer is not None:
            os.write(device, struct.pack("<IiQ", 16 + len(answer), 0 if answer else -ENOSYS, unique) + answer)
        if first:
            print("mounted", flush=True)
            first = False


if __name__ == "__main__":
    main(sys.argv[1])
