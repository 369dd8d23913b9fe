"""The "newc" archive that the kernel unpacks as its first root (Documentation/driver-api/early-userspace).

Written here rather than by cpio(1), so that neither root nor a staging tree is needed, and archives are
reproducible. The kernel takes several archives one after the other, if each begins at a multiple of 4.
"""

import stat


class Archive:
    def __init__(self):
        self._chunks = []
        self._inode = 0
        self._folders = {""}

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._chunks += [header, bytes(-len(header) % 4), data, bytes(-len(data) % 4)]

    def folder(self, path):
        path = path.strip("/")
        if path in self._folders:
            return
        self.folder(path.rpartition("/")[0])
        self._folders.add(path)
        self._entry(path, stat.S_IFDIR | 0o755)

    def file(self, path, data, mode=0o644):
        path = path.strip("/")
        self.folder(path.rpartition("/")[0])
        self._entry(path, stat.S_IFREG | mode, data)

    def link(self, path, target):
        path = path.strip("/")
        self.folder(path.rpartition("/")[0])
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, major, minor):
        path = path.strip("/")
        self.folder(path.rpartition("/")[0])
        self._entry(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def finish(self):
        self._entry("TRAILER!!!", 0)
        data = b"".join(self._chunks)
        return data + bytes(-len(data) % 512)
