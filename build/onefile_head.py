#!/usr/bin/env python3
# -*- coding: utf-8 -*-
"""AIRelays @VERSION@, the one-file edition.

    python3 airelays.py serve --demo
    python3 airelays.py --help

Needs Python 3.11 or newer and nothing else. Below this head stand, each verbatim in a literal of its own,
the modules of AIRelays, its documentation, h11 @H11@ and certifi @CERTIFI@ with the certificate authorities, and
their licences. In a checkout of AIRelays `python3 build/onefile.py --unpack DIR --file airelays.py` puts
them back into a folder. Digest of all of them: sha256 @DIGEST@
"""

import sys

if sys.version_info < (3, 11):
    sys.stderr.write(
        "airelays: AIRelays requires Python 3.11 or newer, and this is Python %d.%d. Run it with a newer "
        "version.\n" % sys.version_info[:2]
    )
    sys.exit(1)

FILES = {}


class Carried(object):
    """Finds and loads the modules that this file carries, before any other of these names.

    Code is compiled when its module is first imported. Its line numbers are those of this file, so that a
    traceback points at the line that can be read here. Compiled code is kept for the next start in the user's
    own cache folder, if that is private; `python3 -B` neither reads nor writes it.
    """

    def __init__(self, path):
        # Read from standard input there is no file to point at: then lines count from the module's first.
        self.path = path
        self.place = path or "airelays.py"
        self.kept = {}
        self.fresh = {}
        self.cache = None

    def find_spec(self, name, path=None, target=None):
        base = name.replace(".", "/")
        for found in (base + "/__init__.py", base + ".py"):
            if found in FILES:
                spec = type(sys.__spec__)(name, self, origin=self.place + "/" + found)
                if found.endswith("/__init__.py"):
                    spec.submodule_search_locations = [self.place + "/" + base]
                spec.has_location = True
                return spec
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.get_code(module.__name__), module.__dict__)

    def name_of(self, fullname):
        base = fullname.replace(".", "/")
        found = base + "/__init__.py"
        return found if found in FILES else base + ".py"

    def is_package(self, fullname):
        return self.name_of(fullname).endswith("/__init__.py")

    def get_filename(self, fullname):
        return self.place + "/" + self.name_of(fullname)

    def get_source(self, fullname):
        try:
            return FILES[self.name_of(fullname)][1]
        except KeyError:
            raise ImportError("this file does not carry " + fullname)

    def get_data(self, path):
        start = self.place + "/"
        name = path.replace("\\", "/")[len(start) :]
        if not path.replace("\\", "/").startswith(start.replace("\\", "/")) or name not in FILES:
            raise OSError(2, "this file does not carry it", path)
        return FILES[name][1].encode("utf-8")

    def names(self):
        """For `airelays version --digests`: everything that this file carries."""
        return sorted(FILES)

    def get_code(self, fullname):
        name = self.name_of(fullname)
        first, source = FILES[name]
        code = self.code_kept(name, source)
        if code is None:
            if self.path is None:
                return compile(source, self.place + "/" + name, "exec", 0, True)
            code = shifted(compile(source, self.path, "exec", 0, True), first - 1)
            self.fresh[name] = code
        return code

    # ---- the cache: one file of the user, made and read only where nobody else can write

    def open_cache(self):
        """Read what an earlier start has kept, if that can be trusted."""
        if self.path is None or sys.dont_write_bytecode or "--version" in sys.argv[1:2]:
            return
        try:
            self.cache = cache_file(self.path)
            if self.cache is not None:
                self.kept = read_cache(self.cache)
        except (OSError, ValueError, EOFError, TypeError, KeyError, AttributeError):
            self.kept = {}

    def code_kept(self, name, source):
        import marshal

        entry = self.kept.get(name)
        if entry is None or entry[0] != source_hash(source):
            return None
        return marshal.loads(entry[1])

    def keep(self):
        """Write what was compiled, with what is still good of the earlier start. Never fails."""
        if not self.fresh or self.cache is None:
            return
        import marshal

        fresh, self.fresh = self.fresh, {}
        entries = {n: e for n, e in self.kept.items() if n in FILES}
        for name, code in fresh.items():
            entries[name] = (source_hash(FILES[name][1]), marshal.dumps(code))
        try:
            write_cache(self.cache, entries)
            self.kept = entries
        except OSError:
            pass


def shifted(code, lines):
    """Return code that believes to stand so many lines further down."""
    if not lines:
        return code
    inner = tuple(shifted(c, lines) if type(c) is type(code) else c for c in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=inner)


def source_hash(source):
    """Return what Python's own checked byte code is compared with (PEP 552)."""
    import _imp

    return _imp.source_hash(0x41495231, source.encode("utf-8"))


def cache_file(path):
    """Return the path of the cache; None where there is no private place for one."""
    import os

    home = os.environ.get("HOME", "")
    if os.name != "posix" or not os.path.isabs(home) or os.stat(home).st_uid != os.geteuid():
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(home, "Library/Caches" if sys.platform == "darwin" else ".cache")
    folder = os.path.join(base, "airelays")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.mkdir(base, 0o700)
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if found.st_mode & 0o170077 != 0o040000 or found.st_uid != os.geteuid():
        return None
    tag = "%s-%d-%s" % (sys.implementation.cache_tag, sys.flags.optimize, source_hash(path).hex())
    return os.path.join(folder, tag + ".code")


def read_cache(path):
    import marshal
    import os

    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(fd)
        if found.st_mode & 0o170077 != 0o100000 or found.st_uid != os.geteuid():
            raise OSError("not private")
        data = b""
        while len(data) < found.st_size:
            part = os.read(fd, found.st_size)
            if not part:
                break
            data += part
    finally:
        os.close(fd)
    mark = mark_of_code()
    if data[: len(mark)] != mark or data[-8:] != source_hash_of(data[:-8]):
        raise ValueError("of another Python, or cut")
    return marshal.loads(data[len(mark) : -8])


def write_cache(path, entries):
    import marshal
    import os

    data = mark_of_code() + marshal.dumps(entries)
    part = "%s.%d.part" % (path, os.getpid())
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data + source_hash_of(data))
        os.replace(part, path)
    except OSError:
        os.unlink(part)
        raise


def mark_of_code():
    from _frozen_importlib_external import MAGIC_NUMBER

    return b"airelays code 1 " + MAGIC_NUMBER + sys.version.encode("utf-8") + b"\n"


def source_hash_of(data):
    import _imp

    return _imp.source_hash(0x41495231, data)


def say_version():
    """Print the version and end, past the modules and past taking apart what was read: 5 ms of 30."""
    import os

    try:
        sys.stdout.write("airelays @VERSION@\n")
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        return  # the program itself says what is wrong with its output
    os._exit(0)


def main():
    if sys.argv[1:] in (["--version"], ["-V"]):
        say_version()
    path = globals().get("__file__")
    if path is None or path.startswith("<"):
        path = None
    if not sys.flags.safe_path and sys.path:
        del sys.path[0]
    # Whatever a .pth file of this Python has imported under these names is not what this file carries.
    for name in [n for n in sys.modules if n.split(".")[0] in ("airelays", "certifi", "h11")]:
        del sys.modules[name]
    carried = Carried(path)
    carried.open_cache()
    sys.meta_path.insert(0, carried)
    if carried.cache is not None:
        import atexit

        atexit.register(carried.keep)
    from airelays.cli import main as run

    return run()
