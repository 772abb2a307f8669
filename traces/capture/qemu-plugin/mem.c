// SPDX-License-Identifier: MIT
/*
 * A QEMU TCG plugin that logs every memory access: one line `cpu op size vaddr paddr pc`, addresses in hexadecimal, size in bytes.
 * op: R W for RAM, I O for reads and writes of MMIO (system mode). paddr: 0 in user mode; the guest-physical address in system mode, - where QEMU
 * cannot tell it. mmreplay import reads it (src/import/qemuplugin.ts); how to build and run it: README.md.
 *
 * Arguments: out=FILE (default standard error), skip=N (accesses to leave out first), max=N (accesses to log; then it only counts).
 *
 * Distributions package QEMU without qemu-plugin.h. What is used of it is declared here: version 1 of the interface (QEMU 4.2 to 8.2). With the
 * header at hand (-DHAVE_QEMU_PLUGIN_H and its -I) it is used instead, for later versions.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_QEMU_PLUGIN_H
#include <glib.h>
#include <qemu-plugin.h>
#else
#define QEMU_PLUGIN_EXPORT __attribute__((visibility("default")))
#define QEMU_PLUGIN_VERSION 1
typedef uint64_t qemu_plugin_id_t;
typedef uint32_t qemu_plugin_meminfo_t;
typedef struct {
	const char *target_name;
	struct { int min, cur; } version;
	bool system_emulation;
	struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
enum { QEMU_PLUGIN_CB_NO_REGS };
enum { QEMU_PLUGIN_MEM_RW = 3 };
typedef void (*tb_trans_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*mem_cb)(unsigned, qemu_plugin_meminfo_t, uint64_t, void *);
typedef void (*exit_cb)(qemu_plugin_id_t, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans_cb);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, mem_cb, int flags, int rw, void *);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, exit_cb, void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
unsigned qemu_plugin_mem_size_shift(qemu_plugin_meminfo_t);
bool qemu_plugin_mem_is_store(qemu_plugin_meminfo_t);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(qemu_plugin_meminfo_t, uint64_t);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
#endif

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static FILE *out;
static bool system_mode;
static uint64_t seen, skip, max = UINT64_MAX;
/* vCPUs may run on threads of their own: one order for all of them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void access_cb(unsigned cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *pc)
{
	bool store = qemu_plugin_mem_is_store(info), io = false;
	char paddr[20] = "0";

	pthread_mutex_lock(&lock);
	uint64_t number = seen++;
	if (number < skip || number - skip >= max) {
		pthread_mutex_unlock(&lock);
		return;
	}
	if (system_mode) {
		struct qemu_plugin_hwaddr *hw = qemu_plugin_get_hwaddr(info, vaddr);
		if (hw) {
			io = qemu_plugin_hwaddr_is_io(hw);
			snprintf(paddr, sizeof paddr, "%" PRIx64, qemu_plugin_hwaddr_phys_addr(hw));
		} else {
			strcpy(paddr, "-");
		}
	}
	fprintf(out, "%u %c %u %" PRIx64 " %s %" PRIx64 "\n", cpu, io ? (store ? 'O' : 'I') : (store ? 'W' : 'R'),
		1u << qemu_plugin_mem_size_shift(info), vaddr, paddr, (uint64_t)(uintptr_t)pc);
	pthread_mutex_unlock(&lock);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		qemu_plugin_register_vcpu_mem_cb(insn, access_cb, QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW,
						 (void *)(uintptr_t)qemu_plugin_insn_vaddr(insn));
	}
}

static void done(qemu_plugin_id_t id, void *data)
{
	(void)id; (void)data;
	fprintf(stderr, "mem: %" PRIu64 " accesses\n", seen);
	fclose(out);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	system_mode = info->system_emulation;
	out = stderr;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) {
			if (!(out = fopen(argv[i] + 4, "w"))) { perror(argv[i] + 4); return 1; }
		} else if (!strncmp(argv[i], "skip=", 5)) skip = strtoull(argv[i] + 5, NULL, 0);
		else if (!strncmp(argv[i], "max=", 4)) max = strtoull(argv[i] + 4, NULL, 0);
		else { fprintf(stderr, "mem: %s? There are out=, skip=, max=\n", argv[i]); return 1; }
	}
	fprintf(out, "# cpu op size vaddr paddr pc\n");
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, done, NULL);
	return 0;
}
