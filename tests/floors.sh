#!/usr/bin/env bash
# The oldest versions that pyproject.toml allows, in a virtual environment of their own, and the quick tests
# with them. floors.sh [FOLDER], by default .venv-floors.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-.venv-floors}
[ -x "$folder/bin/python" ] || "${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" - > "$folder/floors.txt" <<'PYTHON'
import re
try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for text in [*project["dependencies"], *extras["train"], *extras["detection"], *extras["report"]]:
    name, floor = re.fullmatch(r"([\w.-]+(?:\[[\w,]+\])?)>=([\d.]+)(?:,<[\d.]+)?", text).groups()
    print(f"{name}=={floor}")
PYTHON
cat "$folder/floors.txt"
"$folder/bin/pip" install --quiet --disable-pip-version-check -r "$folder/floors.txt" \
  hypothesis "pytest>=8" jpeglib opencv-python-headless simplejpeg
"$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps .
OMP_NUM_THREADS=1 "$folder/bin/python" -m pytest -q -p no:cacheprovider \
  tests/test_package.py tests/test_runtime.py tests/spectrum tests/jpeg tests/inputs tests/data tests/training
