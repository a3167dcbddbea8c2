"""The package as a whole: its public names, and that importing it stays lean."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import freqvision

SOURCE = Path(freqvision.__file__).parent

# What code elsewhere relies on. A name goes, or comes, by changing this list.
PUBLIC = {
    "ChannelSet",
    "ChannelStatistics",
    "Coefficients",
    "Decoder",
    "FrequencySpec",
    "Header",
    "InputSpec",
    "JpegError",
    "PixelSpec",
    "PixelTransform",
    "Transport",
    "View",
    "create_detector",
    "create_model",
    "fit",
    "list_models",
    "load",
    "pack",
    "read_coefficients",
    "read_header",
    "save",
    "unpack",
}


def _modules_after(code: str) -> set[str]:
    output = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
    )
    return {name.split(".")[0] for name in output.stdout.split()}


def test_public_names_are_those_promised():
    assert set(freqvision.__all__) == PUBLIC
    for name in PUBLIC:
        assert getattr(freqvision, name) is not None


def test_packages_are_found_without_importing_them():
    """As the documentation writes them: fv.data.PhotoLoader."""
    code = "import freqvision as fv; print(fv.data.PhotoLoader.__name__, fv.models.default_spec.__name__)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "PhotoLoader default_spec\n"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Decodr'"):
        _ = freqvision.Decodr


def test_import_loads_no_heavy_library():
    heavy = {"torch", "torchvision", "lightning", "matplotlib", "timm", "jsonargparse", "onnx"}
    assert not heavy & _modules_after("import freqvision")


def test_help_loads_no_heavy_library():
    heavy = {"torch", "torchvision", "lightning", "matplotlib", "timm"}
    assert not heavy & _modules_after("from freqvision.cli.main import main; main(['--help'])")


def test_core_names_load_neither_lightning_nor_matplotlib_nor_cuda():
    code = (
        "import freqvision as fv; [getattr(fv, name) for name in fv.__all__]\n"
        "import torch; assert not torch.cuda.is_initialized()"
    )
    assert not {"lightning", "matplotlib", "jsonargparse", "timm"} & _modules_after(code)


def _imports(file: Path) -> set[str]:
    """First-level sub-packages of freqvision that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("freqvision.")}
    return found


LAYERS = ("jpeg", "spectrum", "inputs", "data", "models", "detection", "analysis", "training", "cli")
ALLOWED = {package: {*LAYERS[:place], "runtime", "parts", "_native"} for place, package in enumerate(LAYERS)}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_point_one_way(package):
    for file in (SOURCE / package).rglob("*.py"):
        wrong = _imports(file) - ALLOWED[package] - {package}
        assert not wrong, f"{file} imports freqvision.{', freqvision.'.join(sorted(wrong))}"


def _graph() -> dict[str, set[str]]:
    """Module → modules of freqvision that it imports anywhere, in functions and for type checking, too."""
    files = {_module(file): file for file in SOURCE.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, file in files.items():
        targets = set()
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                name = node.module or ""
                # `from package import module` is an import of the module, else of the package's own file.
                targets |= {
                    f"{name}.{alias.name}" if f"{name}.{alias.name}" in files else name
                    for alias in node.names
                }
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        graph[module] = {name for name in targets if name in files} - {module}
    del graph["freqvision"]  # the façade, whose names are looked up when they are used
    return graph


def _module(file: Path) -> str:
    parts = file.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_import_goes_round_in_a_circle():
    graph = _graph()
    assert len(graph) > 80  # that the files were found
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "a circle: " + " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in sorted(graph[module] & graph.keys()):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_every_public_name_of_a_package_exists(package):
    module = importlib.import_module(f"freqvision.{package}")
    for name in getattr(module, "__all__", []):
        assert getattr(module, name) is not None


def test_the_package_says_that_it_is_typed():
    assert (SOURCE / "py.typed").is_file()


def test_lightning_is_confined_to_training():
    for file in SOURCE.rglob("*.py"):
        if file.relative_to(SOURCE).parts[0] != "training":
            for node in ast.walk(ast.parse(file.read_text())):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                assert not any(name.split(".")[0] in ("lightning", "pytorch_lightning") for name in names), (
                    file
                )


def _imports_lightning(file: Path) -> bool:
    return bool(re.search(r"^\s*(from|import) lightning\b", file.read_text(), re.MULTILINE))


def test_training_is_exactly_what_imports_lightning():
    """What needs none is lower, where it can be used without Lightning."""
    graph = _graph()

    def needs_it(module: str) -> bool:
        file = SOURCE.parent / (module.replace(".", "/") + ".py")
        siblings = {name for name in graph[module] if name.startswith("freqvision.training.")}
        return _imports_lightning(file) or any(map(needs_it, siblings))

    files = [file for file in (SOURCE / "training").glob("*.py") if file.name != "__init__.py"]
    assert len(files) > 5
    assert [file.name for file in files if not needs_it(_module(file))] == []
    others = [file for file in SOURCE.rglob("*.py") if file.parent.name != "training"]
    assert [file.name for file in others if _imports_lightning(file)] == []


def test_no_two_test_files_have_one_name():
    """pytest imports them by name, so that a second one would not be collected."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted({name for name in names if names.count(name) > 1})
