#!/bin/sh
# Run once, by the image of PostgreSQL, over an empty catalogue: where SeaweedFS keeps names, and
# the role that web and worker log in as, which owns no table and cannot change the audit log.
set -eu
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set=password="$(cat /run/secrets/names_password)" \
    --set=service_password="$(cat /run/secrets/service_password)" <<'EOF'
create role names login password :'password';
create database names owner names;
revoke connect on database archive from public;
create role archive_service login password :'service_password';
grant connect on database archive to archive_service;
EOF
