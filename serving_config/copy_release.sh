#!/bin/sh
# Copy one release to where servers read their models, each model appearing whole or not at all:
#
#     serving_config/copy_release.sh saved_models VERSION /mnt/models
#
# A server polls the target every second and loads a version folder as soon as it sees one, so each is written under a
# name that is no number and then renamed. `rerank` goes first and `search` last, as `tandem run` publishes them:
# whoever sees the new `search` finds everything it may be combined with. The manifest goes before all of them.
# Models that are complete already are kept, so a copy that was cut off is repeated. A release of which a model is
# missing, since it is still being published or was withdrawn, is not copied at all: exit code 1.
set -eu

if [ "$#" -ne 3 ]; then
  echo "usage: $0 FROM VERSION TO" >&2
  exit 2
fi
from=$1 version=$2 to=$3
if [ ! -d "$from/releases/$version" ]; then
  echo "$from/releases/$version is not there; give the folder that tandem released to, and one of its versions" >&2
  exit 1
fi

models="rerank product_tower query_tower retrieval_exact retrieval search_exact search"
missing=
for model in $models; do
  [ -d "$from/$model/$version" ] || missing="$missing $model"
done
if [ -n "$missing" ]; then
  echo "version $version in $from lacks$missing: it is still being published, or was withdrawn; nothing is copied" >&2
  exit 1
fi

for model in releases $models; do
  if [ ! -d "$to/$model/$version" ]; then
    mkdir -p "$to/$model"
    rm -rf "$to/$model/.incoming.$version"
    cp -R "$from/$model/$version" "$to/$model/.incoming.$version"
    sync
    mv "$to/$model/.incoming.$version" "$to/$model/$version"
    echo "$to/$model/$version"
  fi
done
