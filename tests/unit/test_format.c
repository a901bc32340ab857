/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The examples of doc/FORMAT, section 10, read from the text and compared with what the engine makes and understands. */
#include "common/log.h"
#include "fs/comp.h"
#include "fs/dir.h"
#include "fs/fs_private.h"
#include "fs/journal.h"

#include <check.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ITEMS_MAX 32

struct item {
	char name[24];
	uint8_t bytes[64];
	size_t len;
};

struct example {
	struct item items[ITEMS_MAX];
	size_t n;
};

static FILE *open_text(void)
{
	const char *top = getenv("srcdir"); /* set by make check */
	char path[512];

	snprintf(path, sizeof path, "%s/doc/FORMAT", top ? top : ".");
	FILE *f = fopen(path, "r");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	return f;
}

/* The example of that name. A line is a name and bytes in hex; only bytes: more of what is above. */
static void read_example(const char *name, struct example *ret)
{
	char line[256], head[64];
	bool inside = false, ended = false;
	FILE *f = open_text();

	memset(ret, 0, sizeof *ret);
	snprintf(head, sizeof head, "example %s\n", name);
	while (!ended && fgets(line, sizeof line, f)) {
		char a[128], b[128];
		if (!inside) {
			inside = !strcmp(line, head);
			continue;
		}
		ended = !strcmp(line, "end of example\n");
		if (ended)
			break;
		int n = sscanf(line, "%127s %127s", a, b);
		ck_assert_msg(n == 2 || (n == 1 && ret->n), "example %s: not understood: %s", name, line);
		if (n == 2) {
			ck_assert_uint_lt(ret->n, ITEMS_MAX);
			snprintf(ret->items[ret->n++].name, sizeof ret->items[0].name, "%.23s", a);
		}
		struct item *i = &ret->items[ret->n - 1];
		const char *hex = n == 2 ? b : a;
		size_t len = strlen(hex) / 2;
		ck_assert_uint_le(i->len + len, sizeof i->bytes);
		ck_assert_msg(!bytes_from_hex(hex, i->bytes + i->len, len), "example %s: not hex: %s", name, hex);
		i->len += len;
	}
	ck_assert_msg(ended, "doc/FORMAT has no whole example %s", name);
	fclose(f);
}

static const uint8_t *get(const struct example *e, const char *name, size_t len)
{
	for (size_t i = 0; i < e->n; i++)
		if (!strcmp(e->items[i].name, name)) {
			ck_assert_uint_eq(e->items[i].len, len);
			return e->items[i].bytes;
		}
	ck_abort_msg("the example has no %s", name);
	return NULL;
}

/* Bytes by their offsets; what is not said is zero. */
static void fill_at(const struct example *e, uint8_t *out, size_t len)
{
	memset(out, 0, len);
	for (size_t i = 0; i < e->n; i++) {
		size_t at = strtoul(e->items[i].name, NULL, 10);
		ck_assert_uint_le(at + e->items[i].len, len);
		memcpy(out + at, e->items[i].bytes, e->items[i].len);
	}
}

/* Where bytes differ first: a page is too long to be shown. */
static void same(const uint8_t *have, const uint8_t *want, size_t len)
{
	for (size_t i = 0; i < len; i++)
		ck_assert_msg(have[i] == want[i], "byte %zu is %02x, doc/FORMAT says %02x", i, have[i], want[i]);
}

static void set_up(void)
{
	ck_assert_int_eq(seal_init(), 0);
}

static void tear_down(void)
{
	seal_done();
	ck_assert_uint_eq(secret_live(), 0);
}

static void fill_plain(uint8_t *plain)
{
	for (unsigned i = 0; i < CL_PAGE; i++)
		plain[i] = (uint8_t)(i + i / 256);
}

/* Ciphertext of the page, made by the general sealing under the nonce and the associated data that the text gives. */
static void make_cipher(const struct example *e, uint8_t *cipher, uint8_t tag[static SEAL_TAG_LEN])
{
	uint8_t plain[CL_PAGE];

	fill_plain(plain);
	ck_assert_int_eq(seal_message(get(e, "key", 32), get(e, "nonce", 24), get(e, "aad", 40), 40, plain, CL_PAGE, cipher, tag), 0);
}

