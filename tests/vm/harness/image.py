"""What is in the guest. Everything here ends up in the guest's memory, so it is stripped and kept small."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile

from .cpio import Archive

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))


class ImageError(Exception):
    pass


def cache_dir():
    base = os.environ.get("HEADROOM_CACHE")
    if not base:
        home_cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        base = os.path.join(home_cache, "headroom")
    os.makedirs(base, exist_ok=True)
    return base


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def write_atomically(path, data, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path))
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(temporary, mode)
    os.rename(temporary, path)


def build_load(build):
    """The load generator: the build's own when it is newer than its sources, else compiled here and cached."""
    folder = os.path.join(HERE, "load")
    sources = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith((".c", ".h")))
    newest = max(os.path.getmtime(source) for source in sources)
    for candidate in ("tests/vm/load", "tests/load", "load"):
        path = os.path.join(build, candidate)
        if os.path.isfile(path) and os.access(path, os.X_OK) and os.path.getmtime(path) >= newest:
            return path
    digest = hashlib.sha256(b"".join(read_bytes(source) for source in sources)).hexdigest()[:16]
    path = os.path.join(cache_dir(), "load", digest)
    if not os.path.exists(path):
        compiler = os.environ.get("CC", "cc")
        with tempfile.TemporaryDirectory() as work:
            output = os.path.join(work, "load")
            command = [*compiler.split(), "-std=gnu17", "-O2", "-static", "-o", output]
            command += [source for source in sources if source.endswith(".c")]
            result = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
            if result.returncode != 0:
                raise ImageError("the load generator does not compile:\n" + result.stderr)
            write_atomically(path, read_bytes(output), 0o755)
    return path


def stripped(path):
    """The bytes of a program without its debugging information, where strip is at hand."""
    data = read_bytes(path)
    tool = shutil.which("strip")
    if tool is None or not data.startswith(b"\x7fELF"):
        return data
    with tempfile.TemporaryDirectory() as work:
        output = os.path.join(work, "stripped")
        result = subprocess.run([tool, "--strip-unneeded", "-o", output, path], stderr=subprocess.DEVNULL, check=False)
        return read_bytes(output) if result.returncode == 0 else data


def libraries_of(path):
    """(name, file) of the shared libraries of a program, its loader among them by full name."""
    result = subprocess.run(["ldd", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    libraries = []
    for line in result.stdout.splitlines():
        match = re.match(r"^\s*(\S+)(?: => (\S+))? \(0x", line)
        if match and match.group(2):
            libraries.append((match.group(1), match.group(2)))
        elif match and match.group(1).startswith("/"):
            libraries.append((match.group(1), match.group(1)))
        elif "not found" in line:
            raise ImageError("%s needs a library that is missing: %s" % (path, line.strip()))
    return libraries


def add_program(archive, path, name, placed):
    archive.file("bin/" + name, stripped(path), 0o755)
    for library, file in libraries_of(path):
        # The loader is found by its full name, everything else in a folder that the loader searches by itself.
        target = library if library.startswith("/") else "usr/lib/" + library
        if target not in placed:
            placed.add(target)
            archive.file(target, stripped(os.path.realpath(file)), 0o755)


def base_archive(load):
    """busybox and the load generator: the same for every scenario, so it is cached."""
    busybox = shutil.which("busybox") or "/bin/busybox"
    if not os.path.exists(busybox):
        raise ImageError("busybox is missing (Debian: apt install busybox-static)")
    if libraries_of(busybox):
        raise ImageError("busybox is not static (Debian: apt install busybox-static)")
    contents = {"bin/busybox": read_bytes(busybox), "bin/load": stripped(load)}
    digest = hashlib.sha256(b"\0".join(contents.values()) + read_bytes(__file__)).hexdigest()[:16]
    path = os.path.join(cache_dir(), "initramfs", "base-%s.cpio" % digest)
    if not os.path.exists(path):
        archive = Archive()
        for name, data in contents.items():
            archive.file(name, data, 0o755)
        # The kernel opens the console before anything mounts /dev.
        archive.device("dev/console", 5, 1)
        write_atomically(path, archive.finish())
    return read_bytes(path)


def shell_quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def find_program(name, build):
    for candidate in (os.path.join(build, name), os.path.join(build, "src", name)):
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return shutil.which(name)


def add_guest_files(archive, folder, target):
    """A folder of the guest's, as it stands."""
    for name in sorted(os.listdir(os.path.join(HERE, "guest", folder))):
        archive.file(os.path.join(target, name), read_bytes(os.path.join(HERE, "guest", folder, name)))


def add_modules(archive, kernel, features):
    with open(os.path.join(kernel, "modules.order"), encoding="utf-8") as file:
        order = [line for line in file if line.split()[0] in features]
    for module in sorted({line.split()[1] for line in order}):
        archive.file("modules/" + module, read_bytes(os.path.join(kernel, "modules", module)))
    archive.file("modules/order", "".join(order).encode())


def add_installed(archive, build, target):
    """What `meson install` makes of the build, below `target`, from where the guest's init takes it."""
    with tempfile.TemporaryDirectory() as stage:
        result = subprocess.run(["meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", stage],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if result.returncode != 0:
            raise ImageError("meson install of %s fails:\n%s" % (build, result.stdout))
        for folder, folders, names in sorted(os.walk(stage)):
            for name in sorted(names + [name for name in folders if os.path.islink(os.path.join(folder, name))]):
                path = os.path.join(folder, name)
                place = os.path.join(target, os.path.relpath(path, stage))
                if os.path.islink(path):
                    archive.link(place, os.readlink(path))
                else:
                    archive.file(place, stripped(path), os.stat(path).st_mode & 0o7777)


def overlay_archive(scenario, variables, build, kernel):
    """What differs from run to run; returns the archive and the programs that could not be found."""
    archive = Archive()
    placed, missing = set(), []
    init = "init-host" if scenario.is_on_host_root else "init"
    archive.file("init", read_bytes(os.path.join(HERE, "guest", init)), 0o755)
    for name in ("lib.sh", "boot.sh"):
        archive.file(name, read_bytes(os.path.join(HERE, "guest", name)))
    if scenario.is_on_host_root:
        add_guest_files(archive, "systemd", "systemd")
    archive.file("scenario.sh", scenario.script)
    lines = ["%s=%s\n" % (name, shell_quote(value)) for name, value in sorted(variables.items())]
    archive.file("vars.sh", "".join(lines).encode())
    for name in scenario.programs:
        path = find_program(name, build)
        if path is None:
            missing.append(name)
        elif scenario.is_on_host_root:
            archive.file("bin/" + name, stripped(path), 0o755)  # its libraries are there
        else:
            add_program(archive, path, name, placed)
    if scenario.is_installed:
        add_installed(archive, build, "install")
    add_modules(archive, kernel, scenario.features())
    return archive.finish(), missing
