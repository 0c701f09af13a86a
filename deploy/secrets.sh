#!/bin/sh
# Makes every secret of docker-compose.yml, at random, in the folder named. Refuses to overwrite.
#
# The files are readable inside the containers, whatever user runs there; outside, the folder
# (mode 0700) keeps everybody else away from them.
set -eu

folder=${1:?usage: deploy/secrets.sh FOLDER}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
if [ -e database_url ]; then
    echo "$folder has secrets already" >&2
    exit 1
fi
umask 077

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

put() {
    cat >"$1.new"
    chmod 444 "$1.new"
    mv "$1.new" "$1"
}

database_password=$(random)
service_password=$(random)
names_password=$(random)
store_access_key=$(random | cut -c1-20)
store_secret_key=$(random)
signing_key=$(random)

printf '%s' "$database_password" | put database_password
printf '%s' "$service_password" | put service_password
printf '%s' "$names_password" | put names_password
printf '%s' "$store_access_key" | put store_access_key
printf '%s' "$store_secret_key" | put store_secret_key

put seaweedfs_s3 <<EOF
{"identities": [{"name": "archive",
  "credentials": [{"accessKey": "$store_access_key", "secretKey": "$store_secret_key"}],
  "actions": ["Admin", "Read", "List", "Tagging", "Write"]}]}
EOF

put seaweedfs_security <<EOF
[jwt.signing]
key = "$(random)"

[jwt.filer_signing]
key = "$signing_key"

[jwt.filer_signing.read]
key = "$signing_key"
EOF

# The names of objects in PostgreSQL, which syncs its log before it acknowledges.
put seaweedfs_filer <<EOF
[leveldb2]
enabled = false

[postgres2]
enabled = true
hostname = "postgres"
port = 5432
username = "names"
password = "$names_password"
database = "names"
schema = ""
sslmode = "disable"
connection_max_idle = 20
connection_max_open = 50
connection_max_lifetime_seconds = 300
createTable = """
  CREATE TABLE IF NOT EXISTS "%s" (
    dirhash   BIGINT,
    name      VARCHAR(65535),
    directory VARCHAR(65535),
    meta      bytea,
    PRIMARY KEY (dirhash, name)
  );
"""
enableUpsert = true
upsertQuery = """
  INSERT INTO "%[1]s" (dirhash, name, directory, meta) VALUES (\$1, \$2, \$3, \$4)
    ON CONFLICT (dirhash, name) DO UPDATE SET directory = EXCLUDED.directory, meta = EXCLUDED.meta
"""
EOF

printf 'postgresql://archive:%s@postgres:5432/archive' "$database_password" |
    put database_owner_url
# Last: with it, the folder counts as made.
printf 'postgresql://archive_service:%s@postgres:5432/archive' "$service_password" |
    put database_url
echo "made; put the certificate beside them as tls_certificate and tls_key"
