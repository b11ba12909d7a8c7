#!/bin/sh
# In sudo's place: the rest of the line, as whoever calls it.
while :; do
  case "$1" in
    -u) shift 2 ;;
    *=*) export "${1?}" && shift ;;
    *) break ;;
  esac
done
exec "$@"
