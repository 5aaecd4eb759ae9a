#!/bin/sh
# Unpacks Python 2.7 of Debian's bullseye, the last suite that carries it, into the folder given, without installing it:
# no root, and nothing outside the folder changes. Later suites lack its libraries too, so they come along.
set -eu
target=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Component: main' | head -n 1)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$scratch/debs" "$scratch/root"
if [ -e "$keyring" ]; then signed="[signed-by=$keyring] "; else signed=; fi
echo "deb $signed$mirror bullseye main" > "$scratch/sources.list"
apt() {
  apt-get -qq -o "Dir::Etc::sourcelist=$scratch/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o Debug::NoLocking=1 \
    -o "APT::Sandbox::User=$(id -un)" "$@"
}
apt update
(cd "$scratch/debs" && apt download python2.7-minimal libpython2.7-minimal libpython2.7-stdlib libffi7 libssl1.1)
for package in "$scratch"/debs/*.deb; do dpkg-deb --extract "$package" "$scratch/root"; done
cat > "$scratch/root/python2.7" <<'WRAPPER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
libraries=$(dirname "$(find "$here/usr/lib" -name 'libssl.so.1.1')")
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/usr/bin/python2.7" "$@"
WRAPPER
chmod +x "$scratch/root/python2.7"
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$scratch/root" "$target"
