#!/bin/sh
# Makes the passwords of the three database users once, each in files that only its readers mount:
#   database/<user>  for the database server, which makes its users from them at its first start
#   <user>/pass      for that user's clients, in the form that libpq reads
set -eu
umask 077
cd "${HUB_HOME:-/var/lib/hub}/secrets"
for user in postgres hub airflow; do
  [ -s "database/$user" ] && continue
  od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n' >"database/.$user"
  chmod 0440 "database/.$user" # its group is the server's
  mv "database/.$user" "database/$user"
done
for user in hub airflow; do
  printf 'database:5432:%s:%s:%s\n' "$user" "$user" "$(cat "database/$user")" >"$user/.pass"
  mv "$user/.pass" "$user/pass"
done