static uint64_t number(const struct example *e, const char *name)
{
	le64 v;
	memcpy(&v, get(e, name, 8), sizeof v);
	return le64_get(v);
}

START_TEST(test_page)
{
	struct example e;
	uint8_t plain[CL_PAGE], cipher[CL_PAGE], out[CL_PAGE], tag[SEAL_TAG_LEN], hash[32];
	struct seal_place place;
	struct seal_ref ref;
	struct seal_key key;
	le32 level;

	read_example("page", &e);
	fill_plain(plain);
	same(plain, get(&e, "plain-first", 16), 16);
	same(plain + CL_PAGE - 16, get(&e, "plain-last", 16), 16);
	make_cipher(&e, cipher, tag);
	same(cipher, get(&e, "cipher-first", 16), 16);
	same(cipher + CL_PAGE - 16, get(&e, "cipher-last", 16), 16);
	same(tag, get(&e, "tag", 16), 16);
	ck_assert_int_eq(EVP_Digest(cipher, CL_PAGE, hash, NULL, EVP_sha256(), NULL), 1);
	same(hash, get(&e, "cipher-sha256", 32), 32);

	/* The page must open by its ref and its place, and by no other. */
	memcpy(place.compartment, get(&e, "compartment", 16), 16);
	place.object = number(&e, "object");
	place.index = number(&e, "index");
	memcpy(&level, get(&e, "level", 4), sizeof level);
	place.level = le32_get(level);
	memcpy(&ref, get(&e, "ref", 32), sizeof ref);
	seal_key_init(&key, get(&e, "key", 32));
	ck_assert_int_eq(seal_open_page(&key, &place, &ref, cipher, out), 0);
	same(out, plain, CL_PAGE);
	place.index++;
	ck_assert_int_eq(seal_open_page(&key, &place, &ref, cipher, out), -EBADMSG);
	seal_key_wipe(&key);
}
END_TEST

START_TEST(test_inode)
{
	struct example e, page;
	uint8_t want[INODE_RECORD], out[INODE_RECORD];
	struct comp *c = calloc(1, sizeof *c);
	struct inode *i = calloc(1, sizeof *i);

	ck_assert_ptr_nonnull(c);
	ck_assert_ptr_nonnull(i);
	read_example("inode", &e);
	read_example("page", &page);
	fill_at(&e, want, sizeof want);
	i->comp = c;
	i->ino = 2;
	tree_init(&i->data, &c->io, NULL, &c->dirty_pages);
	tree_init(&i->xattr, &c->io, NULL, &c->dirty_pages);
	ck_assert_int_eq(inode_decode(i, want), 0);

	ck_assert_uint_eq(i->mode, S_IFREG | 0640);
	ck_assert_uint_eq(i->nlink, 1);
	ck_assert_uint_eq(i->uid, 1000);
	ck_assert_uint_eq(i->gid, 100);
	ck_assert_uint_eq(i->generation, 3);
	ck_assert_uint_eq(i->size, 16000);
	ck_assert_uint_eq(i->stored, 2);
	ck_assert_int_eq(i->atime.tv_sec, 1700000000);
	ck_assert_int_eq(i->atime.tv_nsec, 1);
	ck_assert_int_eq(i->mtime.tv_sec, 1700000001);
	ck_assert_int_eq(i->mtime.tv_nsec, 2);
	ck_assert_int_eq(i->ctime.tv_sec, 1700000002);
	ck_assert_int_eq(i->ctime.tv_nsec, 3);
	ck_assert_int_eq(i->btime.tv_sec, -1);
	ck_assert_int_eq(i->btime.tv_nsec, 999999999);
	ck_assert_uint_eq(i->data.object, 16);
	ck_assert_uint_eq(i->data.height, 1);
	ck_assert_mem_eq(i->data.key.key, get(&page, "key", 32), 32);
	ck_assert_mem_eq(&i->data.root, get(&page, "ref", 32), 32);
	ck_assert(!i->xattr_object);
	ck_assert_uint_eq(i->xattr_inline_len, 15);
	ck_assert_mem_eq(i->inline_area, "\6\0\3\0\0\0user.a\1\2\3", 15);

	inode_encode(i, &i->committed, out);
	same(out, want, sizeof out);
	tree_done(&i->data);
	free(i);
	free(c);
}
END_TEST

