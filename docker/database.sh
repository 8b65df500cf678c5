#!/bin/sh
# Run by the database server at its first start: two users, each with a database that is its own alone.
set -eu
for HUB_NAME in hub airflow; do
  export HUB_NAME
  psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres --set=name="$HUB_NAME" <<'SQL'
\set password `cat "${HUB_PASSWORDS:-/run/hub}/$HUB_NAME"`
create role :"name" login password :'password';
create database :"name" owner :"name";
revoke all on database :"name" from public;
SQL
done
