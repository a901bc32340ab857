/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which TPM: looking through a sysfs tree. The rest of device.c is in tpm.h. */
#ifndef CLOISON_TPM_DEVICE_H
#define CLOISON_TPM_DEVICE_H

#include "common/base.h"
#include "tpm/tpm.h"

/* tpm_find() below the directory class_dir ("/sys/class/tpm"). -ENODEV when it names no TPM 2.0. */
int tpm_device_find(const char *class_dir, char tcti[TPM_TCTI_MAX]) CL_MUST_USE;

#endif
