"""Writes every generated file from `protos/`: stubs for the server and the Python client, descriptor set, Go stubs.

Run it by `make generate`, which gives it an interpreter with grpcio-tools: stubs of grpcio-tools 1.80 run under
protobuf 6 and 7 alike, but cannot be installed beside the server's own protobuf.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
SERVER = Path("llmproxy_grpc/_gen")
CLIENT = Path("clients/python/llmproxy_client")
GO = Path("clients/go")
GENERATED = (
    SERVER,
    CLIENT / "v1",
    CLIENT / "admin",
    CLIENT / "protos",
    GO / "llmproxy" / "v1",
    GO / "llmproxy" / "admin",
)
VERSIONS = (Path("v1"), Path("admin/v1"))
"""Where the packages of `protos/llmproxy` lie: callers' API, and operators'."""
GO_MODULE = "github.com/llmproxy-grpc/llmproxy-grpc/clients/go"
GO_PLUGINS = ("google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
DESCRIPTORS = "llmproxy_v1.protoset"
RPC_DETAILS = ("google/rpc/status.proto", "google/rpc/error_details.proto")
PACKAGE_DOC = '"""Generated from protos/llmproxy by `make generate`; never edited."""\n'


def main() -> None:
    """Generates everything, or only what `--only python|go` names; with `--check` compares and writes nothing."""
    if sys.argv[1:] == ["--check"]:
        check()
        return
    only = sys.argv[2] if sys.argv[1:2] == ["--only"] else None
    if only != "go":
        generate_python(ROOT)
    if only != "python":
        generate_go(ROOT)


def check() -> None:
    """Generates into a folder of its own, and fails if a generated file differs, is missing or is left over."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate_python(fresh)
        generate_go(fresh)
        stale = sorted({str(path) for part in GENERATED for path in differing(fresh / part, ROOT / part)})
    if stale:
        raise SystemExit("Not up to date, run `make generate`:\n  " + "\n  ".join(stale))


def differing(fresh: Path, present: Path) -> set[Path]:
    """The files that are not the same in both folders, relative to the project."""
    names = {path.relative_to(folder) for folder in (fresh, present) for path in folder.rglob("*") if path.is_file()}
    kept = {name for name in names if "__pycache__" not in name.parts}
    return {present.relative_to(ROOT) / name for name in kept if content(fresh / name) != content(present / name)}


def content(path: Path) -> bytes | None:
    """A file's bytes, or None if there is no such file."""
    return path.read_bytes() if path.is_file() else None


def proto_files() -> list[str]:
    """The project's proto files, as protoc names them."""
    return sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("llmproxy/**/*.proto"))


def generate_python(root: Path) -> None:
    """Writes the stubs twice, for the server and for applications, with the protos and descriptors beside them."""
    sources = proto_files()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run_protoc(
            [
                f"--python_out={out}",
                f"--grpc_python_out={out}",
                f"--mypy_out=quiet:{out}",
                f"--mypy_grpc_out=quiet:{out}",
            ],
            sources,
        )
        descriptors = out / DESCRIPTORS
        run_protoc(["--include_imports", f"--descriptor_set_out={descriptors}"], [*sources, *RPC_DETAILS])
        for package, target in (("llmproxy_grpc._gen", SERVER), ("llmproxy_client", CLIENT)):
            for version in VERSIONS:
                write_package(out / "llmproxy" / version, root / target / version, package)
            shutil.copy(descriptors, root / target / DESCRIPTORS)
            (root / target / "admin" / "__init__.py").write_text(PACKAGE_DOC)
        (root / SERVER / "__init__.py").write_text(PACKAGE_DOC)
    copy_protos(root / CLIENT / "protos")


def generate_go(root: Path) -> None:
    """Writes the Go stubs with the plugins that clients/go/go.mod pins; `GO` names another go than the PATH's."""
    with tempfile.TemporaryDirectory() as folder:
        plugins = [build_go_plugin(tool, Path(folder)) for tool in GO_PLUGINS]
        out = Path(folder) / "out"
        out.mkdir()
        flags = [f"--{kind}_{flag}" for kind in ("go", "go-grpc") for flag in (f"out={out}", f"opt=module={GO_MODULE}")]
        run_protoc([*plugins, *flags], proto_files())
        # Only the packages that were generated are replaced: the hand-written one lies above them.
        for package in sorted({path.parent for path in out.rglob("*.go")}):
            target = root / GO / package.relative_to(out)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(package, target)


def build_go_plugin(tool: str, folder: Path) -> str:
    """Builds a plugin of protoc from its Go package, and answers the flag that makes protoc use it."""
    binary = folder / tool.rsplit("/", 1)[-1]
    # -mod=mod of the environment would let the build rewrite the pins.
    environment = {**os.environ, "GOFLAGS": "-mod=readonly -buildvcs=false"}
    command = [os.environ.get("GO", "go"), "build", "-trimpath", "-o", str(binary), tool]
    subprocess.run(command, cwd=ROOT / GO, env=environment, check=True)
    return f"--plugin={binary.name}={binary}"


def run_protoc(flags: list[str], sources: list[str]) -> None:
    """Runs protoc over the sources; ends the process with its status if it fails."""
    well_known = resources.files(grpc_tools) / "_proto"
    common = Path(sys.prefix) / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # The type plugins are found on the PATH: they lie beside this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    status = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", f"-I{common}", *flags, *sources])
    if status != 0:
        raise SystemExit(status)


def write_package(source: Path, target: Path, package: str) -> None:
    """Copies generated modules, with imports of `llmproxy` turned to `package` (protoc has no option for it)."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    (target / "__init__.py").write_text(PACKAGE_DOC)
    for path in sorted(source.glob("*_pb2*.py*")):
        if "_pb2_grpc" in path.name and "_service_pb2_grpc" not in path.name:
            continue  # empty: these files define no service
        text = re.sub(r"\bllmproxy\.((?:admin\.)?v1)\b(?=( import|\.\w+_pb2))", rf"{package}.\1", path.read_text())
        (target / path.name).write_text(text)


def copy_protos(target: Path) -> None:
    """Copies the proto files beside the client's stubs, so that its wheel ships them."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(PROTOS / "llmproxy", target / "llmproxy")


if __name__ == "__main__":
    main()
