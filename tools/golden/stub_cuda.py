#!/usr/bin/env python3
"""Lets PyPI's CUDA build of torch import on a machine without CUDA.

PyPI has no CPU-only torch for x86-64, and the CUDA libraries that the default build links are
several gigabytes. Only the CPU half is used here, so each absent library is replaced by an empty
shared object of the same name, and one of them defines every symbol that nothing else defines: a
function that aborts when it is called, which on the CPU path never happens.

Usage: python stub_cuda.py   (inside the virtual environment; needs gcc, nm and objdump)
"""
import os
import subprocess
import sys
import sysconfig
import tempfile

SITE = sysconfig.get_paths()["purelib"]
TORCH = os.path.join(SITE, "torch", "lib")
CUDA = os.path.join(SITE, "nvidia", "cu13", "lib")
LOADED = ["libtorch_cuda.so", "libtorch_nvshmem.so", "libtorch_python.so", "libtorch_cpu.so",
          "libc10_cuda.so", "libc10.so", "libshm.so", "libtorch.so"]


def lines(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def symbols(path, undefined):
    flag = "--undefined-only" if undefined else "--defined-only"
    out = set()
    for line in lines("nm", "-D", flag, path):
        words = line.split()
        if undefined and words[0] in ("w", "v"):
            continue  # weak: may stay absent
        out.add(words[-1].split("@")[0])
    return out


def system_library(name):
    for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            return path
    return None


def main():
    os.makedirs(CUDA, exist_ok=True)
    needed, wanted, present = set(), set(), set()
    for name in LOADED:
        path = os.path.join(TORCH, name)
        needed |= {l.split()[1] for l in lines("objdump", "-p", path) if " NEEDED " in l}
        wanted |= symbols(path, undefined=True)
        present |= symbols(path, undefined=False)
    absent = []
    for name in sorted(needed):
        here = os.path.join(CUDA, name)
        path = next((p for p in (os.path.join(TORCH, name), here) if os.path.exists(p)
                     and not os.path.exists(here + ".is_stub")), system_library(name))
        if path is None:
            absent.append(name)
        else:
            present |= symbols(path, undefined=False)
    missing = sorted(wanted - present - {"_PyObject_New"} - python_symbols())
    if not absent:
        print("nothing to stub")
        return
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "stub.c")
        for i, name in enumerate(absent):
            with open(source, "w") as f:
                f.write("void abort(void);\n")
                for symbol in (missing if i == 0 else []):
                    f.write(f"void {symbol}(void) {{ abort(); }}\n")
            out = os.path.join(CUDA, name)
            subprocess.run(["gcc", "-w", "-fno-builtin", "-shared", "-fPIC", "-O1",
                            f"-Wl,-soname,{name}", "-o", out, source], check=True)
            open(out + ".is_stub", "w").close()
    print(f"stubbed {len(absent)} libraries, {len(missing)} symbols")


def python_symbols():
    """What the interpreter itself gives to an extension module."""
    out = set()
    for path in {os.path.realpath(sys.executable),
                 os.path.join(sysconfig.get_config_var("LIBDIR") or "",
                              sysconfig.get_config_var("LDLIBRARY") or "")}:
        if os.path.isfile(path) and not path.endswith(".a"):
            out |= symbols(path, undefined=False)
    return out


if __name__ == "__main__":
    main()
