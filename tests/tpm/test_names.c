/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What needs no TPM: policy digests, packets, names of TPMs, the helper's command line. */
#include "common/bytes.h"
#include "tests/tpm/jobs.h"
#include "tpm/device.h"
#include "tpm/policy.h"
#include "tpm/wire.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(policy_digests_are_those_of_the_format)
{
	static const char *const hex[] = {
		[TPM_UNLOCK_HOST] = "e613137076524bde487533865884e9732ebee3aacb095d94a6de492ec06c46fa",
		[TPM_UNLOCK_PIN] = "6ebf9cb1972ce3f9e641f7f3fe6454cf1c467cff2eb154a06d61abf7dce7a29c",
	};

	for (unsigned u = 0; u < CL_ARRAY_LEN(hex); u++) {
		uint8_t d[TPM_POLICY_LEN];
		char text[2 * TPM_POLICY_LEN + 1];

		ck_assert_int_eq(tpm_policy_digest(u, d), 0);
		bytes_to_hex(d, sizeof(d), text);
		ck_assert_str_eq(text, hex[u]);
	}
	ck_assert_int_eq(tpm_policy_digest((enum tpm_unlock)2, (uint8_t[TPM_POLICY_LEN]){ 0 }), -EINVAL);
}
END_TEST

START_TEST(packets_are_checked)
{
	struct tpm_blob b = { 0 };
	struct tpm_wire_blob w;

	for (unsigned i = 0; i < 4; i++) {
		static const uint16_t sizes[] = { sizeof(b.srk_name), sizeof(b.srk_public), sizeof(b.public_area),
						  sizeof(b.private_area) };

		memset(&w, 0, sizeof(w));
		w.len[i] = le16_of(sizes[i]);
		ck_assert_int_eq(tpm_wire_get_blob(&w, &b), 0);
		w.len[i] = le16_of((uint16_t)(sizes[i] + 1));
		ck_assert_int_eq(tpm_wire_get_blob(&w, &b), -EUCLEAN);
	}
}
END_TEST

START_TEST(tcti_strings)
{
	static const char *const good[] = { "device:/dev/tpmrm0", "swtpm:path=/run/x", "swtpm:host=127.0.0.1,port=2321",
					    "tabrmd:bus_type=session", "libtpms:/tmp/state" };
	static const char *const bad[] = { "",
					   "device",
					   "device:",
					   "swtpm",
					   "swtpm:",
					   "tabrmd:",
					   "mssim:host=localhost",
					   "auto",
					   "cmd:rm -rf",
					   "pcap:device:/dev/tpm0",
					   "/tmp/evil.so:x",
					   "device:tpmrm0",
					   "swtpm:path=/run/x\n",
					   "Device:/dev/tpmrm0",
					   " device:/dev/tpmrm0",
					   "swtpm:\xc3\xa9" };
	char longest[TPM_TCTI_MAX + 1] = "swtpm:path=/";
	struct fault f;

	for (size_t i = 0; i < CL_ARRAY_LEN(good); i++)
		ck_assert_msg(tpm_check_tcti(good[i], NULL) == 0, "%s", good[i]);
	for (size_t i = 0; i < CL_ARRAY_LEN(bad); i++) {
		f = (struct fault){ 0 };
		ck_assert_msg(tpm_check_tcti(bad[i], &f) == -EINVAL, "%s", bad[i]);
		ck_assert_str_ne(f.text, "");
		ck_assert_int_eq(f.exit, CL_EXIT_USAGE);
		ck_assert_int_eq(tpm_run(bad[i], NULL, 0, NULL), -EINVAL);
		ck_assert_int_eq(tpm_get_status(bad[i], &(struct tpm_status){ 0 }, NULL), -EINVAL);
	}
	ck_assert_int_eq(tpm_check_tcti(NULL, NULL), -EINVAL);
	memset(longest + strlen(longest), 'x', TPM_TCTI_MAX - strlen(longest));
	ck_assert_int_eq(tpm_check_tcti(longest, NULL), -EINVAL);
	longest[TPM_TCTI_MAX - 1] = '\0';
	ck_assert_int_eq(tpm_check_tcti(longest, NULL), 0);
}
END_TEST

static void put_device(const char *dir, const char *name, const char *version)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	strcat(path, "/tpm_version_major");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, version, strlen(version)), strlen(version));
	close(fd);
}

START_TEST(finding_the_tpm)
{
	static const char *const names[] = { "tpm0", "tpm12", "tpm3", "tpmrm1", "tpm", "tpm2x" };
	char dir[] = "/tmp/cl-sys-XXXXXX", tcti[TPM_TCTI_MAX] = "untouched", path[128];

	ck_assert_int_eq(tpm_device_find("/nonexistent", tcti), -ENODEV);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(tpm_device_find(dir, tcti), -ENODEV);
	put_device(dir, "tpm0", "1\n");
	ck_assert_int_eq(tpm_device_find(dir, tcti), -ENODEV);
	ck_assert_str_eq(tcti, "untouched");
	put_device(dir, "tpmrm1", "2\n");
	put_device(dir, "tpm", "2\n");
	put_device(dir, "tpm2x", "2\n");
	ck_assert_int_eq(tpm_device_find(dir, tcti), -ENODEV);
	put_device(dir, "tpm12", "2\n");
	ck_assert_int_eq(tpm_device_find(dir, tcti), 0);
	ck_assert_str_eq(tcti, "device:/dev/tpmrm12");
	put_device(dir, "tpm3", "2\n");
	ck_assert_int_eq(tpm_device_find(dir, tcti), 0);
	ck_assert_str_eq(tcti, "device:/dev/tpmrm3");
	for (size_t i = 0; i < CL_ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s/tpm_version_major", dir, names[i]);
		unlink(path);
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		rmdir(path);
	}
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

/* Somebody starts the helper by hand: it ends, and does not become the program. */
START_TEST(helper_by_hand)
{
	static char name[] = TPM_HELPER_NAME, three[] = "3", four[] = "4", tcti[] = "swtpm:path=/none",
		    bad[] = "mssim:";
	char program[32];
	/* Not where the helper expects its socket. */
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC), self = fcntl(fd, F_DUPFD_CLOEXEC, TPM_HELPER_FD + 1);
	char *const argvs[][4] = {
		{ name, NULL }, { name, four, tcti, NULL }, { name, three, bad, NULL }, { name, three, tcti, NULL }
	};

	/* Not by the name /proc/self/exe: under valgrind that is valgrind. */
	ck_assert_int_ge(self, 0);
	close(fd);
	snprintf(program, sizeof(program), "/proc/self/fd/%d", self);
	for (size_t i = 0; i < CL_ARRAY_LEN(argvs); i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			close(TPM_HELPER_FD);
			execv(program, argvs[i]);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status));
		ck_assert_int_ne(WEXITSTATUS(status), 0);
	}
	close(self);
}
END_TEST

void jobs_add_name_tests(TCase *t)
{
	tcase_add_test(t, policy_digests_are_those_of_the_format);
	tcase_add_test(t, packets_are_checked);
	tcase_add_test(t, tcti_strings);
	tcase_add_test(t, finding_the_tpm);
	tcase_add_test(t, helper_by_hand);
}
