/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The functions that libFuzzer, and AFL++'s driver for such programs, call: one target each, named by FUZZ_TARGET. */
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerInitialize(int *argc CL_UNUSED, char ***argv CL_UNUSED)
{
	fuzz_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len <= FUZZ_TARGET.max_len)
		fuzz_run(&FUZZ_TARGET, data, len);
	return 0;
}
