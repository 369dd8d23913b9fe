"""What `meson install` installs: that it is complete, that systemd takes it, and that pages, example and completion say
what the programs read. Words are asked of the programs, never listed here."""
import os
import re
import shutil
import subprocess
import tempfile

from tree import expect

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECTIONS = ("[Node]", "[Monitor]", "[Class x]", "[Level low]")
EXPOSURE_MAX = 2.0
BACKOFF = re.compile("^(RestartSteps|RestartMaxDelaySec)=", re.M)


def read(*path):
    with open(os.path.join(REPOSITORY, *path), encoding="utf-8") as f:
        return f.read()


def installed(p):
    """{path below the prefix: full path}"""
    stage = tempfile.mkdtemp(dir=p.base)
    code, out, err = p.run("meson", "install", "-C", p.build, "--no-rebuild", "--destdir", stage)
    expect(code == 0, f"meson install: exit {code}: {out}{err}")
    files = [os.path.join(folder, name) for folder, _, names in os.walk(stage) for name in names]
    prefix = os.path.dirname(os.path.dirname(next(f for f in files if f.endswith("bin/headroomd"))))
    expect(all(f.startswith(prefix + "/") for f in files), f"outside of the prefix: {files}")
    return {f[len(prefix) + 1:]: f for f in files}


def keys(p):
    """{section: keys}: an unknown key's message names those that there are."""
    found = {}
    for section in SECTIONS:
        path = p.config(f"{section}\nXxxxxxxxxxxxxxxx=1\n")
        _, _, err = p.run(p.headroomd, "--check-config", "--config", path)
        match = re.search(r"The keys there are (.*)\.", err)
        expect(match, f"{section}: {err}")
        found[section.split()[0].strip("[]")] = match.group(1).split(", ")
    return found


def words(p):
    """Commands, and options with a '=' at the end of those that take a value."""
    code, out, err = p.run(p.headroom, "--completion-words")
    expect(code == 0 and not err, f"exit {code}: {err}")
    first = [line.split("\t")[0] for line in out.splitlines()]
    return [w for w in first if not w.startswith("-")], [w for w in first if w.startswith("--")]


def everything_is_installed(p):
    files = installed(p)
    for name in ("sbin/headroomd", "bin/headroom", "lib/systemd/system/headroomd.service",
                 "lib/systemd/system/headroom-undo.service", "lib/systemd/system/headroom.slice",
                 "lib/sysusers.d/headroom.conf", "share/doc/headroom/headroom.conf", "include/headroom.h",
                 "share/doc/headroom/examples/cache.c", "share/doc/headroom/examples/cache.py",
                 "share/doc/headroom/examples/sd_event.c",
                 "share/bash-completion/completions/headroom", "share/zsh/site-functions/_headroom"):
        expect(name in files, f"{name} is missing: {sorted(files)}")
    if shutil.which("scdoc"):
        for page in ("man1/headroom.1", "man3/libheadroom.3", "man5/headroom.conf.5", "man8/headroomd.8"):
            expect("share/man/" + page in files, f"{page} is missing: {sorted(files)}")
    # Below the directories of this system's: lib/x86_64-linux-gnu, lib/python3/dist-packages.
    for pattern in (r"lib(/[^/]+)?/libheadroom\.so", r"lib(/[^/]+)?/libheadroom\.so\.0",
                    r"lib(/[^/]+)?/pkgconfig/libheadroom\.pc", r"lib/python3[^/]*/(site|dist)-packages/headroom/__init__\.py",
                    r"lib/python3[^/]*/(site|dist)-packages/headroom/py\.typed"):
        expect(any(re.fullmatch(pattern, name) for name in files), f"{pattern} is missing: {sorted(files)}")
    expect(not any(name.endswith(".a") for name in files), "the layers are nobody's libraries")
    for name, path in files.items():
        with open(path, "rb") as f:
            left = re.search(rb"@[a-z_]+@", f.read()) if "systemd" in name else None
        expect(not left, f"{name}: {left and left.group(0)} is not replaced")


def units(p):
    if not shutil.which("systemd-analyze"):
        return "there is no systemd-analyze"
    stage = tempfile.mkdtemp(dir=p.base)
    paths = []
    for name, path in installed(p).items():
        if name.startswith("lib/systemd/system/"):
            paths.append(os.path.join(stage, os.path.basename(name)))
            with open(path, encoding="utf-8") as f:
                text = f.read()
            # The programs are not there yet, nor the pages.
            text = re.sub(r"(?m)^(Exec\w+)=\S+", r"\1=/bin/true", re.sub(r"(?m)^Documentation=.*\n", "", text))
            with open(paths[-1], "w", encoding="utf-8") as f:
                f.write(BACKOFF.sub(r"#\1=", text))
    for unit in sorted(path for path in paths if path.endswith(".service")):
        code, out, err = p.run("systemd-analyze", "verify", "--recursive-errors=no", unit)
        expect(code == 0 and os.path.basename(stage) not in out + err, f"verify: exit {code}: {out}{err}")
        _, out, err = p.run("systemd-analyze", "security", "--no-pager", "--offline=true", unit)
        match = re.search(r"exposure level for \S+: ([0-9.]+)", out)
        expect(match, f"security: {out}{err}")
        expect(float(match.group(1)) <= EXPOSURE_MAX, f"{unit}: exposure {match.group(1)}")
    return None


