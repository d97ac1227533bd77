#!/bin/sh
# Every C file is as .clang-format wants it. Skipped without clang-format 14 (other versions break some lines elsewhere) and outside of
# a git checkout.
set -eu
cd "$(dirname "$0")/../.."
case $(clang-format --version 2>/dev/null) in
*"version 14."*) ;;
*) echo "skipped: clang-format 14 is not here"; exit 77 ;;
esac
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "skipped: this is no git checkout"; exit 77; }
bent=$(git ls-files '*.c' '*.h' | xargs clang-format --dry-run 2>&1 | sed -n 's/^\([^:]*\):.*/\1/p' | sort -u)
[ -z "$bent" ] || { echo "not as .clang-format wants it (make format mends it): $bent"; exit 1; }
