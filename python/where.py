"""Prints where modules are installed below a prefix, so that Python finds them there: python3 where.py PREFIX

Debian's Python looks at other places for what is Debian's (/usr) and what is the administrator's (/usr/local); meson before 1.1 knows
only the former.
"""
import sys
import sysconfig

prefix = sys.argv[1]
schemes = sysconfig.get_scheme_names()
scheme = {"/usr": "deb_system", "/usr/local": "posix_local"}.get(prefix)
if scheme in schemes:
    print(sysconfig.get_path("purelib", scheme))
else:
    print(sysconfig.get_path("purelib", "posix_prefix", vars={"base": prefix}))
