#!/usr/bin/env bash
# Makes the fixtures that depend on the embedded model again, from the file in www/models. Needs requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
"${PYTHON:-python3}" tools/train/llama_logits.py "$@"
