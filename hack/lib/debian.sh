# shellcheck shell=bash
# A folder of Debian's own programs, as they are packaged, for an image of them: the clients and servers of others that
# tests need. Nothing is installed on this machine. Needs REPO, TOOLS and log.sh.

# What is in the image. dash, coreutils and sed are what commands in it are written with.
DEBIAN_PROGRAMS=(
  dash coreutils sed redis-server redis-tools postgresql bind9-dnsutils openssl curl bsdutils rsyslog haproxy
  prometheus
)
# Dependencies of these that nothing here comes to need: a compiler for queries, scripts that set up a Debian, web pages.
DEBIAN_LEFT_OUT='^(libllvm|libz3|perl|libperl|postgresql-common|postgresql-client-common|locales|libc-l10n|libc-bin|dpkg|tar|passwd|adduser|debconf|libjs-|fonts-|lib.*-perl$|.*-perl$|init-system-helpers|ucf|logrotate|cron|node-)'
# Of what is left, this is not read by any of the programs that are used; half of it all.
DEBIAN_UNREAD=(
  usr/share/{doc,man,locale,i18n,info,lintian,bash-completion,postgresql-common,zoneinfo} usr/share/postgresql/*/man
  usr/lib/postgresql/*/lib/bitcode usr/lib/*/gconv usr/bin/promtool var/lib/dpkg
)

# apt_alone FOLDER ARGUMENTS...: apt-get as if nothing was installed here, so that it names every dependency.
apt_alone() {
  local folder=$1
  shift
  apt-get -qq -o Dir::State::status="$folder/status" -o Debug::NoLocking=1 --no-install-recommends "$@"
}

# debian_packages FOLDER: the names of the packages that these programs are made of
debian_packages() {
  apt_alone "$1" --simulate install "${DEBIAN_PROGRAMS[@]}" | awk '$1 == "Inst" { print $2 }' |
    grep -vE "$DEBIAN_LEFT_OUT" | sort
}

# unpack_debian FOLDER: FOLDER/root becomes the programs and all they need, without Debian's scripts having run
unpack_debian() {
  local folder=$1 packages name archive
  command -v apt-get >/dev/null || die "Debian's programs are needed for these tests, and apt-get to get them"
  mkdir -p "$folder/archives" "$folder/root"
  : >"$folder/status"
  if ! packages=$(debian_packages "$folder" 2>"$folder/apt.log"); then
    # A machine that was just made may never have asked.
    apt-get update -qq >"$folder/apt.log" 2>&1 || true
    packages=$(debian_packages "$folder" 2>>"$folder/apt.log") ||
      fail_with_log "$folder/apt.log" "apt-get does not know the programs of these tests"
  fi
  say "getting programs of Debian for the tests (about 60 MB the first time) ..."
  # As root apt would fetch as a user of its own, which may not write here.
  # shellcheck disable=SC2086 # names have no spaces
  (cd "$folder/archives" && apt_alone "$folder" -o APT::Sandbox::User=root download $packages) \
    >"$folder/apt.log" 2>&1 || fail_with_log "$folder/apt.log" "apt-get could not download"
  # Packages still write to both /bin and /usr/bin; on a Debian the one is a link to the other.
  for name in bin sbin lib lib64; do
    mkdir -p "$folder/root/usr/$name"
    ln -s "usr/$name" "$folder/root/$name"
  done
  for archive in "$folder"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" | tar -x --keep-directory-symlink --no-same-owner -C "$folder/root"
  done
  # shellcheck disable=SC2086 # for the stars in it; no name has a space
  (cd "$folder/root" && rm -rf ../archives ${DEBIAN_UNREAD[*]})
  [[ -e $folder/root/bin/sh ]] || ln -s dash "$folder/root/bin/sh"
  mkdir -p -m 1777 "$folder/root/tmp"
  # PostgreSQL asks who it is.
  echo 'weft:x:65532:65532::/tmp:/bin/sh' >"$folder/root/etc/passwd"
  # Its programs are called by a wrapper of Debian's, in Perl; here by themselves.
  for name in "$folder"/root/usr/lib/postgresql/*/bin/*; do
    ln -sf "../lib/postgresql/${name#*/usr/lib/postgresql/}" "$folder/root/usr/bin/${name##*/}"
  done
}
