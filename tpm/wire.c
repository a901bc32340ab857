/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Packets between the program and its TPM helper: copying with checks, sending and receiving whole. */
#include "tpm/wire.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

bool tpm_wire_blob_fits(const struct tpm_blob *b)
{
	return b->srk_name_len <= sizeof(b->srk_name) && b->srk_public_len <= sizeof(b->srk_public) &&
	       b->public_len <= sizeof(b->public_area) && b->private_len <= sizeof(b->private_area);
}

void tpm_wire_put_blob(struct tpm_wire_blob *out, const struct tpm_blob *in)
{
	memset(out, 0, sizeof(*out));
	out->len[0] = le16_of(in->srk_name_len);
	out->len[1] = le16_of(in->srk_public_len);
	out->len[2] = le16_of(in->public_len);
	out->len[3] = le16_of(in->private_len);
	memcpy(out->srk_name, in->srk_name, sizeof(out->srk_name));
	memcpy(out->srk_public, in->srk_public, sizeof(out->srk_public));
	memcpy(out->public_area, in->public_area, sizeof(out->public_area));
	memcpy(out->private_area, in->private_area, sizeof(out->private_area));
}

int tpm_wire_get_blob(const struct tpm_wire_blob *in, struct tpm_blob *ret)
{
	struct tpm_blob b = {
		.srk_name_len = le16_get(in->len[0]),
		.srk_public_len = le16_get(in->len[1]),
		.public_len = le16_get(in->len[2]),
		.private_len = le16_get(in->len[3]),
	};

	if (!tpm_wire_blob_fits(&b))
		return -EUCLEAN;
	memcpy(b.srk_name, in->srk_name, b.srk_name_len);
	memcpy(b.srk_public, in->srk_public, b.srk_public_len);
	memcpy(b.public_area, in->public_area, b.public_len);
	memcpy(b.private_area, in->private_area, b.private_len);
	*ret = b;
	return 0;
}

int tpm_wire_send(int fd, const void *head, size_t head_len, const void *tail, size_t tail_len)
{
	/* sendmsg(2) only reads; struct iovec has no const. */
	struct iovec iov[2] = {
		{ .iov_base = (void *)(uintptr_t)head, .iov_len = head_len },
		{ .iov_base = (void *)(uintptr_t)tail, .iov_len = tail_len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = CL_ARRAY_LEN(iov) };

	for (;;) {
		ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL);

		if (n >= 0)
			return (size_t)n == head_len + tail_len ? 0 : -EBADMSG;
		if (errno != EINTR)
			return -errno;
	}
}

int tpm_wire_recv(int fd, void *head, size_t head_len, void *tail, size_t tail_len)
{
	struct iovec iov[2] = {
		{ .iov_base = head, .iov_len = head_len },
		{ .iov_base = tail, .iov_len = tail_len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = CL_ARRAY_LEN(iov) };

	for (;;) {
		ssize_t n = recvmsg(fd, &msg, 0);

		if (n == 0)
			return -EPIPE;
		if (n > 0)
			return (size_t)n == head_len + tail_len && !(msg.msg_flags & MSG_TRUNC) ? 0 : -EBADMSG;
		if (errno != EINTR)
			return -errno;
	}
}
