#!/bin/sh
# Make a private CA, a server and a client certificate, and the ssl.config that a server reads them from:
#
#     serving_config/make_certificates.sh FOLDER HOST [HOST...]
#
# HOST is every name or address that clients dial: the service's DNS name, `localhost` for a health check inside of the
# container. Does not overwrite a folder: a CA made anew would lock out every client that trusts the old one.
set -eu

if [ "$#" -lt 2 ]; then
  echo "usage: $0 FOLDER HOST [HOST...]" >&2
  exit 2
fi
folder=$1
shift
if [ -e "$folder" ]; then
  echo "$folder exists; remove it, or name another folder" >&2
  exit 1
fi

names=
for host in "$@"; do
  case $host in
    *[!0-9.]*) names="$names,DNS:$host" ;;
    *) names="$names,IP:$host" ;;
  esac
done
names=${names#,}

# Private keys: nobody else reads what follows.
umask 077
mkdir -p "$folder"
cd "$folder"

# P-256: as strong as RSA 3072, and its handshake costs a server a fraction of it.
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

# Ten years: replacing a CA means touching every client.
key ca
openssl req -x509 -new -key ca.key -subj "/CN=Tandem serving CA" -days 3650 -out ca.crt \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"

# 397 days: the longest that public CAs may give, so that renewal is practised once a year.
issue() {
  key "$1"
  openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
  printf '%s\n' "basicConstraints=CA:FALSE" "keyUsage=digitalSignature" "extendedKeyUsage=$2" "subjectAltName=$3" \
    > "$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 397 -extfile "$1.ext" -out "$1.crt" \
    2>/dev/null
  rm "$1.csr" "$1.ext"
}
issue server serverAuth "$names"
issue client clientAuth "DNS:client"

quoted() { sed 's/.*/  "&\\n"/' "$1"; }
{
  echo "server_key:"; quoted server.key
  echo "server_cert:"; quoted server.crt
  echo "custom_ca:"; quoted ca.crt
  echo "client_verify: true"
} > ssl.config

echo "wrote $folder: ssl.config for the server; ca.crt, client.crt and client.key for its clients."
echo "Take ca.key off this machine: whoever holds it makes clients that the server trusts."