def page_of_the_configuration(p):
    """Each key has its entry, below its section's heading, and no entry is of a key that there is not."""
    page = read("man", "headroom.conf.5.scd")
    parts = {m.group(1).split()[0]: m.group(2) for m in re.finditer(r"(?ms)^# \[(.*?)\]\n(.*?)(?=^# )", page)}
    for section, names in keys(p).items():
        expect(section in parts, f"no heading for [{section}]")
        documented = re.findall(r"(?m)^\*(\w+)=\*", parts[section])
        expect(sorted(documented) == sorted(names), f"[{section}]: {sorted(set(documented) ^ set(names))}")
        for entry in re.split(r"(?m)^(?=\*\w+=\*)", parts[section])[1:]:
            expect("Default: " in entry or section == "Level" or "Must be given" in entry, f"no default: {entry[:60]}")


def pages_of_the_programs(p):
    commands, options = words(p)
    page = read("man", "headroom.1.scd")
    for word in commands + [option.rstrip("=") for option in options]:
        expect(re.search(r"(?m)^\*%s\*|^\S.*, \*%s\*" % (word, word), page), f"headroom(1) has no entry for {word}")
    _, out, _ = p.run(p.headroomd, "--help")
    for option in re.findall(r"--[a-z-]+", out):
        expect(f"*{option}*" in read("man", "headroomd.8.scd"), f"headroomd(8) does not know {option}")


def example(p):
    """It is good as it stands and with every line of it in force, and names every key that does something."""
    text = read("data", "headroom.conf")
    in_force = re.sub(r"(?m)^#(?=\[|\w+=)", "", text)
    for what, content in (("as it is", text), ("in force", in_force.replace("HostLimit=auto", "HostLimit=ray"))):
        code, _, err = p.run(p.headroomd, "--check-config", "--config", p.config(content))
        expect(code == 0 and "warning" not in err, f"{what}: exit {code}: {err}")
    present = set(re.findall(r"(?m)^(\w+)=", in_force))
    for section, names in keys(p).items():
        for name in names:
            entry = re.search(r"(?m)^\*%s=\*(.*)$" % name, read("man", "headroom.conf.5.scd"))
            expect(name in present or "_(later)_" in entry.group(1), f"[{section}] {name}= is not in the example")


def completed(p, *line):
    """What bash offers for the last word."""
    script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _headroom 2>/dev/null; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    r = subprocess.run(["bash", "-c", script, "bash", os.path.join(REPOSITORY, "data/completion/headroom.bash"), p.headroom,
                        *line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
    expect(r.returncode == 0 and not r.stderr, f"exit {r.returncode}: {r.stderr}")
    return sorted(r.stdout.split())


def completion(p):
    commands, options = words(p)
    bare = sorted(option.rstrip("=") for option in options)
    _, usage, _ = p.run(p.headroom, "--help")
    listed = re.findall(r"(?m)^  ([a-z]+) ", usage)
    expect(sorted(listed) == sorted(commands), f"--help has {listed}, the words are {commands}")
    expect(set(re.findall(r"--[a-z]+", usage)) >= set(bare), f"--help: {usage}")
    expect(completed(p, "") == sorted(commands), f"commands: {completed(p, '')}")
    expect(completed(p, "--json", "--socket", "x", "") == sorted(commands), "a command behind options")
    expect(completed(p, "--") == bare, f"options: {completed(p, '--')}")
    expect(completed(p, "events", "--f") == ["--follow"], f"of a command: {completed(p, 'events', '--f')}")
    expect(completed(p, commands[0][:3]) == [c for c in sorted(commands) if c.startswith(commands[0][:3])], "a part")
    expect(completed(p, "status", "") == [], f"status takes nothing: {completed(p, 'status', '')}")
    expect(completed(p, "--config", __file__[:-3]) == [__file__], "a file")
    for option in options:
        code, _, err = p.run(p.headroom, option.rstrip("="), *(["x"] if option.endswith("=") else []), "no-such-command")
        expect(code in (0, 2) and "unrecognized" not in err, f"{option}: {err}")


TESTS = [everything_is_installed, units, page_of_the_configuration, pages_of_the_programs, example, completion]
