# shellcheck shell=bash
# Source this file (bash or zsh), from any folder: . scripts/setup_env.sh
# It puts the checkout's .venv/bin first on PATH, once, and sets PYTHONPATH=<checkout>/src.
if [ -n "${ZSH_VERSION:-}" ]; then
    # zsh's name for "this file"; in eval, because bash cannot parse it
    eval '_paperbot_file=${(%):-%x}'
else
    _paperbot_file=${BASH_SOURCE[0]}
fi
_paperbot_root=$(CDPATH='' cd -- "$(dirname -- "$_paperbot_file")/.." >/dev/null && pwd -P)
case ":$PATH:" in
    *":$_paperbot_root/.venv/bin:"*) ;;
    *) export PATH="$_paperbot_root/.venv/bin:$PATH" ;;
esac
export PYTHONPATH="$_paperbot_root/src"
[ -x "$_paperbot_root/.venv/bin/python" ] || echo "setup_env.sh: no .venv yet: run 'make venv' or 'poetry install --with dev'" >&2
unset _paperbot_file _paperbot_root