/* A store in a directory of its own below /tmp. */
static void new_dir(char *dir, struct store **ret)
{
	strcpy(dir, "/tmp/cloison-format-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(store_dir_open(dir, ret), 0);
}

static void remove_dir(const char *dir, struct store *s)
{
	char command[64];

	s->ops->free(s);
	snprintf(command, sizeof command, "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

struct entries {
	unsigned n;
	struct dir_entry e[2];
};

static int take_entry(void *arg, const struct dir_entry *e)
{
	struct entries *x = arg;

	ck_assert_uint_lt(x->n, CL_ARRAY_LEN(x->e));
	x->e[x->n++] = *e;
	return 0;
}

START_TEST(test_directory_understood)
{
	struct example e;
	struct entries x = { 0 };
	uint8_t page[CL_PAGE];

	read_example("directory", &e);
	fill_at(&e, page, sizeof page);
	ck_assert_int_eq(dir_check_page(page, 0, take_entry, &x), 0);
	ck_assert_uint_eq(x.n, 2);
	ck_assert_str_eq(x.e[0].name, "secret");
	ck_assert(x.e[0].is_gate);
	ck_assert_uint_eq(x.e[0].ino, 1);
	ck_assert_uint_eq(x.e[0].type, 4);
	for (unsigned i = 0; i < 16; i++)
		ck_assert_uint_eq(x.e[0].gate[i], 0x30 + i);
	ck_assert_str_eq(x.e[1].name, "readme");
	ck_assert(!x.e[1].is_gate);
	ck_assert_uint_eq(x.e[1].ino, 2);
	ck_assert_uint_eq(x.e[1].type, 8);
	page[2] = 3; /* live entries */
	ck_assert_int_eq(dir_check_page(page, 0, NULL, NULL), -EUCLEAN);
}
END_TEST

START_TEST(test_directory_made)
{
	const struct fs_config cfg = { .no_threads = true, .journal_pages = 64 };
	const struct fs_cred cred = { .umask = 022 };
	struct fs_compartment c[2] = { { .rank = 0 }, { .rank = 1, .dir = "secret" } };
	struct secret *keys[2];
	struct fault f = { 0 };
	struct example e;
	uint8_t want[CL_PAGE];
	struct store *store;
	struct fs_attr a;
	struct inode *root;
	struct node *n;
	struct fs *fs;
	char dir[32];

	read_example("directory", &e);
	fill_at(&e, want, sizeof want);
	new_dir(dir, &store);
	for (unsigned k = 0; k < 2; k++) {
		ck_assert_int_eq(secret_new_random(32, &keys[k]), 0);
		c[k].key = keys[k];
		for (unsigned i = 0; i < 16; i++)
			c[k].id[i] = (uint8_t)(0x10 + 0x20 * k + i);
	}
	ck_assert_msg(!fs_format(store, c, 2, 0, 0, &cfg, &f), "%s", f.text);
	ck_assert_msg(!fs_open(store, c, 1, &cfg, &fs, &f), "%s", f.text);
	ck_assert_int_eq(fs_make(fs, FS_ROOT, "readme", S_IFREG | 0644, NULL, &cred, &a), 0);
	fs_forget(fs, a.ino, 1);
	ck_assert_int_eq(inode_get(fs_own(fs), INODE_ROOT, &root), 0);
	ck_assert_int_eq(tree_node(&root->data, 0, 0, false, &n), 0);
	ck_assert_ptr_nonnull(n);
	same(n->page, want, CL_PAGE);
	tree_put(&root->data, n);
	inode_put(root);
	ck_assert_int_eq(fs_close(fs), 0);
	for (unsigned k = 0; k < 2; k++)
		secret_free(keys[k]);
	remove_dir(dir, store);
}
END_TEST

static void read_journal(struct store *s, uint64_t page, uint8_t out[static CL_PAGE])
{
	struct store_file *file;
	size_t got;

	ck_assert_int_eq(s->ops->open(s, "journal", STORE_RDONLY, &file), 0);
	ck_assert_int_eq(s->ops->pread(s, file, out, CL_PAGE, page * CL_PAGE, &got), 0);
	ck_assert_uint_eq(got, CL_PAGE);
	s->ops->close(s, file);
}

struct seen {
	const uint8_t *cipher;
	unsigned n;
};

static int see_record(void *arg, const struct journal_record *r)
{
	struct seen *x = arg;

	x->n++;
	ck_assert_uint_eq(r->seq, 1);
	ck_assert_uint_eq(r->n_blocks, 1);
	ck_assert_uint_eq(r->blocks[0].object, 16);
	ck_assert_uint_eq(r->blocks[0].page, 4);
	same(r->blocks[0].data, x->cipher, CL_PAGE);
	ck_assert_uint_eq(r->n_ops, 1);
	ck_assert_uint_eq(r->ops[0].code, JOURNAL_REMOVE);
	ck_assert_uint_eq(r->ops[0].object, 17);
	ck_assert_uint_eq(r->ops[0].a, 0);
	ck_assert_uint_eq(r->ops[0].b, 0);
	return 0;
}

START_TEST(test_journal)
{
	struct example header, record, page;
	uint8_t cipher[CL_PAGE] __attribute__((aligned(CL_PAGE))); /* for direct I/O */
	uint8_t want[CL_PAGE], have[CL_PAGE], tag[SEAL_TAG_LEN];
	const struct journal_op op = { .code = JOURNAL_REMOVE, .object = 17 };
	struct journal_block block = { .object = 16, .data = cipher };
	struct seen seen = { .cipher = cipher };
	struct journal *j;
	struct store *store;
	bool broken;
	char dir[32];

	read_example("page", &page);
	read_example("header", &header);
	read_example("record", &record);
	make_cipher(&page, cipher, tag);
	block.page = pageio_lower_leaf(number(&page, "index"));
	ck_assert_uint_eq(block.page, 4);
	const uint8_t *id = get(&page, "compartment", 16);

	new_dir(dir, &store);
	ck_assert_int_eq(journal_format(store, id, 64, 1), 0);
	fill_at(&header, want, sizeof want);
	for (unsigned copy = 0; copy < 2; copy++) {
		read_journal(store, copy, have);
		same(have, want, CL_PAGE);
		ck_assert_int_eq(journal_check_header(store, id, copy), 0);
	}
	ck_assert_int_eq(journal_open(store, id, false, &j), 0);
	ck_assert_int_eq(journal_scan(j, see_record, &seen, &broken), 0);
	ck_assert_uint_eq(seen.n, 0);
	ck_assert_int_eq(journal_append(j, 1, &block, 1, &op, 1), 0);
	journal_close(j);

	fill_at(&record, want, sizeof want);
	read_journal(store, 2, have);
	same(have, want, CL_PAGE);
	read_journal(store, 3, have);
	same(have, cipher, CL_PAGE);
	ck_assert_int_eq(journal_open(store, id, true, &j), 0);
	ck_assert_int_eq(journal_scan(j, see_record, &seen, &broken), 0);
	ck_assert_uint_eq(seen.n, 1);
	ck_assert(!broken);
	journal_close(j);
	remove_dir(dir, store);
}
END_TEST

/* Old valgrinds do not know openat2(2), and then there is no store; kernels that we run on do. */
static bool has_store(void)
{
	struct store *s = NULL, *sub = NULL;
	int err = store_dir_open("/", &s);

	if (!err)
		err = s->ops->sub(s, "tmp", &sub);
	if (sub)
		sub->ops->free(sub);
	if (s)
		s->ops->free(s);
	return err != -ENOSYS;
}

int main(void)
{
	Suite *s = suite_create("format");
	TCase *tc = tcase_create("format");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_page);
	tcase_add_test(tc, test_inode);
	tcase_add_test(tc, test_directory_understood);
	if (has_store()) {
		tcase_add_test(tc, test_directory_made);
		tcase_add_test(tc, test_journal);
	} else {
		puts("no openat2(2) here: left out are the tests that need a store");
	}
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
