#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# All file types, attributes, ACLs, odd names, sparse files, rename flags, links, large directories; the same again
# after a remount; a full volume's worth of it verified.
. "$(dirname "$0")/lib.sh"
need setfacl getfacl cp

make_volume
mount_it
step 'what programs may expect'
mkdir "$M/t"
"$PYTHON" "$top/tests/mount/basic.py" "$M/t"

step 'access control lists'
mkdir "$M/acl"
setfacl -m u:12:rwx,g:34:r-x,d:u:12:rw-,d:g::r-x,d:m::rwx "$M/acl"
(umask 077; echo x >"$M/acl/file"; mkdir "$M/acl/dir")
same 'inherited ACL of a file' $'user::rw-\nuser:12:rw-\ngroup::r-x\t#effective:r--\nmask::rw-\nother::r--' \
	"$(setfacl -m m::rw-,o::r-- "$M/acl/file"; getfacl -cnp "$M/acl/file" | sed '/^$/d')"
getfacl -cnp "$M/acl/dir" | grep >"$T/found" '^default:user:12:rw-$' || fail 'the default ACL was not inherited'
setfacl -b "$M/acl/dir"
same 'mode after the ACL is gone' 'user::rwx group::r-x other::r-x' \
	"$(getfacl -cnp "$M/acl/dir" | sed '/^$/d' | paste -sd' ')"
chmod 600 "$M/acl/file"
getfacl -cnp "$M/acl/file" | grep >"$T/found" '^mask::---$' || fail 'chmod does not set the mask'

step 'programs run from it; nosuid and nodev hold'
cp /bin/true "$M/true"
"$M/true"
grep -q "$M fuse.cloison .*nosuid,nodev" /proc/mounts || fail "options: $(grep "$M" /proc/mounts)"

step 'remount: everything is as it was'
print_tree "$M" >"$T/before"
[ "$(wc -l <"$T/before")" -gt 10000 ] || fail 'the print of the tree is too short'
remount_it
print_tree "$M" >"$T/after"
diff "$T/before" "$T/after" >"$T/diff" || fail "the trees differ: $(head -20 "$T/diff")"

step 'read-only'
remount_it "ro,$key"
refused 'Read-only file system' touch "$M/new"
refused 'Read-only file system' rm "$M/true"
print_tree "$M" | cmp - "$T/before"
remount_it

step 'space: all of it comes back'
rm -r "$M/t" "$M/acl" "$M/true"
unmount_it
same 'object files left' 0 "$(find "$V" -path '*/[0-9a-f][0-9a-f]/*' ! -name '*000[123]' ! -name '*.copy' -size +0 |
	wc -l)"
check_volume
