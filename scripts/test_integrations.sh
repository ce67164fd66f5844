#!/usr/bin/env bash
# Tests that need a foreign package, each with that package alone beside the development environment's:
#     scripts/test_integrations.sh NAME...     (default: all)
# PYTHON is the development environment's interpreter. What is installed on top lies in build/integrations/NAME.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-.venv/bin/python}"

# A line for each: name, packages, what is run. With a ! the package is a program that bears no other packages beside it:
# it gets an environment that sees nothing else, and is found on the PATH.
INTEGRATIONS="
gymnasium  gymnasium     tests/envs/test_env_faces.py -k gymnasium
trl        trl           tests/envs/test_trl_training.py tests/policies/hf/test_grpo_training.py
openenv    openenv-core  tests/envs/test_env_faces.py -k openenv
verifiers  verifiers,uv  tests/envs/test_env_faces.py -k verifiers
inspect    inspect-ai    tests/envs/test_env_faces.py -k inspect
mcp        mcp           tests/server/test_mcp_server.py tests/server/test_mcp_inputs.py
cvat       cvat-sdk,cvat-cli  tests/annotation/interop/test_cvat_sdk.py tests/annotation/interop/test_other_programs.py tests/integrations/test_in_cvat_cli.py -k cvat
label-studio  !label-studio  tests/server/label_studio/test_studio_real.py
x-anylabeling x-anylabeling-cvhub  tests/integrations/test_in_xanylabeling.py
fiftyone      fiftyone,mongomock   tests/integrations/test_in_fiftyone.py
supervision   supervision   tests/examples/test_other_libraries.py -k supervision
datasets      datasets      tests/examples/test_other_libraries.py -k test_datasets
"

# NAME PACKAGES TEST... Its caller asks how it went, so it has to say itself where it ends.
run() {
    local home="build/integrations/$1" packages="${2//,/ }" python
    python="$home/bin/python"
    if [ ! -x "$home/bin/pip" ]; then
        "$PYTHON" -m venv "$home" || return
        # The development environment's packages are seen from there, and nothing is put among them.
        [[ "$packages" == !* ]] || "$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
            "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth" || return
    fi
    [[ "$packages" != !* ]] || python="$PYTHON"
    # shellcheck disable=SC2086
    "$home/bin/pip" install --quiet --disable-pip-version-check ${packages#!} || return
    PATH="$PWD/$home/bin:$PATH" PYTHONPATH=src "$python" -m pytest -rs "${@:3}" | tee "$home/log" || return
    # The package is there, so a test that is skipped has not been made for want of it.
    ! grep -q "^SKIPPED" "$home/log"
}

[ $# -gt 0 ] || set -- $(awk 'NF {print $1}' <<< "$INTEGRATIONS")
failed=""
for name in "$@"; do
    line="$(awk -v name="$name" '$1 == name' <<< "$INTEGRATIONS")"
    [ -n "$line" ] || { echo "unknown: $name; there are:" $(awk 'NF {print $1}' <<< "$INTEGRATIONS") >&2; exit 2; }
    echo "== $name"
    # shellcheck disable=SC2086
    (run $line) || failed="$failed $name"
done
[ -z "$failed" ] || { echo "failed or skipped:$failed" >&2; exit 1; }
