#!/usr/bin/env bash
# Tests that need a foreign package, each with that package alone beside SegAgent, in an environment of its own:
#     scripts/test_integrations.sh NAME...     (default: all)
# Environments are kept in build/integrations. PYTHON names the interpreter that they are made by.
set -euo pipefail
cd "$(dirname "$0")/.."

# A line for each: name, what is installed, what is run.
INTEGRATIONS="
gymnasium  gymnasium            tests/envs/test_env_faces.py -k gymnasium
trl        trl                  tests/envs/test_trl_training.py tests/policies/hf/test_grpo_training.py
openenv    openenv-core         tests/envs/test_env_faces.py -k openenv
verifiers  verifiers,uv         tests/envs/test_env_faces.py -k verifiers
inspect    inspect-ai           tests/envs/test_env_faces.py -k inspect
"

names="$(awk 'NF {print $1}' <<< "$INTEGRATIONS")"
failed=""
for name in "${@:-$names}"; do
    for one in $name; do
        line="$(awk -v name="$one" '$1 == name' <<< "$INTEGRATIONS")"
        [ -n "$line" ] || { echo "unknown: $one; there are:" $names >&2; exit 2; }
        read -r _ packages tests <<< "$line"
        home="build/integrations/$one"
        [ -x "$home/bin/python" ] || "${PYTHON:-python3}" -m venv "$home"
        "$home/bin/pip" install --quiet --disable-pip-version-check -e ".[hf,openai,serve]" pytest hypothesis ${packages//,/ }
        # A test that is skipped here has not been made: the package is there for it.
        # shellcheck disable=SC2086
        if ! "$home/bin/python" -m pytest -rs $tests | tee "$home/log" || grep -q "^SKIPPED" "$home/log"; then
            failed="$failed $one"
        fi
    done
done
[ -z "$failed" ] || { echo "failed or skipped:$failed" >&2; exit 1; }
