/* SPDX-License-Identifier: GPL-3.0-or-later */
/* POSIX ACLs as bytes of an extended attribute: check, inherit, agree with the mode. */
#include "fs/acl.h"

#include "common/bytes.h"

#include <assert.h>

enum { TAG_USER_OBJ = 1, TAG_USER = 2, TAG_GROUP_OBJ = 4, TAG_GROUP = 8, TAG_MASK = 16, TAG_OTHER = 32 };

#define ACL_VERSION 2u
#define ACL_NO_ID 0xffffffffu
#define RWX 7u

struct acl_header {
	le32 version;
};

struct acl_entry {
	le16 tag;
	le16 perm;
	le32 id; /* of TAG_USER and TAG_GROUP; else ACL_NO_ID */
};

static_assert(sizeof(struct acl_header) == 4 && sizeof(struct acl_entry) == 8, "layout of linux/posix_acl_xattr.h");

/* An ACL that was checked, with its entries that are there at most once; group and other are there always. */
struct view {
	struct acl_entry *entries;
	size_t n;
	struct acl_entry *user_obj, *group_obj, *mask, *other;
};

/*
 * Order: owner, named users, owning group, named groups, mask (which named entries need), others. The order of the
 * named entries among each other, and an id that is named twice, are nobody's business here, as in Linux.
 */
static int view_init(struct view *v, void *acl, size_t len)
{
	const struct acl_header *header = acl;
	if (len < sizeof(*header))
		return -EINVAL;
	if (le32_get(header->version) != ACL_VERSION)
		return -EOPNOTSUPP;
	if ((len - sizeof(*header)) % sizeof(struct acl_entry))
		return -EINVAL;

	*v = (struct view){ .entries = (void *)((uint8_t *)acl + sizeof(*header)),
			    .n = (len - sizeof(*header)) / sizeof(struct acl_entry) };
	bool named = false;
	for (size_t i = 0; i < v->n; i++) {
		struct acl_entry *e = &v->entries[i];
		if (le16_get(e->perm) & ~RWX || v->other)
			return -EINVAL;
		switch (le16_get(e->tag)) {
		case TAG_USER_OBJ:
			if (v->user_obj)
				return -EINVAL;
			v->user_obj = e;
			break;
		case TAG_USER:
			if (!v->user_obj || v->group_obj || le32_get(e->id) == ACL_NO_ID)
				return -EINVAL;
			named = true;
			break;
		case TAG_GROUP_OBJ:
			if (!v->user_obj || v->group_obj)
				return -EINVAL;
			v->group_obj = e;
			break;
		case TAG_GROUP:
			if (!v->group_obj || v->mask || le32_get(e->id) == ACL_NO_ID)
				return -EINVAL;
			named = true;
			break;
		case TAG_MASK:
			if (!v->group_obj || v->mask)
				return -EINVAL;
			v->mask = e;
			break;
		case TAG_OTHER:
			if (!v->group_obj || (named && !v->mask))
				return -EINVAL;
			v->other = e;
			break;
		default:
			return -EINVAL;
		}
	}
	return v->other ? 0 : -EINVAL;
}

/* What chmod and ls call the group's bits: the mask where there is one. */
static struct acl_entry *group_class(const struct view *v)
{
	return v->mask ? v->mask : v->group_obj;
}

static bool says_more_than_mode(const struct view *v)
{
	return v->n > 3;
}

static uint32_t perm_get(const struct acl_entry *e)
{
	return le16_get(e->perm);
}

static void perm_set(struct acl_entry *e, uint32_t perm)
{
	e->perm = le16_of((uint16_t)(perm & RWX));
}

static uint32_t mode_of(const struct view *v)
{
	return perm_get(v->user_obj) << 6 | perm_get(group_class(v)) << 3 | perm_get(v->other);
}

int acl_check_xattr(const void *acl, size_t len)
{
	struct view v;
	/* view_init only looks; the view lets the callers below write through it. */
	return view_init(&v, (void *)(uintptr_t)acl, len);
}

int acl_mode(const void *acl, size_t len, uint32_t *mode)
{
	struct view v;
	int r = view_init(&v, (void *)(uintptr_t)acl, len);
	if (r < 0)
		return r;
	*mode = (*mode & ~0777u) | mode_of(&v);
	return says_more_than_mode(&v);
}

int acl_inherit(void *acl, size_t len, uint32_t *mode)
{
	struct view v;
	int r = view_init(&v, acl, len);
	if (r < 0)
		return r;
	perm_set(v.user_obj, perm_get(v.user_obj) & *mode >> 6);
	perm_set(group_class(&v), perm_get(group_class(&v)) & *mode >> 3);
	perm_set(v.other, perm_get(v.other) & *mode);
	*mode = (*mode & ~0777u) | mode_of(&v);
	return says_more_than_mode(&v);
}

int acl_chmod(void *acl, size_t len, uint32_t mode)
{
	struct view v;
	int r = view_init(&v, acl, len);
	if (r < 0)
		return r;
	perm_set(v.user_obj, mode >> 6);
	perm_set(group_class(&v), mode >> 3);
	perm_set(v.other, mode);
	return 0;
}
