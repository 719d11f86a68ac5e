"""The system calls that a sandbox refuses, with their numbers by processor (asm/unistd_64.h, asm-generic/unistd.h).

A deny list, because it is never the only layer: namespaces or Landlock come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Processor:
    """A kind of processor: its audit architecture (linux/audit.h), and its column in the tables."""

    architecture: int
    column: int


PROCESSORS: Mapping[str, Processor] = {
    "x86_64": Processor(0xC000003E, 0),
    "aarch64": Processor(0xC00000B7, 1),
}
"""By the name that uname(2) gives the machine."""

Numbers = tuple[int | None, int | None]
"""x86-64 and aarch64; None if there is no such call."""

CLONE: Numbers = (56, 220)
CLONE3: Numbers = (435, 435)
IOCTL: Numbers = (16, 29)
MKNOD: Numbers = (133, None)
MKNODAT: Numbers = (259, 33)
SOCKET: Numbers = (41, 198)
SOCKETPAIR: Numbers = (53, 199)

REFUSED: Mapping[str, Numbers] = {
    # mounts
    "chroot": (161, 51),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "pivot_root": (155, 41),
    "umount2": (166, 39),
    # namespaces
    "setns": (308, 268),
    "unshare": (272, 97),
    # other processes
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    # the kernel
    "acct": (163, 89),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "modify_ldt": (154, None),
    "perf_event_open": (298, 241),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
    # ways around the filter
    "add_key": (248, 217),
    "fanotify_init": (300, 262),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "request_key": (249, 218),
}
"""Refused in every sandbox, whatever the arguments."""

SHARED_MEMORY: Mapping[str, Numbers] = {
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
}
"""Also refused without a namespace for them."""

METADATA: Mapping[str, Numbers] = {
    "chmod": (90, None),
    "chown": (92, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "file_setattr": (469, 469),
    "fremovexattr": (199, 16),
    "fsetxattr": (190, 7),
    "lchown": (94, None),
    "lremovexattr": (198, 15),
    "lsetxattr": (189, 6),
    "removexattr": (197, 14),
    "removexattrat": (466, 466),
    "setxattr": (188, 5),
    "setxattrat": (463, 463),
}
"""Also refused if only Landlock protects files: it does not restrict these."""

TIMES: Mapping[str, Numbers] = {
    "futimesat": (261, None),
    "utime": (132, None),
    "utimensat": (280, 88),
    "utimes": (235, None),
}
"""Like `METADATA`, but `touch` and `cp -p` need them if files may be changed."""
