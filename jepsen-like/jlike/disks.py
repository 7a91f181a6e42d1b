"""A small file system for each peer: its power can be cut, and it can be filled.

Used by `jlike.peers` and the nemesis. With root it is ext4 on a loop device; without, or when only
room is to run out, memory. Everything is seen by this process and its children only, the image has
no name, and the loop device frees itself when nobody has it open: nothing is left behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

from jlike import kernel

DISK_BYTES = 256 * 1024 * 1024
"""Sparse: only what is written takes room. Holds what a peer preallocates, several times."""
PROBE_BYTES = 1024 * 1024
COMMAND_S = 60
FILLER = "filler"
LOST = ".lost"
MAKE_FILE_SYSTEM = "mkfs.ext4"
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, struct.pack("I", 2)
"""EXT4_IOC_SHUTDOWN (Linux, fs/ext4/ioctl.c): whatever was not forced to the disk is dropped, and
every write fails from now on, as with a power cut; mounting again replays the journal."""
_LOOP_CONTROL = "/dev/loop-control"
_LOOP_FREE, _LOOP_SET_FILE, _LOOP_SET_STATUS = 0x4C82, 0x4C00, 0x4C04
_LOOP_STATUS = "5Q4I64s64s32s2Q"
_LOOP_AUTOCLEAR = 4
_TRIES = 20


class Disk:
    """A file system in memory, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        kernel.mount("tmpfs", str(path), "tmpfs", options=f"size={DISK_BYTES}")

    def fill(self) -> bool:
        """Until nothing fits. Whether nothing does."""
        with (self.path / FILLER).open("ab") as filler:
            size = self._room()
            while size >= 4_096:
                try:
                    os.posix_fallocate(filler.fileno(), filler.seek(0, os.SEEK_END), size)
                except OSError as error:
                    _must_be_full(error)
                    size //= 2
        return self.is_full()

    def is_full(self) -> bool:
        """Found out by a write, which leaves nothing."""
        probe = self.path / "probe"
        try:
            with probe.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, PROBE_BYTES)
        except OSError as error:
            _must_be_full(error)
            return True
        finally:
            probe.unlink(missing_ok=True)
        return False

    def free(self) -> None:
        (self.path / FILLER).unlink(missing_ok=True)

    def close(self, *, keep: Path | None) -> None:
        """keep: where the data is copied before it is gone. What cannot be copied is told beside
        it, in a file with the ending LOST."""
        try:
            if keep is not None and (self.path / "data").exists():
                shutil.copytree(self.path / "data", keep, dirs_exist_ok=True)
        except OSError as error:  # shutil.Error, too
            # Of a disk without power. An error here would hide the one that ended the run.
            assert keep is not None
            keep.with_suffix(LOST).write_text(str(error), encoding="utf-8")
        finally:
            kernel.unmount(str(self.path), bits=kernel.UNMOUNT_LAZY)

    def _room(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize


class PowerDisk(Disk):
    """ext4 on a loop device. No process may use it when power comes back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        image = path.with_name("disk.img")
        with image.open("wb") as file:
            file.truncate(DISK_BYTES)
        try:
            make = [MAKE_FILE_SYSTEM, "-q", "-F", "-m", "0", str(image)]
            subprocess.run(make, check=True, capture_output=True, timeout=COMMAND_S)
            self._loop, self._device = _attach(image)
        finally:
            image.unlink()
        kernel.mount(self._device, str(path), "ext4")
        self.has_power = True

    def cut(self) -> bool:
        """From now on nothing reaches it; what was not forced to it is lost. Whether something
        that was written for this purpose was still unforced can be told after `restore`."""
        (self.path / "unforced").write_bytes(b"lost with the power")
        self.has_power = False
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(descriptor)
        return True

    def restore(self) -> bool:
        """Whether what was never forced is lost, as it must be for this to count."""
        kernel.unmount(str(self.path))
        kernel.mount(self._device, str(self.path), "ext4")
        self.has_power = True
        unforced = self.path / "unforced"
        is_lost = not unforced.exists() or not unforced.read_bytes()
        unforced.unlink(missing_ok=True)
        return is_lost

    def close(self, *, keep: Path | None) -> None:
        try:
            super().close(keep=keep)
        finally:
            os.close(self._loop)


def _must_be_full(error: OSError) -> None:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error


def _attach(image: Path) -> tuple[int, str]:
    """(descriptor, name) of a loop device that is free again when it is closed and unmounted."""
    control = os.open(_LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    file = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):  # somebody else may take the one that is free
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_FREE)}"
            loop = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(loop, _LOOP_SET_FILE, file)
            except OSError as error:
                os.close(loop)
                if error.errno != errno.EBUSY:
                    raise
                continue
            numbers = (0,) * 8 + (_LOOP_AUTOCLEAR,)
            status = struct.pack(_LOOP_STATUS, *numbers, b"jlike", b"", b"", 0, 0)
            fcntl.ioctl(loop, _LOOP_SET_STATUS, status)
            return loop, device
        raise OSError(errno.EBUSY, f"no loop device in {_TRIES} tries")
    finally:
        os.close(file)
        os.close(control)
