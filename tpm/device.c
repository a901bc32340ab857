/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Naming a TPM: finding this machine's through sysfs, and judging a TCTI string that a user gave. */
#include "tpm/device.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYSFS_CLASS "/sys/class/tpm"

/* "tpm" and a number, nothing behind it. */
static bool device_number(const char *name, unsigned *ret)
{
	char *end;
	unsigned long n;

	if (strncmp(name, "tpm", 3) != 0 || !isdigit((unsigned char)name[3]) || strlen(name) > 3 + 5)
		return false;
	n = strtoul(name + 3, &end, 10);
	if (*end)
		return false;
	*ret = (unsigned)n;
	return true;
}

static bool device_is_tpm2(int class_fd, const char *name)
{
	char path[64];
	char text[2] = "";
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%.16s/tpm_version_major", name);
	fd = openat(class_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text));
	close(fd);
	return n >= 1 && text[0] == '2' && (n == 1 || text[1] == '\n');
}

int tpm_device_find(const char *class_dir, char tcti[TPM_TCTI_MAX])
{
	unsigned best = 0;
	bool found = false;
	DIR *dir = opendir(class_dir);

	if (!dir)
		return -ENODEV;
	for (const struct dirent *e; (e = readdir(dir));) {
		unsigned n;

		if (device_number(e->d_name, &n) && (!found || n < best) && device_is_tpm2(dirfd(dir), e->d_name)) {
			found = true;
			best = n;
		}
	}
	closedir(dir);
	if (!found)
		return -ENODEV;
	/* The kernel's resource manager: it flushes what a client leaves behind. */
	snprintf(tcti, TPM_TCTI_MAX, "device:/dev/tpmrm%u", best);
	return 0;
}

int tpm_find(char tcti[TPM_TCTI_MAX])
{
	return tpm_device_find(SYSFS_CLASS, tcti);
}

int tpm_check_tcti(const char *tcti, struct fault *f)
{
	static const char *const known[] = { "device:", "swtpm:", "tabrmd:", "libtpms:" };
	const char *arg = NULL;

	if (!tcti || !*tcti)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "no TPM is named: expected for example \"device:/dev/tpmrm0\"");
	if (strnlen(tcti, TPM_TCTI_MAX) >= TPM_TCTI_MAX)
		return fault_set(f, -EINVAL, CL_EXIT_USAGE, "the TPM's name is longer than %u bytes", TPM_TCTI_MAX - 1);
	for (const char *p = tcti; *p; p++)
		if (!isprint((unsigned char)*p))
			return fault_set(f, -EINVAL, CL_EXIT_USAGE,
					 "the TPM's name holds a byte that is not printable ASCII");
	/*
	 * Only these: the loader takes any word for the name of a shared library, and a bare "device" or "swtpm" for
	 * leave to look for a TPM by itself, as far as a simulator on localhost that any user can serve.
	 */
	for (size_t i = 0; i < CL_ARRAY_LEN(known); i++)
		if (strncmp(tcti, known[i], strlen(known[i])) == 0)
			arg = tcti + strlen(known[i]);
	if (!arg)
		return fault_set(
			f, -EINVAL, CL_EXIT_USAGE,
			"\"%s\" does not name a TPM: expected device:/dev/tpmrm0, swtpm:path=SOCKET, tabrmd:CONF "
			"or libtpms:STATEFILE",
			tcti);
	if (!*arg)
		return fault_set(
			f, -EINVAL, CL_EXIT_USAGE,
			"\"%s\" does not say which TPM: something must follow the colon, as in device:/dev/tpmrm0",
			tcti);
	if (strncmp(tcti, "device:", 7) == 0 && arg[0] != '/')
		return fault_set(f, -EINVAL, CL_EXIT_USAGE,
				 "\"%s\": a TPM device is named by its absolute path, as in device:/dev/tpmrm0", tcti);
	return 0;
}
