"""llama.cpp's own server, built for this machine's processor, once.

Its source is in the package `llama-cpp-python`, at a fixed version and hash; the package itself is not
installed. Built for another processor it would be slower than it is, and the comparison unfair: so it is
compiled here (`GGML_NATIVE`), which takes some minutes, a C++ compiler, and cmake and ninja, which come
from packages too. LLAMA_SERVER=/path/to/llama-server names one that is there.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
FLAGS = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_OPENSSL=OFF",
         "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF", "-DLLAMA_BUILD_UI=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gpt-r1" / f"llama.cpp-{VERSION}"


def server():
    """The path of a llama-server; built if it is not there."""
    if named := os.environ.get("LLAMA_SERVER"):
        return named
    built = CACHE / "llama-server"
    if not built.exists():
        build(built)
    return str(built)


def build(to):
    work = CACHE / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"building llama.cpp of llama-cpp-python {VERSION} in {work} (once)", file=sys.stderr)
    run(sys.executable, "-m", "venv", work / "venv")
    tools = work / "venv" / "bin"
    run(tools / "pip", "install", "--quiet", "cmake", "ninja")
    run(tools / "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", work,
        f"llama-cpp-python=={VERSION}")
    source = next(work.glob("llama_cpp_python-*.tar.gz"))
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{source.name} has the hash {found}, not {SHA256}")
    with tarfile.open(source) as archive:
        archive.extractall(work, filter="data")
    tree = next(work.glob("llama_cpp_python-*/vendor/llama.cpp"))
    run(tools / "cmake", "-S", tree, "-B", work / "build", "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}", *FLAGS)
    run(tools / "ninja", "-C", work / "build", "llama-server")
    (work / "build" / "bin" / "llama-server").rename(to)
    shutil.rmtree(work)


def run(*command):
    # What they say is no part of the table on standard output.
    subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)
