#!/bin/sh
# Run once, by the image of PostgreSQL, over an empty catalogue: where SeaweedFS keeps names.
set -eu
psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set=password="$(cat /run/secrets/names_password)" <<'EOF'
create role names login password :'password';
create database names owner names;
revoke connect on database archive from public;
EOF
