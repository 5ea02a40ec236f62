"""A disk of its own whose power can be cut: ext4 in a file, mounted on a folder."""

import subprocess

import pytest

SIZE_MIB = 256


class Disk:
    """A disk on `folder`, from `__enter__` to `__exit__`; the test is skipped where it cannot be.

    What the system has not written to it yet is in memory only, for half a minute unless it is
    flushed. So the file is what a power cut leaves.
    """

    def __init__(self, folder):
        self.folder = folder
        self.image = folder.with_name("disk.img")

    def __enter__(self):
        with self.image.open("wb") as file:
            file.truncate(SIZE_MIB * 2**20)
        try:
            made = _run("mkfs.ext4", "-q", "-F", self.image)
        except FileNotFoundError:
            pytest.skip("there is no mkfs.ext4")
        assert made.returncode == 0, made.stderr
        self.folder.mkdir(exist_ok=True)  # its content is hidden until the exit
        if problem := self._mount():
            pytest.skip(f"no file system can be mounted here: {problem}")
        return self

    def __exit__(self, *exception):
        self._unmount()

    def remains(self):
        """Copy what a power cut in this moment leaves; returns the file."""
        copy = self.image.with_name("remains.img")
        copied = _run("cp", "--sparse=always", self.image, copy)
        assert copied.returncode == 0, copied.stderr
        return copy

    def come_back(self, remains):
        """Mount what a power cut left in the place of the disk."""
        self._unmount()
        remains.replace(self.image)
        problem = self._mount()
        assert not problem, problem

    def _mount(self):
        # The file system's own journal is flushed seldom, which leaves more to be lost.
        done = _run("mount", "-o", "loop,commit=300", self.image, self.folder)
        return done.stderr

    def _unmount(self):
        # Lazily: a process that was killed may take a moment to leave its files.
        done = _run("umount", "--lazy", self.folder)
        assert done.returncode == 0, done.stderr


def _run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)
